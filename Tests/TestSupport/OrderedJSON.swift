// JSON text with the order of members kept, for goldens.
public import Jinja

/// Reads JSON; members keep their order, texts are foreign.
public struct OrderedJSON {
    private let bytes: [UInt8]
    private var at = 0

    public static func value(of text: [UInt8]) throws -> JinjaValue {
        var reader = OrderedJSON(bytes: text)
        let value = try reader.value()
        reader.skipBlanks()
        guard reader.at == text.count else { throw Malformed(offset: reader.at) }
        return value
    }

    public struct Malformed: Error { var offset: Int }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var here: UInt8 { at < bytes.count ? bytes[at] : 0 }

    private mutating func skipBlanks() { while [0x20, 0x0A, 0x0D, 0x09].contains(here) { at += 1 } }

    private mutating func skip(_ text: String) -> Bool {
        skipBlanks()
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    private mutating func value() throws -> JinjaValue {
        skipBlanks()
        switch here {
        case UInt8(ascii: "{"):
            var members: [JinjaMember] = []
            at += 1
            while !skip("}") {
                if !members.isEmpty, !skip(",") { throw Malformed(offset: at) }
                skipBlanks()
                let key = try string()
                guard skip(":") else { throw Malformed(offset: at) }
                members.append(JinjaMember(JinjaText(foreign: key), try value()))
            }
            return .map(members)
        case UInt8(ascii: "["):
            var items: [JinjaValue] = []
            at += 1
            while !skip("]") {
                if !items.isEmpty, !skip(",") { throw Malformed(offset: at) }
                items.append(try value())
            }
            return .list(items)
        case UInt8(ascii: "\""): return .foreign(try string())
        default:
            for (word, value) in [("null", JinjaValue.null), ("true", .bool(true)), ("false", .bool(false))]
            where skip(word) { return value }
            let start = at
            while "+-.eE0123456789".utf8.contains(here) { at += 1 }
            let digits = String(decoding: bytes[start..<at], as: UTF8.self)
            if let integer = Int(digits) { return .integer(integer) }
            guard let number = Double(digits) else { throw Malformed(offset: start) }
            return .number(number)
        }
    }

    private mutating func string() throws -> String {
        guard here == UInt8(ascii: "\"") else { throw Malformed(offset: at) }
        at += 1
        var text: [UInt8] = []
        while here != UInt8(ascii: "\"") {
            guard at < bytes.count else { throw Malformed(offset: at) }
            guard here == UInt8(ascii: "\\") else {
                text.append(here)
                at += 1
                continue
            }
            let escapes: [UInt8: UInt8] = [
                0x6E: 0x0A, 0x74: 0x09, 0x72: 0x0D, 0x62: 0x08, 0x66: 0x0C, 0x22: 0x22, 0x5C: 0x5C,
                0x2F: 0x2F,
            ]
            at += 1
            if let plain = escapes[here] {
                text.append(plain)
                at += 1
            } else if here == UInt8(ascii: "u"), at + 5 <= bytes.count,
                let code = UInt32(String(decoding: bytes[at + 1..<at + 5], as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(code)
            {
                text += String(Character(scalar)).utf8
                at += 5
            } else {
                throw Malformed(offset: at)
            }
        }
        at += 1
        return String(decoding: text, as: UTF8.self)
    }
}
