// What a client or a worker is told when the coordinator cannot do what was asked.

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
    /// The figures of a `.beyondWindow`, for those who have other words for them.
    package let excess: WindowExcess?

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
        excess = nil
    }

    /// Too long for the window.
    package init(_ excess: WindowExcess) {
        kind = .beyondWindow
        message = excess.commandLineText
        self.excess = excess
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
