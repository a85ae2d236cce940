// Words as DeepSeek V3 cuts them, between its groups of digits and its runs of Chinese and Japanese characters.
//
//     [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
//     |\s*[\r\n]+|\s+(?!\S)|\s+

extension WordExpression {
    private static let lettersAndMarks: ScalarClass = [.letter, .mark]
    private static let signs: ScalarClass = [.punctuation, .symbol]

    /// The end of the match that begins at `start`; `start` itself when none does: controls, numbers and bytes that are
    /// not UTF-8 belong to a word only before a letter or mark.
    func deepSeekWordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        let (kind, width) = ScalarClass.at(start, text, end)
        let next = start + width
        if kind.isIn(Self.signs) {
            // Each of the ASCII signs that the expression lists is punctuation or a symbol, and none is missing.
            if text[start] < 0x80, next < end, Self.isASCIILetter(text[next]) {
                return Self.run(text, next, end) { _, scalar in
                    scalar < 0x80 && Self.isASCIILetter(UInt8(scalar))
                }
            }
            return Self.afterNewlines(text, Self.run(of: Self.signs, text, next, end), end)
        }
        if kind.isIn(Self.lettersAndMarks) { return Self.run(of: Self.lettersAndMarks, text, next, end) }
        if kind != .newline, next < end {
            let (following, width) = ScalarClass.at(next, text, end)
            if following.isIn(Self.lettersAndMarks) {
                return Self.run(of: Self.lettersAndMarks, text, next + width, end)
            }
            if text[start] == 0x20, following.isIn(Self.signs) {
                return Self.afterNewlines(text, Self.run(of: Self.signs, text, next + width, end), end)
            }
        }
        return kind.isIn(.whiteSpace) ? Self.spaceEnd(text, start, end) : start
    }

    private static func isASCIILetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }

    private static func afterNewlines(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var at = start
        while at < end, text[at] == 0x0A || text[at] == 0x0D { at += 1 }
        return at
    }
}
