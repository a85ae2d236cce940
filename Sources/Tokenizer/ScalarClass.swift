// UTF-8, scalar by scalar, and the classes of scalars that pre-tokenizers tell apart. Bytes that are not UTF-8 are
// single characters of the class `other`, so that any bytes can be tokenized and come back unchanged.

/// A set of the classes that the expressions of pre-tokenizers tell apart. A scalar is in one class.
struct ScalarClass: OptionSet, Sendable {
    let rawValue: UInt16

    /// `\p{Lu}`, `\p{Lt}`
    static let upper = ScalarClass(rawValue: 1)
    /// `\p{Ll}`
    static let lower = ScalarClass(rawValue: 2)
    /// `\p{Lm}`, `\p{Lo}`: letters of scripts without case, and modifiers
    static let caseless = ScalarClass(rawValue: 4)
    /// `\p{M}`
    static let mark = ScalarClass(rawValue: 8)
    /// `\p{N}`: digits, and fractions, Roman numerals, circled numbers
    static let number = ScalarClass(rawValue: 16)
    /// `\p{P}`
    static let punctuation = ScalarClass(rawValue: 32)
    /// `\p{S}`
    static let symbol = ScalarClass(rawValue: 64)
    /// `\s` (White_Space) but CR and LF
    static let space = ScalarClass(rawValue: 128)
    /// CR and LF
    static let newline = ScalarClass(rawValue: 256)
    /// Controls, unassigned scalars, and bytes that are not UTF-8
    static let other = ScalarClass(rawValue: 512)

    /// `\p{L}`
    static let letter: ScalarClass = [.upper, .lower, .caseless]
    /// `\s`
    static let whiteSpace: ScalarClass = [.space, .newline]
    /// `[^\s\p{L}\p{N}]`
    static let rest: ScalarClass = [.mark, .punctuation, .symbol, .other]
    /// `[^\s\p{L}\p{M}\p{N}]`
    static let restWithoutMarks: ScalarClass = [.punctuation, .symbol, .other]

    /// Whether this, the class of one scalar, is in the set.
    @inline(__always)
    func isIn(_ set: ScalarClass) -> Bool { rawValue & set.rawValue != 0 }

    /// The class of a Unicode scalar value.
    @inline(__always)
    static func of(_ scalar: UInt32) -> ScalarClass {
        if scalar < table.count { return table[Int(scalar)] }
        return lookUp(scalar)
    }

    /// The class of the character at `at`, and its width in bytes.
    @inline(__always)
    static func at(_ at: Int, _ text: Span<UInt8>, _ end: Int) -> (class: ScalarClass, width: Int) {
        guard let (value, width) = scalar(text, at, end) else { return (.other, 1) }
        return (of(value), width)
    }

    /// The classes of the planes where scripts live, looked up once because the lookup itself is slow.
    private static let table: [ScalarClass] = (0..<0x33500).map { lookUp(UInt32($0)) }

    private static func lookUp(_ value: UInt32) -> ScalarClass {
        guard let scalar = Unicode.Scalar(value) else { return .other }
        if value == 0x0A || value == 0x0D { return .newline }
        if scalar.properties.isWhitespace { return .space }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter: return .upper
        case .lowercaseLetter: return .lower
        case .modifierLetter, .otherLetter: return .caseless
        case .nonspacingMark, .spacingMark, .enclosingMark: return .mark
        case .decimalNumber, .letterNumber, .otherNumber: return .number
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation:
            return .punctuation
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: return .symbol
        default: return .other
        }
    }
}

/// The scalar at the start of `text[at..<end]` and its width in bytes; nil when the bytes there are not UTF-8
/// (Unicode standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
@inline(__always)
func scalar(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> (value: UInt32, width: Int)? {
    let first = text[at]
    if first < 0x80 { return (UInt32(first), 1) }
    func continuation(_ offset: Int, _ low: UInt8 = 0x80, _ high: UInt8 = 0xBF) -> UInt32? {
        guard at + offset < end else { return nil }
        let byte = text[at + offset]
        return byte >= low && byte <= high ? UInt32(byte & 0x3F) : nil
    }
    switch first {
    case 0xC2...0xDF:
        guard let second = continuation(1) else { return nil }
        return (UInt32(first & 0x1F) << 6 | second, 2)
    case 0xE0...0xEF:
        guard let second = continuation(1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF),
            let third = continuation(2)
        else { return nil }
        return (UInt32(first & 0x0F) << 12 | second << 6 | third, 3)
    case 0xF0...0xF4:
        guard let second = continuation(1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF),
            let third = continuation(2), let fourth = continuation(3)
        else { return nil }
        return (UInt32(first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
    default: return nil
    }
}

/// How many bytes at the end of `bytes` begin a UTF-8 character without ending it: 0 to 3.
func incompleteSuffixLength(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
        let start = bytes.count - length
        let first = bytes[start]
        if first & 0xC0 == 0x80 { continue }  // a continuation byte: its first byte stands further left
        let needed =
            switch first {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 0
            }
        guard needed > length else { return 0 }
        guard length > 1 else { return 1 }
        // The second byte decides whether the beginning can still become valid.
        let allowed: ClosedRange<UInt8> =
            switch first {
            case 0xE0: 0xA0...0xBF
            case 0xED: 0x80...0x9F
            case 0xF0: 0x90...0xBF
            case 0xF4: 0x80...0x8F
            default: 0x80...0xBF
            }
        return allowed.contains(bytes[start + 1]) ? length : 0
    }
    return 0
}
