// Numbers as text for pictures, tables and messages: the same on every machine, whatever its locale.
import Foundation

/// Numbers as text.
public enum Figures {
    /// `fixed(12.7857, decimals: 2)` is `12.79`. NaN is `-`; what has more than 15 digits is written with an
    /// exponent.
    public static func fixed(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return value.isNaN ? "-" : value < 0 ? "-∞" : "∞" }
        let decimals = min(max(0, decimals), 12)
        let scaled = (abs(value) * pow(10, Double(decimals))).rounded()
        guard scaled < 1e15 else { return "\(value)" }
        var digits = String(Int64(scaled))
        if digits.count <= decimals {
            digits = String(repeating: "0", count: decimals + 1 - digits.count) + digits
        }
        if decimals > 0 { digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -decimals)) }
        return value < 0 && scaled > 0 ? "-" + digits : digits
    }

    /// At most `decimals` decimals, without zeros at the end: `1.5`, `20`.
    static func short(_ value: Double, decimals: Int) -> String {
        var text = fixed(value, decimals: decimals)
        guard text.contains("."), !text.contains("e") else { return text }
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return text
    }

    /// A number of tokens in units of 1,024: `512`, `8k`, `1.5k`, `128k`, `1M`, `2M`.
    public static func tokens(_ count: Int) -> String { tokens(Double(count)) }

    static func tokens(_ count: Double) -> String {
        if abs(count) >= 1_048_576 { return short(count / 1_048_576, decimals: 2) + "M" }
        if abs(count) >= 1024 { return short(count / 1024, decimals: 1) + "k" }
        return short(count, decimals: 1)
    }
}
