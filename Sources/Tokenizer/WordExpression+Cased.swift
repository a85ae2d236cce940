// Words that end where an upper-case letter follows a lower-case one: o200k (GPT-4o, Phi-4 mini) and Tekken (Mistral).
//
//     [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//     |[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//     |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// Tekken has no contractions and single numbers. llama.cpp writes both with [a-z] and [A-Z] in place of the classes,
// which differs for letters beyond ASCII.

extension WordExpression {
    private static let upperLike: ScalarClass = [.upper, .caseless, .mark]
    private static let lowerLike: ScalarClass = [.lower, .caseless, .mark]

    func casedWordEnd(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, digits: Int, contractions: Bool
    ) -> Int {
        let (kind, width) = ScalarClass.at(start, text, end)
        if kind == .number { return Self.numbers(text, start + width, end, more: digits - 1) }
        // The character before a word: greedy, so that with it is tried first. A letter is never one, a mark may be
        // one or a part of the word.
        let withPrefix = kind.isIn([.letter, .newline]) ? nil : start + width
        let bare = kind.isIn(Self.upperLike.union(Self.lowerLike)) ? start : nil
        let word =
            withPrefix.flatMap { Self.endingLower(text, $0, end) } ?? bare.flatMap {
                Self.endingLower(text, $0, end)
            }
            ?? withPrefix.flatMap { Self.beginningUpper(text, $0, end) }
            ?? bare.flatMap { Self.beginningUpper(text, $0, end) }
        if let word {
            return word + (contractions ? Self.contraction(text, word, end, anyCase: true) ?? 0 : 0)
        }
        return Self.restOrSpace(text, start, end) { $0 == 0x0A || $0 == 0x0D || $0 == UInt8(ascii: "/") }
    }

    /// The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` at `start`; nil: it does not match.
    private static func endingLower(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
        var at = start
        // The end of the last character that both sets have: what the first part gives back when nothing follows it.
        var afterShared: Int?
        while at < end {
            let (kind, width) = ScalarClass.at(at, text, end)
            guard kind.isIn(upperLike) else { break }
            at += width
            if kind.isIn(lowerLike) { afterShared = at }
        }
        let stop = run(of: lowerLike, text, at, end)
        return stop > at ? stop : afterShared
    }

    /// The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` at `start`; nil: it does not match.
    private static func beginningUpper(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
        let stop = run(of: upperLike, text, start, end)
        return stop > start ? run(of: lowerLike, text, stop, end) : nil
    }
}
