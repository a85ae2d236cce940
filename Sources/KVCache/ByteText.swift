// Hexadecimal digits and decimal numbers in short texts, read from front to back.
/// A text that is taken apart from its front.
struct ByteText {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    /// Exactly so many lower-case digits, 16 at most.
    mutating func hexadecimal(_ digits: Int) -> UInt64? {
        var value: UInt64 = 0
        for _ in 0..<digits {
            guard let byte = rest.popFirst() else { return nil }
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(byte - 0x61 + 10)
            default: return nil
            }
        }
        return value
    }

    /// One to 18 digits, without a zero in front.
    mutating func number() -> Int? {
        var (value, digits) = (0, 0)
        while let byte = rest.first, (0x30...0x39).contains(byte), digits < 18 {
            guard digits == 0 || value > 0 else { return nil }
            value = value * 10 + Int(byte - 0x30)
            digits += 1
            rest.removeFirst()
        }
        return digits > 0 ? value : nil
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard rest.first == byte else { return false }
        rest.removeFirst()
        return true
    }
}
