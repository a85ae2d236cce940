// Words come again and again: the tokens of short words are remembered in a table of fixed size.

/// A cache of words of up to 16 bytes that became up to six tokens. A new word takes the place of whatever had its slot.
struct WordCache {
    /// The bytes of a short word, exactly: two different words never have the same key.
    struct Key: Equatable {
        fileprivate var low: UInt64
        fileprivate var high: UInt64
        fileprivate var length: UInt8

        /// The key of `text[start..<end]`, or nil if it is empty or too long to be cached.
        init?(_ text: Span<UInt8>, _ start: Int, _ end: Int) {
            let count = end - start
            guard count > 0, count <= 16 else { return nil }
            low = 0
            high = 0
            length = UInt8(count)
            for index in 0..<min(count, 8) { low |= UInt64(text[start + index]) << UInt64(8 * index) }
            if count > 8 {
                for index in 8..<count { high |= UInt64(text[start + index]) << UInt64(8 * (index - 8)) }
            }
        }

        fileprivate var hash: UInt64 {
            let mixed = (low ^ (high &* 0xC2B2_AE3D_27D4_EB4F) ^ UInt64(length)) &* 0x9E37_79B9_7F4A_7C15
            return mixed ^ mixed >> 32
        }
    }

    private struct Slot {
        var key: Key?
        var count: UInt8 = 0
        var tokens: (TokenID, TokenID, TokenID, TokenID, TokenID, TokenID) = (0, 0, 0, 0, 0, 0)
    }

    private var slots: [Slot]

    /// A cache that suits a text of `textLength` bytes: at most 32,768 words, about 1.5 MB.
    init(textLength: Int) {
        var count = 64
        while count < 32_768, count * 16 < textLength { count *= 2 }
        slots = Array(repeating: Slot(), count: count)
    }

    /// Appends the tokens of the word to `output`, if it is known.
    func append(_ key: Key, to output: inout [TokenID]) -> Bool {
        let slot = slots[Int(truncatingIfNeeded: key.hash) & (slots.count - 1)]
        guard slot.key == key else { return false }
        let tokens = slot.tokens
        let count = slot.count
        output.append(tokens.0)
        if count > 1 { output.append(tokens.1) }
        if count > 2 { output.append(tokens.2) }
        if count > 3 { output.append(tokens.3) }
        if count > 4 { output.append(tokens.4) }
        if count > 5 { output.append(tokens.5) }
        return true
    }

    /// Remembers the tokens of a word, unless they are too many.
    mutating func remember(_ key: Key, _ tokens: ArraySlice<TokenID>) {
        guard !tokens.isEmpty, tokens.count <= 6 else { return }
        func token(_ index: Int) -> TokenID { index < tokens.count ? tokens[tokens.startIndex + index] : 0 }
        slots[Int(truncatingIfNeeded: key.hash) & (slots.count - 1)] = Slot(
            key: key, count: UInt8(tokens.count),
            tokens: (token(0), token(1), token(2), token(3), token(4), token(5)))
    }
}
