// One log line as text. No I/O.

package enum LogText {
    /// `2026-11-23 21:41:27.123 info coordinator: message key=value`, keys in order; values with blanks are quoted.
    /// Line ends and control characters become `?`: a line is one event.
    package static func line(
        microseconds: UInt64, level: String, source: String, message: String,
        metadata: [(String, String)] = []
    ) -> String {
        var line =
            "\(Quantity.time(microseconds: microseconds, milliseconds: true)) \(level) \(source): \(message)"
        for (key, value) in metadata.sorted(by: { $0.0 < $1.0 }) {
            let isPlain = !value.isEmpty && !value.contains { $0 == " " || $0 == "\"" || $0 == "=" }
            line += " \(key)=" + (isPlain ? value : "\"" + value.replacing("\"", with: "\\\"") + "\"")
        }
        return line.printable
    }
}
