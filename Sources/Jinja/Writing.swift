// Values as text: as a template prints them, and as JSON.

/// A number in the fewest digits, as Python writes it.
private func digits(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return "\(value)"
}

extension Value {
    /// As `{{ }}` prints it, which is Python's `str`.
    var printed: JinjaText {
        switch self {
        case .undefined: return JinjaText()
        case .text(let text): return text
        default:
            var result = JinjaText()
            write(to: &result)
            return result
        }
    }

    /// Python's `repr`. What holds anything foreign is foreign but for the template's own texts in it.
    private func write(to result: inout JinjaText) {
        func put(_ text: String, isForeign: Bool = false) { result.append(text.utf8, isForeign: isForeign) }
        switch self {
        case .undefined: put("Undefined")
        case .none: put("None")
        case .bool(let value): put(value ? "True" : "False")
        case .integer(let value): put(String(value))
        case .number(let value): put(digits(value))
        case .text(let text): Self.writeQuoted(text, to: &result)
        case .list(let list):
            let isForeign = holdsForeign
            put(list.isPair ? "(" : "[", isForeign: isForeign)
            for (index, item) in list.items.enumerated() {
                if index > 0 { put(", ", isForeign: isForeign) }
                item.write(to: &result)
            }
            put(list.isPair ? ")" : "]", isForeign: isForeign)
        case .map(let map):
            let isForeign = holdsForeign
            put("{", isForeign: isForeign)
            for (index, entry) in map.entries.enumerated() {
                if index > 0 { put(", ", isForeign: isForeign) }
                Self.writeQuoted(entry.key, to: &result)
                put(": ", isForeign: isForeign)
                entry.value.write(to: &result)
            }
            put("}", isForeign: isForeign)
        case .namespace: put("<Namespace>")
        case .loop(let loop): put("<LoopContext \(loop.index + 1)/\(loop.items.count)>")
        case .macro(let macro): put("<Macro '\(macro.definition.name)'>")
        case .function(let name), .method(_, let name): put("<function \(name)>")
        }
    }

    private static func writeQuoted(_ text: JinjaText, to result: inout JinjaText) {
        let quote: Unicode.Scalar =
            text.bytes.contains(0x27) && !text.bytes.contains(0x22) ? "\"" : "'"
        let isForeign = !text.foreign.isEmpty
        result.append(String(Character(quote)).utf8, isForeign: isForeign)
        result.append(
            text.mapCharacters { scalar in
                switch scalar {
                case quote, "\\": "\\" + String(Character(scalar))
                case "\n": "\\n"
                case "\r": "\\r"
                case "\t": "\\t"
                default:
                    isPrintable(scalar)
                        ? String(Character(scalar))
                        : scalar.value < 0x100
                            ? "\\x" + hex(scalar, 2)
                            : scalar.value < 0x10000 ? "\\u" + hex(scalar, 4) : "\\U" + hex(scalar, 8)
                }
            })
        result.append(String(Character(quote)).utf8, isForeign: isForeign)
    }

    /// Whether a text in the value came from outside.
    var holdsForeign: Bool {
        switch self {
        case .text(let text): !text.foreign.isEmpty
        case .list(let list): list.items.contains { $0.holdsForeign }
        case .map(let map): map.entries.contains { !$0.key.foreign.isEmpty || $0.value.holdsForeign }
        default: false
        }
    }
}

/// Python's `str.isprintable`.
private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
}

private func hex(_ scalar: Unicode.Scalar, _ width: Int) -> String {
    let digits = String(scalar.value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// JSON as Python's `json.dumps` writes it, with the settings that transformers gives templates: no HTML escapes.
struct JSONWriter {
    var indent: Int?
    var itemSeparator: String
    var keySeparator: String
    var sortsKeys: Bool
    var escapesNonASCII: Bool
    /// Whether brackets, commas and the like came from outside, as the value did.
    private var isForeign = false
    private(set) var result = JinjaText()
    /// What has no JSON, by its kind.
    private(set) var strange: String?

    init(indent: Int?, separators: (item: String, key: String)?, sortsKeys: Bool, escapesNonASCII: Bool) {
        self.indent = indent
        itemSeparator = separators?.item ?? (indent == nil ? ", " : ",")
        keySeparator = separators?.key ?? ": "
        self.sortsKeys = sortsKeys
        self.escapesNonASCII = escapesNonASCII
    }

    mutating func write(_ value: Value) {
        isForeign = value.holdsForeign
        write(value, level: 0)
    }

    private mutating func put(_ text: String) { result.append(text.utf8, isForeign: isForeign) }

    private mutating func breakLine(_ level: Int) {
        guard let indent else { return }
        put("\n" + String(repeating: " ", count: indent * level))
    }

    private mutating func write(_ value: Value, level: Int) {
        switch value {
        case .none: put("null")
        case .bool(let value): put(value ? "true" : "false")
        case .integer(let value): put(String(value))
        case .number(let value):
            put(
                value.isNaN
                    ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : digits(value))
        case .text(let text): write(text)
        case .list(let list):
            guard !list.items.isEmpty else { return put("[]") }
            put("[")
            for (index, item) in list.items.enumerated() {
                if index > 0 { put(itemSeparator) }
                breakLine(level + 1)
                write(item, level: level + 1)
            }
            breakLine(level)
            put("]")
        case .map(let map):
            guard !map.entries.isEmpty else { return put("{}") }
            let entries =
                sortsKeys
                ? map.entries.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) } : map.entries
            put("{")
            for (index, entry) in entries.enumerated() {
                if index > 0 { put(itemSeparator) }
                breakLine(level + 1)
                write(entry.key)
                put(keySeparator)
                write(entry.value, level: level + 1)
            }
            breakLine(level)
            put("}")
        case .undefined, .namespace, .loop, .macro, .function, .method: strange = value.kindName
        }
    }

    private mutating func write(_ text: JinjaText) {
        put("\"")
        let escapes = escapesNonASCII
        result.append(
            text.mapCharacters { scalar in
                switch scalar {
                case "\"": "\\\""
                case "\\": "\\\\"
                case "\n": "\\n"
                case "\r": "\\r"
                case "\t": "\\t"
                case "\u{8}": "\\b"
                case "\u{C}": "\\f"
                case "\u{0}"..."\u{1F}": "\\u" + hex(scalar, 4)
                case "\u{7F}"... where escapes:
                    scalar == "\u{7F}"
                        ? "\u{7F}"
                        : String(Character(scalar)).utf16.map { unit in
                            let digits = String(unit, radix: 16)
                            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                        }.joined()
                default: String(Character(scalar))
                }
            })
        put("\"")
    }
}
