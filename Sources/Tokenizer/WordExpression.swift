// Scanners written by hand for the regular expressions of pre-tokenizers.

/// A regular expression that finds words, or pieces for another expression, in text.
///
/// With `\p{L}` letter, `\p{N}` number, `\s` white space:
///
///     gpt2        's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///     llama3      (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
///                 |\s*[\r\n]+|\s+(?!\S)|\s+
///                 (`withMarks`: [\p{L}\p{M}]+ in place of \p{L}+, and no marks in the rest; `withNewlines` false: no
///                 [\r\n]* behind the rest)
///     cased       see WordExpression+Cased
///     deepSeek    see WordExpression+DeepSeek
///     numberGroups \p{N}{1,3}
///     eachNumber  \p{N}
///     numbers     \p{N}+
///     threeDigits [0-9][0-9][0-9]
///     threesFromTheRight (?=(\d{3})+(?!\d)): cuts and matches nothing, see DigitGroups
///     eachNewline [\r\n]
///     defaultPunctuation     [\p{P}\$\+<=>\^~\|]+
///     falconPunctuation      [\p{P}\$\+<=>\^~\|`]+
///     spacedLetters          \s?\p{L}+
///     spacedPunctuation      \s?\p{P}+
///     spacedCasedLetters     \s?[A-Za-zµÀ-Ö...]+    (DeepSeek LLM, see CasedLetters)
///     spacedASCIIPunctuation \s?[!-/:-~！-／：-～‘-‟　-。]+
///     spaceAtEnd             \s+$
///     asianScripts           [一-龥ࠀ-一가-퟿]+
///     chineseAndKana         [一-龥\u3040-ゟ゠-ヿ]+
///     betweenPunctuation      ?[^(\s|.,!?…。，、।۔،)]+
enum WordExpression: Sendable, Equatable {
    case gpt2
    /// Numbers in groups of so many digits.
    case llama3(digits: Int, withMarks: Bool = false, withNewlines: Bool = true)
    /// Words that end where an upper-case letter follows a lower-case one.
    case cased(digits: Int, contractions: Bool)
    case deepSeek
    case eachNumber, numbers, numberGroups, threeDigits
    case threesFromTheRight
    case eachNewline
    case defaultPunctuation, falconPunctuation
    case spacedLetters, spacedPunctuation, spacedCasedLetters, spacedASCIIPunctuation
    case spaceAtEnd
    case asianScripts, chineseAndKana
    case betweenPunctuation

    /// The first match in `text[start..<end]`; where there is none, the empty range at `end`.
    /// - Parameter groups: what `threesFromTheRight` knows of the digits ahead.
    func next(
        _ text: Span<UInt8>, from start: Int, to end: Int, _ groups: inout DigitGroups
    ) -> Range<Int> {
        switch self {
        case .gpt2: return start..<gpt2WordEnd(text, start, end)
        case .llama3(let digits, let withMarks, let withNewlines):
            return
                start..<llama3WordEnd(
                    text, start, end, digits: digits, marks: withMarks, newlines: withNewlines)
        case .cased(let digits, let contractions):
            return start..<casedWordEnd(text, start, end, digits: digits, contractions: contractions)
        case .spaceAtEnd: return spaceAtEnd(text, start, end)..<end
        case .threesFromTheRight:
            let cut = groups.cut(text, after: start, end)
            return cut..<cut
        default: break
        }
        var at = start
        while at < end {
            let stop = matchEnd(text, at, end)
            if stop > at { return at..<stop }
            at += ScalarClass.at(at, text, end).width
        }
        return end..<end
    }

    /// The end of the match that begins at `at`; `at` itself when none does. For expressions that look at most one
    /// character ahead before they match.
    private func matchEnd(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> Int {
        func afterSpace() -> Int {
            let (kind, width) = ScalarClass.at(at, text, end)
            return kind.isIn(.whiteSpace) ? at + width : at
        }
        func spaced(_ start: Int, _ end: Int) -> Int { end > start ? end : at }
        switch self {
        case .eachNumber:
            let (kind, width) = ScalarClass.at(at, text, end)
            return kind == .number ? at + width : at
        case .numbers: return Self.run(of: .number, text, at, end)
        case .numberGroups: return Self.numbers(text, at, end, more: 3)
        case .threeDigits:
            guard at + 3 <= end, (at..<at + 3).allSatisfy({ (0x30...0x39).contains(text[$0]) }) else {
                return at
            }
            return at + 3
        case .eachNewline: return text[at] == 0x0A || text[at] == 0x0D ? at + 1 : at
        case .defaultPunctuation:
            return Self.run(text, at, end) { kind, scalar in
                kind == .punctuation || Self.alsoPunctuation.contains(scalar)
            }
        case .falconPunctuation:
            return Self.run(text, at, end) { kind, scalar in
                kind == .punctuation || scalar == 0x60 || Self.alsoPunctuation.contains(scalar)
            }
        case .spacedLetters:
            let start = afterSpace()
            return spaced(start, Self.run(of: .letter, text, start, end))
        case .spacedPunctuation:
            let start = afterSpace()
            return spaced(start, Self.run(of: .punctuation, text, start, end))
        case .spacedCasedLetters:
            let start = afterSpace()
            return spaced(start, Self.run(text, start, end) { _, scalar in CasedLetters.contains(scalar) })
        case .spacedASCIIPunctuation:
            let stop = Self.run(text, afterSpace(), end) { _, scalar in Self.isASCIIPunctuation(scalar) }
            // U+3000 is white space and punctuation here.
            return stop > afterSpace()
                ? stop : Self.run(text, at, end) { _, scalar in Self.isASCIIPunctuation(scalar) }
        case .asianScripts:
            return Self.run(text, at, end) { _, scalar in
                (0x0800...0x9FA5).contains(scalar) || (0xAC00...0xD7FF).contains(scalar)
            }
        case .chineseAndKana:
            return Self.run(text, at, end) { _, scalar in
                (0x4E00...0x9FA5).contains(scalar) || (0x3040...0x30FF).contains(scalar)
            }
        case .deepSeek: return deepSeekWordEnd(text, at, end)
        case .betweenPunctuation:
            let start = text[at] == 0x20 ? at + 1 : at
            return spaced(
                start,
                Self.run(text, start, end) { kind, scalar in
                    !kind.isIn(.whiteSpace) && !Self.sentenceMarks.contains(scalar)
                })
        case .gpt2, .llama3, .cased, .spaceAtEnd, .threesFromTheRight: return at
        }
    }

    private static let alsoPunctuation = Set("$+<=>^~|".unicodeScalars.map(\.value))
    private static let sentenceMarks = Set("(|.,!?…。，、।۔،)".unicodeScalars.map(\.value))

    /// `[!-/:-~！-／：-～‘-‟　-。]`
    private static func isASCIIPunctuation(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x21...0x2F, 0x3A...0x7E, 0xFF01...0xFF0F, 0xFF1A...0xFF5E, 0x2018...0x201F, 0x3000...0x3002:
            true
        default: false
        }
    }

    /// Where the white space at the end of `text[start..<end]` begins; `end` when there is none.
    private func spaceAtEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var first = end
        while first > start {
            var at = first - 1
            while at > start, text[at] & 0xC0 == 0x80 { at -= 1 }
            let (kind, width) = ScalarClass.at(at, text, first)
            guard kind.isIn(.whiteSpace), at + width == first else { break }
            first = at
        }
        return first
    }

    private func gpt2WordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        if let length = Self.contraction(text, start, end, anyCase: false) { return start + length }
        let (kind, width) = ScalarClass.at(start, text, end)
        let next = start + width
        if !kind.isIn(.whiteSpace) { return Self.run(of: Self.gpt2Run(kind), text, next, end) }
        if text[start] == 0x20, next < end {
            let (following, width) = ScalarClass.at(next, text, end)
            if !following.isIn(.whiteSpace) {
                return Self.run(of: Self.gpt2Run(following), text, next + width, end)
            }
        }
        let (runEnd, last, _) = Self.whitespace(text, start, end)
        return runEnd == end || last == start ? runEnd : last
    }

    /// Which characters go on a word that begins with one of this class.
    private static func gpt2Run(_ kind: ScalarClass) -> ScalarClass {
        kind.isIn(.letter) ? .letter : kind == .number ? .number : .rest
    }

    private func llama3WordEnd(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, digits: Int, marks: Bool, newlines: Bool
    ) -> Int {
        let letters: ScalarClass = marks ? [.letter, .mark] : .letter
        if let length = Self.contraction(text, start, end, anyCase: true) { return start + length }
        let (kind, width) = ScalarClass.at(start, text, end)
        let next = start + width
        if kind.isIn(letters) { return Self.run(of: letters, text, next, end) }
        if kind == .number { return Self.numbers(text, next, end, more: digits - 1) }
        if kind != .newline, next < end {
            let (following, width) = ScalarClass.at(next, text, end)
            if following.isIn(letters) { return Self.run(of: letters, text, next + width, end) }
        }
        return Self.restOrSpace(text, start, end, rest: marks ? .restWithoutMarks : .rest) {
            newlines && ($0 == 0x0A || $0 == 0x0D)
        }
    }

    // MARK: Parts that several expressions have

    /// ` ?[^\s\p{L}\p{N}]+` and what `goesOn` behind it, else `\s*[\r\n]+|\s+(?!\S)|\s+`. Neither letter nor number
    /// stands at `start`.
    @inline(__always)
    static func restOrSpace(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, rest: ScalarClass = .rest, _ goesOn: (UInt8) -> Bool
    ) -> Int {
        let (kind, width) = ScalarClass.at(start, text, end)
        var at = start + width
        var isRest = kind.isIn(rest)
        if text[start] == 0x20, at < end {
            let (following, width) = ScalarClass.at(at, text, end)
            isRest = following.isIn(rest)
            if isRest { at += width }
        }
        if isRest {
            at = run(of: rest, text, at, end)
            while at < end, goesOn(text[at]) { at += 1 }
            return at
        }
        return spaceEnd(text, start, end)
    }

    /// The end of `\s*[\r\n]+|\s+(?!\S)|\s+` at `start`, where white space stands.
    static func spaceEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        let (runEnd, last, afterNewline) = whitespace(text, start, end)
        if let afterNewline { return afterNewline }
        return runEnd == end || last == start ? runEnd : last
    }

    /// The end of at most `more` numbers that follow one.
    static func numbers(_ text: Span<UInt8>, _ start: Int, _ end: Int, more: Int) -> Int {
        var at = start
        for _ in 0..<more where at < end {
            let (following, width) = ScalarClass.at(at, text, end)
            guard following == .number else { break }
            at += width
        }
        return at
    }

    /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `start`, or nil.
    static func contraction(_ text: Span<UInt8>, _ start: Int, _ end: Int, anyCase: Bool) -> Int? {
        guard start + 1 < end, text[start] == UInt8(ascii: "'") else { return nil }
        let lower: UInt8 = anyCase ? 0x20 : 0
        let first = text[start + 1] | lower
        switch first {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
        // U+017F, the long s: a caseless match takes it for an s.
        case 0xC5 | lower
        where anyCase && start + 2 < end && text[start + 1] == 0xC5 && text[start + 2] == 0xBF:
            return 3
        default: break
        }
        guard start + 2 < end else { return nil }
        switch (first, text[start + 2] | lower) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return 3
        default: return nil
        }
    }

    /// The end of the run of characters of some classes that goes on at `at`.
    @inline(__always)
    static func run(of classes: ScalarClass, _ text: Span<UInt8>, _ at: Int, _ end: Int) -> Int {
        var at = at
        while at < end {
            let (next, width) = ScalarClass.at(at, text, end)
            guard next.isIn(classes) else { break }
            at += width
        }
        return at
    }

    /// The same for characters that `belongs` says, by class and scalar value; bytes that are not UTF-8 never do.
    static func run(
        _ text: Span<UInt8>, _ at: Int, _ end: Int, _ belongs: (ScalarClass, UInt32) -> Bool
    ) -> Int {
        var at = at
        while at < end {
            guard let (value, width) = scalar(text, at, end), belongs(.of(value), value) else { break }
            at += width
        }
        return at
    }

    /// The run of white space at `start`: its end, where its last character begins, and the end of its last CR or LF.
    static func whitespace(
        _ text: Span<UInt8>, _ start: Int, _ end: Int
    ) -> (end: Int, last: Int, afterNewline: Int?) {
        var at = start
        var last = start
        var afterNewline: Int?
        while at < end {
            let (kind, width) = ScalarClass.at(at, text, end)
            guard kind.isIn(.whiteSpace) else { break }
            last = at
            at += width
            if kind == .newline { afterNewline = at }
        }
        return (at, last, afterNewline)
    }
}
