// SentencePiece-style vocabularies: the model `llama`. Symbols begin as characters, and the neighbours whose joined
// text has the best score join first. Spaces are written U+2581; characters without a token fall back to bytes.

/// The tables of a SentencePiece-style vocabulary (BPE with scores and byte fallback).
struct Pieces: Sendable {
    private static let space: UInt32 = 0x2581

    private let pairs: PairTable
    /// The symbol of each character that occurs in a token: the id of its own token, or a negative number.
    private let symbolOfScalar: [UInt32: Int32]
    private let symbolOfASCII: [Int32]
    private let tokenOfByte: [TokenID]
    /// Whether no token has a space behind another character, so that text can be cut before spaces.
    private let wordsAreApart: Bool
    private let addsSpacePrefix: Bool

    /// The symbol of characters that occur in no token. It is in no pair.
    private static let stranger = Int32.min

    init(_ vocabulary: Vocabulary, kinds: [TokenKind]) throws(TokenizerError) {
        addsSpacePrefix = vocabulary.addsSpacePrefix
        guard vocabulary.scores.count == vocabulary.tokens.count else {
            throw TokenizerError(
                kind: .malformed,
                problem: "The vocabulary has no scores (tokenizer.ggml.scores), which the model 'llama' needs"
            )
        }
        tokenOfByte = try Self.byteTokens(vocabulary, kinds: kinds)

        // Tokens that text can become, as scalars. Those that are not UTF-8 cannot be built from characters.
        var scalarsOf: [(id: TokenID, scalars: [UInt32])] = []
        var fromStart = ScalarTree()
        for (id, token) in vocabulary.tokens.enumerated() where kinds[id] == .normal {
            guard !vocabulary.scores[id].isNaN, let scalars = Self.scalars(of: token),
                fromStart.add(scalars, TokenID(id))
            else { continue }
            scalarsOf.append((TokenID(id), scalars))
        }
        // Characters that occur in tokens without being one need symbols as well: negative numbers.
        var stranger: Int32 = -1
        for (_, scalars) in scalarsOf where scalars.count > 1 {
            for scalar in scalars where fromStart.add([scalar], stranger) { stranger -= 1 }
        }
        // The same texts from their ends on, so that all cuts of a token are found in one walk each way.
        var fromEnd = ScalarTree()
        for (id, scalars) in scalarsOf { _ = fromEnd.add(scalars.reversed(), id) }
        for scalar in Set(scalarsOf.lazy.flatMap(\.scalars)) {
            if let symbol = fromStart.symbol([scalar]) { _ = fromEnd.add([scalar], symbol) }
        }
        wordsAreApart = scalarsOf.allSatisfy { _, scalars in
            !zip(scalars, scalars.dropFirst()).contains { $0 != Self.space && $1 == Self.space }
        }
        // Equal scores have equal ranks; of these the leftmost pair joins first.
        let order = scalarsOf.sorted { vocabulary.scores[Int($0.id)] > vocabulary.scores[Int($1.id)] }
        var joins: [(left: Int32, right: Int32, rank: UInt32, id: TokenID)] = []
        var rank: UInt32 = 0
        var last: Float?
        for (id, scalars) in order {
            let score = vocabulary.scores[Int(id)]
            if let last, last != score { rank += 1 }
            last = score
            // Symbols of the first `cut` characters, and of the last ones.
            let lefts = fromStart.symbols(along: scalars)
            let rights = fromEnd.symbols(along: scalars.reversed())
            for cut in 1..<max(1, scalars.count) {
                guard let left = lefts[cut - 1], let right = rights[scalars.count - cut - 1] else { continue }
                joins.append((left, right, rank, id))
            }
        }
        var pairs = PairTable(capacity: joins.count)
        for join in joins { pairs.add(join.left, join.right, rank: join.rank, joined: join.id) }
        self.pairs = pairs

        let symbolOfScalar = fromStart.symbolsOfScalars
        self.symbolOfScalar = symbolOfScalar
        symbolOfASCII = (UInt32(0)..<128).map {
            symbolOfScalar[$0 == 0x20 ? Self.space : $0] ?? Self.stranger
        }
    }

    /// The token of each byte, written `<0x00>` to `<0xFF>`.
    private static func byteTokens(
        _ vocabulary: Vocabulary, kinds: [TokenKind]
    ) throws(TokenizerError) -> [TokenID] {
        var tokens: [TokenID?] = Array(repeating: nil, count: 256)
        for (id, token) in vocabulary.tokens.enumerated() where kinds[id] == .byte {
            guard let byte = byte(named: token) else {
                throw TokenizerError(
                    kind: .malformed,
                    problem:
                        "Token \(id) of the vocabulary is a byte, but is named '\(String(decoding: token, as: UTF8.self))'"
                )
            }
            tokens[Int(byte)] = TokenID(id)
        }
        var found: [TokenID] = []
        for (byte, token) in tokens.enumerated() {
            guard let token else {
                throw TokenizerError(
                    kind: .malformed,
                    problem:
                        "The vocabulary has no token for the byte \(byte). Lariat needs all 256 of them, so that any "
                        + "text can be written")
            }
            found.append(token)
        }
        return found
    }

    /// 0x41 for `<0x41>`, else nil.
    static func byte(named token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    private static func scalars(of token: [UInt8]) -> [UInt32]? {
        guard let text = String(validating: token, as: UTF8.self), !token.isEmpty else { return nil }
        return text.unicodeScalars.map(\.value)
    }

    /// Appends the tokens of `text[range]`, which holds no special tokens. A space is put before it if the vocabulary
    /// wants one.
    func encode(
        _ text: Span<UInt8>, _ range: Range<Int>, _ work: inout EncoderWork, _ output: inout [TokenID]
    ) {
        var at = range.lowerBound
        guard at < range.upperBound else { return }
        if addsSpacePrefix {
            let end = wordEnd(text, from: at, to: range.upperBound)
            let word = [0x20] + (at..<end).map { text[$0] }
            encodeWord(word.span, 0, word.count, &work, &output)
            at = end
        }
        while at < range.upperBound, !work.merger.patience.isOver() {
            let end = wordEnd(text, from: at, to: range.upperBound)
            encodeWord(text, at, end, &work, &output)
            at = end
        }
    }

    /// A word is spaces and what follows them up to the next space. Cutting there changes nothing if no token has a space
    /// behind another character: no merge could go across.
    private func wordEnd(_ text: Span<UInt8>, from start: Int, to end: Int) -> Int {
        let end = min(end, start + PreTokenizer.longestWord)
        guard wordsAreApart else { return end }
        var at = start
        while at < end, text[at] == 0x20 { at += 1 }
        while at < end, text[at] != 0x20 { at += 1 }
        return at
    }

    private func encodeWord(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ work: inout EncoderWork, _ output: inout [TokenID]
    ) {
        let key = WordCache.Key(text, start, end)
        if let key, work.cache.append(key, to: &output) { return }
        let first = output.count
        work.merger.removeAll()
        var at = start
        while at < end {
            let (symbol, width) = symbol(text, at, end)
            work.merger.append(symbol, start: at - start)
            at += width
        }
        work.merger.merge(pairs)
        let symbols = work.merger.symbols
        let starts = work.merger.starts
        for index in symbols.indices {
            if symbols[index] >= 0 {
                output.append(symbols[index])
                continue
            }
            // No token: a single character, byte by byte.
            let stop = index + 1 < starts.count ? Int(starts[index + 1]) : end - start
            for place in Int(starts[index])..<stop { output.append(tokenOfByte[Int(text[start + place])]) }
        }
        if let key { work.cache.remember(key, output[first...]) }
    }

    @inline(__always)
    private func symbol(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> (symbol: Int32, width: Int) {
        let byte = text[at]
        if byte < 0x80 { return (symbolOfASCII[Int(byte)], 1) }
        // A U+2581 in the text itself falls back to bytes: as a symbol it would come back as a space.
        guard let (value, width) = scalar(text, at, end), value != Self.space else {
            return (Self.stranger, byte == 0xE2 && scalar(text, at, end) != nil ? 3 : 1)
        }
        return (symbolOfScalar[value] ?? Self.stranger, width)
    }
}

/// Texts as a tree of scalars, so that every beginning of a text is found in one walk along it.
private struct ScalarTree {
    /// The number of a node and a scalar (in the lowest 21 bits) lead to a node. Node 0 is the root.
    private var edges: [UInt64: UInt64] = [:]
    private var symbols: [UInt64: Int32] = [:]

    /// Gives a text a symbol; false where it has one already, which it keeps.
    mutating func add(_ text: some Sequence<UInt32>, _ symbol: Int32) -> Bool {
        var node: UInt64 = 0
        for scalar in text {
            let edge = node << 21 | UInt64(scalar)
            node = edges[edge] ?? UInt64(edges.count + 1)
            edges[edge] = node
        }
        guard symbols[node] == nil else { return false }
        symbols[node] = symbol
        return true
    }

    func symbol(_ text: [UInt32]) -> Int32? { symbols(along: text).last ?? nil }

    /// The symbol of the first scalar, of the first two, and so on.
    func symbols(along text: some Sequence<UInt32>) -> [Int32?] {
        var node: UInt64? = 0
        return text.map { scalar in
            node = node.flatMap { edges[$0 << 21 | UInt64(scalar)] }
            return node.flatMap { symbols[$0] }
        }
    }

    var symbolsOfScalars: [UInt32: Int32] {
        var found: [UInt32: Int32] = [:]
        for (edge, node) in edges where edge >> 21 == 0 { found[UInt32(edge)] = symbols[node] }
        return found
    }
}
