// Cutting text into words before byte-level BPE: scanners written by hand for the published regular expressions.

/// The ways of cutting text into words that byte-level BPE vocabularies were trained with.
///
/// With `\p{L}` letter, `\p{N}` number, `\s` white space, the expressions are
///
///     gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///     smollm  the same, on the pieces between single \p{Nd}, each of which is a word
///     llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
///             |\s*[\r\n]+|\s+(?!\S)|\s+
///     qwen2   the same with \p{N} in place of \p{N}{1,3}
///
/// llama.cpp's `smollm` sets apart all of \p{N}, such as ½ too; transformers, when it reads the GGUF file, does not. The
/// golden values follow transformers. No token of SmolLM2 joins digits, so the two differ in such rare characters only.
package enum PreTokenizer: CaseIterable, Sendable {
    case gpt2
    case smollm
    case llama3
    case qwen2

    /// The values of `tokenizer.ggml.pre` that name it.
    package var names: [String] {
        switch self {
        case .gpt2: ["gpt-2", "default"]
        case .smollm: ["smollm"]
        case .llama3: ["llama-bpe", "llama3", "llama-v3"]
        case .qwen2: ["qwen2"]
        }
    }

    /// The pre-tokenizer of that name; none means GPT-2's.
    package init(named name: String?) throws(TokenizerError) {
        guard let name else {
            self = .gpt2
            return
        }
        guard let found = Self.allCases.first(where: { $0.names.contains(name) }) else {
            let supported = Self.allCases.flatMap(\.names).joined(separator: ", ")
            throw TokenizerError(
                kind: .unsupported,
                problem:
                    "The pre-tokenizer '\(name)' (tokenizer.ggml.pre) is not supported. Supported: \(supported)"
            )
        }
        self = found
    }

    /// The longest word that is looked at as one. It bounds the memory for a text that is a single word.
    static let longestWord = 1 << 28

    /// Where the word that begins at `start` ends. `start` must be below `end`, the end of the text between two special
    /// tokens.
    package func wordEnd(_ text: Span<UInt8>, from start: Int, to end: Int) -> Int {
        let end = min(end, start + Self.longestWord)
        return switch self {
        case .gpt2, .smollm: gpt2WordEnd(text, start, end)
        case .llama3: llama3WordEnd(text, start, end, digits: 3)
        case .qwen2: llama3WordEnd(text, start, end, digits: 1)
        }
    }

    /// The class of the character at `at`, and its width. Only `smollm` tells digits from other numbers.
    @inline(__always)
    private func character(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> (class: ScalarClass, width: Int) {
        guard let (value, width) = scalar(text, at, end) else { return (.other, 1) }
        let kind = ScalarClass.of(value)
        return (kind == .digit && self != .smollm ? .number : kind, width)
    }

    private func gpt2WordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        if let length = contraction(text, start, end, anyCase: false) { return start + length }
        let (kind, width) = character(text, start, end)
        switch kind {
        case .digit: return start + width  // smollm only
        case .letter, .number, .other: return run(of: kind, text, start + width, end)
        case .space, .newline: break
        }
        let next = start + width
        if text[start] == 0x20, next < end {
            let (following, width) = character(text, next, end)
            if !following.isWhitespace, following != .digit {
                return run(of: following, text, next + width, end)
            }
        }
        let (runEnd, last, _) = whitespace(text, start, end)
        if runEnd == end || last == start { return runEnd }
        // A digit that stands apart ends the piece before it: the white space there is the last of its piece.
        if character(text, runEnd, end).class == .digit { return runEnd }
        return last
    }

    private func llama3WordEnd(_ text: Span<UInt8>, _ start: Int, _ end: Int, digits: Int) -> Int {
        if let length = contraction(text, start, end, anyCase: true) { return start + length }
        let (kind, width) = character(text, start, end)
        let next = start + width
        switch kind {
        case .letter: return run(of: .letter, text, next, end)
        case .number, .digit:
            var at = next
            for _ in 1..<digits where at < end {
                let (following, width) = character(text, at, end)
                guard following == .number else { break }
                at += width
            }
            return at
        case .space, .other:
            if next < end {
                let (following, width) = character(text, next, end)
                if following == .letter { return run(of: .letter, text, next + width, end) }
                if following == .other, text[start] == 0x20 {
                    return newlines(text, run(of: .other, text, next + width, end), end)
                }
            }
            if kind == .other { return newlines(text, run(of: .other, text, next, end), end) }
        case .newline: break
        }
        let (runEnd, last, afterNewline) = whitespace(text, start, end)
        if let afterNewline { return afterNewline }
        return runEnd == end || last == start ? runEnd : last
    }

    /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `start`, or nil.
    private func contraction(_ text: Span<UInt8>, _ start: Int, _ end: Int, anyCase: Bool) -> Int? {
        guard text[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
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

    /// The end of the run of characters of one class that goes on at `at`.
    private func run(of kind: ScalarClass, _ text: Span<UInt8>, _ at: Int, _ end: Int) -> Int {
        var at = at
        while at < end {
            let (next, width) = character(text, at, end)
            guard next == kind else { break }
            at += width
        }
        return at
    }

    private func newlines(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> Int {
        var at = at
        while at < end, text[at] == 0x0A || text[at] == 0x0D { at += 1 }
        return at
    }

    /// The run of white space at `start`: its end, where its last character begins, and the end of its last CR or LF.
    private func whitespace(
        _ text: Span<UInt8>, _ start: Int, _ end: Int
    ) -> (end: Int, last: Int, afterNewline: Int?) {
        var at = start
        var last = start
        var afterNewline: Int?
        while at < end {
            let (kind, width) = character(text, at, end)
            guard kind.isWhitespace else { break }
            last = at
            at += width
            if kind == .newline { afterNewline = at }
        }
        return (at, last, afterNewline)
    }
}
