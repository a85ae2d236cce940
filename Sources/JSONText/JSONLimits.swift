// What JSON text from outside must keep to before Foundation may parse it. No I/O.

import Numerals

/// Limits that keep a parser of a whole text from using much more memory than the text itself.
///
/// Foundation's `JSONDecoder` takes about 60 bytes for each value, so a text of empty arrays would take 20 times its
/// size; it also reads UTF-16 and lets a comma stand before a closing bracket.
public struct JSONLimits: Sendable {
    /// Most arrays and objects around a value.
    public var depth: Int
    /// Most values and names, all together.
    public var values: Int

    public init(depth: Int = 64, values: Int = 1 << 20) {
        self.depth = depth
        self.values = values
    }

    /// One pass in constant memory. Whether the text is JSON at all is left to the parser.
    /// - Throws: `JSONFault` for what is over a limit and for bytes that no JSON text in UTF-8 has.
    public func check(_ bytes: [UInt8]) throws(JSONFault) {
        var open = 0
        var count = 1
        var inString = false
        var escaped = false
        // The last byte that is no blank, outside strings.
        var last: UInt8 = 0
        for byte in bytes {
            // A raw control byte is allowed nowhere but as a blank: UTF-16 and UTF-32 are full of zeros.
            guard byte >= 0x20 || (!inString && (byte == 0x0a || byte == 0x0d || byte == 0x09)) else {
                throw JSONFault("it has a control character that is not escaped, or is not UTF-8")
            }
            if inString {
                if escaped {
                    escaped = false
                } else if byte == UInt8(ascii: "\\") {
                    escaped = true
                } else if byte == UInt8(ascii: "\"") {
                    inString = false
                    last = byte
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                open += 1
                count += 1
                guard open <= depth else {
                    throw JSONFault("arrays and objects lie deeper in each other than \(depth), the limit")
                }
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                open -= 1
                guard last != UInt8(ascii: ",") else {
                    throw JSONFault("a comma stands before a closing bracket")
                }
            case UInt8(ascii: ","), UInt8(ascii: ":"): count += 1
            default: break
            }
            guard count <= values else {
                throw JSONFault("it has more values than \(values.grouped), the limit")
            }
            if byte > 0x20 { last = byte }
        }
    }
}

/// What is wrong with a JSON text, in words that follow its name.
public struct JSONFault: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
