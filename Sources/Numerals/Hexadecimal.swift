// Bytes and numbers as hexadecimal digits: digests and tokens that programs read again.

extension Sequence<UInt8> {
    /// Two lower-case digits for each byte: `00ff`.
    package var hexadecimal: String {
        let digits = Array("0123456789abcdef")
        return String(flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    /// All of its lower-case digits, zeros in front among them: 16 of a `UInt64`.
    package var hexadecimal: String {
        let text = String(self, radix: 16)
        return String(repeating: "0", count: Self.bitWidth / 4 - text.utf8.count) + text
    }
}
