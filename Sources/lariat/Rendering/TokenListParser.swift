// Token ids from text, piece by piece: separated by spaces, commas or line ends. No I/O.

/// Parses a list of token ids that arrives in pieces; a number may be cut by the end of a piece.
package struct TokenListParser {
    /// Why a text is not a list of token ids.
    package struct ParseError: Error, Equatable, CustomStringConvertible {
        /// From 1.
        package let line: Int
        package let problem: String
        package var description: String { "line \(line): \(problem)" }
    }

    private var number: UInt64?
    private var line = 1

    package init() {}

    /// The ids that are complete after these bytes.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws(ParseError) -> [UInt32] {
        var ids: [UInt32] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                let value = (number ?? 0) * 10 + UInt64(byte - UInt8(ascii: "0"))
                guard value <= UInt64(UInt32.max) else {
                    throw ParseError(line: line, problem: "a number above \(UInt32.max) is no token id")
                }
                number = value
            case UInt8(ascii: " "), UInt8(ascii: ","), UInt8(ascii: "\t"), UInt8(ascii: "\r"),
                UInt8(ascii: "\n"):
                ids += finish()
                if byte == UInt8(ascii: "\n") { line += 1 }
            default:
                let shown =
                    (0x21...0x7e).contains(byte)
                    ? "\"\(Character(UnicodeScalar(byte)))\"" : "byte 0x\(String(byte, radix: 16))"
                throw ParseError(
                    line: line,
                    problem:
                        "\(shown) does not belong in a list of token ids; write numbers separated by spaces, "
                        + "commas or line ends")
            }
        }
        return ids
    }

    /// The last id, if the text ended in the middle of one.
    package mutating func finish() -> [UInt32] {
        defer { number = nil }
        return number.map { [UInt32($0)] } ?? []
    }
}
