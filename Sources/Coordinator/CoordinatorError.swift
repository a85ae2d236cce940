// What a client or a worker is told when the coordinator cannot do what was asked.
import Tokenizer

/// A refusal or failure in words that say what to do. `kind` decides the gRPC status.
public struct CoordinatorError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable, CaseIterable {
        /// The request itself is wrong.
        case invalid
        /// Prompt and answer are longer than the model's window.
        case beyondWindow = "beyond_window"
        case notFound = "not_found"
        /// The request is fine, but the cluster or job is not in a state for it.
        case notPossible = "not_possible"
        /// A limit or the disk is full.
        case exhausted
        /// Try again later.
        case unavailable
        /// A fault of the coordinator's data or code.
        case internalFault = "internal"
    }
    public let kind: Kind
    public let message: String
    /// What the message was made of, for those who have other words for it; nil where these are everybody's.
    package let cause: Cause?

    package enum Cause: Equatable, Sendable {
        /// Longer than the window.
        case excess(WindowExcess)
        /// There is no chat template, or it cannot write this conversation: what is wrong.
        case template(String)
    }

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
        cause = nil
    }

    /// With the command line's options as the remedy.
    package init(_ cause: Cause) {
        self.cause = cause
        switch cause {
        case .excess(let excess):
            kind = .beyondWindow
            message = excess.commandLineText
        case .template(let problem):
            kind = .invalid
            message =
                "\(problem). Name another with --template: \(ChatTemplate.names.joined(separator: ", ")) or a Jinja "
                + "file; or send plain text, --raw"
        }
    }

    public var description: String { message }
}

/// Sizes for people: "1.5 GiB".
func humanBytes(_ bytes: Int) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    guard unit > 0 else { return "\(bytes) bytes" }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
