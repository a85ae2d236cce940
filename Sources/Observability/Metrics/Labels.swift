// Names and labels that a page of metrics may hold.

/// The labels of one series, sorted by name. A name that breaks the rules ([a-z_][a-z0-9_]*, no leading "__",
/// not "le") is repaired; of two equal names the later counts. Any text is allowed as value.
public struct Labels: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    public struct Pair: Sendable, Hashable {
        public let name: String
        public let value: String
    }

    public let pairs: [Pair]

    /// For a metric with one series.
    public static let none = Labels([])

    public init(_ labels: some Sequence<(String, String)>) {
        var values: [String: String] = [:]
        for (name, value) in labels { values[Self.repaired(name)] = value }
        pairs = values.sorted { $0.key < $1.key }.map { Pair(name: $0.key, value: $0.value) }
    }

    public init(dictionaryLiteral elements: (String, String)...) {
        self.init(elements)
    }

    /// The same names, each with the same value.
    func settingAll(to value: String) -> Labels {
        Labels(pairs.map { ($0.name, value) })
    }

    private static func repaired(_ name: String) -> String {
        let name = MetricName.repaired(name)
        if name == "le" { return "le_" }
        return name.hasPrefix("__") ? "_" + name.drop { $0 == "_" } : name
    }
}

/// The rule for names of metrics here: [a-z_][a-z0-9_]*.
enum MetricName {
    /// `name` with every character that is not allowed replaced by "_".
    static func repaired(_ name: String) -> String {
        var text = ""
        for scalar in name.unicodeScalars {
            switch scalar {
            case "a"..."z", "0"..."9", "_": text.unicodeScalars.append(scalar)
            case "A"..."Z": text += String(scalar).lowercased()
            default: text += "_"
            }
        }
        guard let first = text.first, !first.isNumber else { return "_" + text }
        return text
    }
}
