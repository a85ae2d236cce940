// Methods as people write them: `linear:8`, `yarn`, `longrope2:8:25`.

/// From a method's written form to the method.
public enum RotaryMethodName {
    /// For error messages and help.
    public static let forms =
        "none, linear:S, ntk:S, dynamic-ntk, yarn:S, longrope2:S or longrope2:S:PAIR (S: how many times the trained "
        + "length; left out: what the sequence needs)"

    /// Whether the text names a method, however wrong its numbers: otherwise it may be a file's name.
    public static func isMethod(_ text: String) -> Bool {
        kinds.contains(
            text.split(separator: ":", omittingEmptySubsequences: false).first.map(String.init) ?? "")
    }

    private static let kinds: Set<String> = [
        "none", "linear", "pi", "ntk", "dynamic-ntk", "yarn", "longrope2",
    ]

    /// The method that `text` names.
    /// - Throws: `invalidMethod` with what can be written.
    public static func parse(_ text: String) throws(LongRoPEError) -> any RotaryMethod {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        func fail(_ problem: String) -> LongRoPEError {
            LongRoPEError(.invalidMethod, "rotary method \"\(text.prefix(60))\": \(problem); use \(forms)")
        }
        func most(_ numbers: Int) throws(LongRoPEError) {
            guard parts.count <= numbers + 1 else { throw fail("too many numbers") }
        }
        func scale() throws(LongRoPEError) -> RotaryScale {
            guard parts.count > 1, parts[1] != "auto" else { return .asNeeded }
            guard let value = Double(parts[1]) else { throw fail("\"\(parts[1].prefix(20))\" is no number") }
            return try RotaryScale(value)
        }
        switch parts.first ?? "" {
        case "none":
            try most(0)
            return UnscaledPositions()
        case "linear", "pi":
            try most(1)
            return LinearInterpolation(try scale())
        case "ntk":
            try most(1)
            return NTKInterpolation(try scale())
        case "dynamic-ntk":
            try most(0)
            return NTKInterpolation(.asNeeded)
        case "yarn":
            try most(1)
            return try YaRNInterpolation(try scale())
        case "longrope2":
            try most(2)
            guard parts.count > 2 else { return CriticalPairInterpolation(try scale()) }
            guard let pair = Int(parts[2]), pair >= 1 else {
                throw fail("\"\(parts[2].prefix(20))\" is no pair, 1 or more")
            }
            return CriticalPairInterpolation(try scale(), criticalPair: pair)
        default: throw fail("there is no such method")
        }
    }
}
