// What is wrong with a cluster specification, and where.

/// A problem of a cluster specification, with its place.
///
/// Described as `local.yaml:12: workers[1].memory: "4 Gigs" is not a size; write e.g. 4GiB`.
public struct ClusterError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file, as it was named.
    public let path: String
    /// From 1; nil where no single line is at fault (a file that cannot be read).
    public let line: Int?
    /// Such as `workers[1].memory`, counted from 0; nil where no key is at fault.
    public let key: String?
    /// What is wrong and what to do.
    public let problem: String

    public init(path: String, line: Int?, key: String?, problem: String) {
        self.path = path
        self.line = line
        self.key = key
        self.problem = problem
    }

    public var description: String {
        let place = line.map { "\(path):\($0)" } ?? path
        return key.map { "\(place): \($0): \(problem)" } ?? "\(place): \(problem)"
    }
}

/// Why a text is not an address or a size.
public struct ValueError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

/// A text from outside as it may stand in a message: short, and without control characters.
func quoted(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(60).map {
        $0.properties.generalCategory == .control ? "\\u{\(String($0.value, radix: 16))}" : String($0)
    }
    return "\"" + shown.joined() + (text.unicodeScalars.count > 60 ? "...\"" : "\"")
}
