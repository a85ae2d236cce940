// Byte-level BPE: the vocabulary model `gpt2`. Words are bytes; merges join them, in the order they were learnt.

/// GPT-2's way of writing bytes as printable characters, which byte-level vocabularies use for their tokens.
enum ByteAlphabet {
    /// The character that stands for each byte: itself where it is printable Latin-1, else one from U+0100 on.
    static let scalars: [UInt32] = {
        var other: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return byte
            }
            defer { other += 1 }
            return other
        }
    }()

    private static let bytes: [UInt32: UInt8] = Dictionary(
        uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

    /// The name of a byte as a token of one byte.
    static func name(of byte: Int) -> [UInt8] {
        guard let scalar = Unicode.Scalar(scalars[byte]) else { return [] }
        return Array(String(Character(scalar)).utf8)
    }

    /// The bytes that a token stands for; the token's own bytes if it is not written in this alphabet.
    static func bytes(of token: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(token.count)
        let text = token.span
        var at = 0
        while at < token.count {
            guard let (value, width) = scalar(text, at, token.count), let byte = bytes[value] else {
                return token
            }
            result.append(byte)
            at += width
        }
        return result
    }
}

/// The tables of a byte-level BPE vocabulary.
struct ByteLevel: Sendable {
    private let preTokenizer: PreTokenizer
    /// Whether texts begin with the beginning token when the file does not say.
    var addsBeginning: Bool { preTokenizer.addsBeginning }
    private let pairs: PairTable
    /// The symbols that each byte begins as: one token, or what stands for a byte the vocabulary lacks.
    private let symbolsOfByte: [[TokenID]]
    /// For vocabularies where a word that is a token is never built from merges (Llama 3, Tekken): such words.
    private let wholeWords: [[UInt8]: TokenID]
    /// The bytes that no token stands for, see `Tokenizer.bytesWithoutToken`.
    let bytesWithoutToken: [UInt8]

    init(_ vocabulary: Vocabulary, kinds: [TokenKind]) throws(TokenizerError) {
        preTokenizer = try PreTokenizer(named: vocabulary.preTokenizer)
        guard !vocabulary.merges.isEmpty else {
            throw TokenizerError(
                kind: .malformed,
                problem: "The vocabulary has no merges (tokenizer.ggml.merges), which byte-level BPE needs")
        }
        var ids: [[UInt8]: TokenID] = Dictionary(minimumCapacity: vocabulary.tokens.count)
        for (id, token) in vocabulary.tokens.enumerated() where ids[token] == nil { ids[token] = TokenID(id) }

        var pairs = PairTable(capacity: vocabulary.merges.count)
        for (rank, merge) in vocabulary.merges.enumerated() {
            // A space can be the first character, but no later one belongs to a token.
            guard let space = merge.dropFirst().firstIndex(of: 0x20),
                let left = ids[Array(merge[..<space])], let right = ids[Array(merge[(space + 1)...])],
                let joined = ids[Array(merge[..<space] + merge[(space + 1)...])]
            else {
                throw TokenizerError(
                    kind: .malformed,
                    problem:
                        "Merge \(rank) of the vocabulary, '\(String(decoding: merge, as: UTF8.self))', is not two "
                        + "tokens with a space between that together are a token")
            }
            // Text must never become a control token.
            if kinds[Int(joined)] == .control || kinds[Int(joined)] == .unknown { continue }
            pairs.add(left, right, rank: UInt32(rank), joined: joined)
        }
        self.pairs = pairs

        let single = (0..<256).map { byte -> TokenID? in
            guard let id = ids[ByteAlphabet.name(of: byte)], !kinds[Int(id)].isSpecial else { return nil }
            return id
        }
        let missing = (0..<256).filter { single[$0] == nil }
        bytesWithoutToken = missing.map { UInt8($0) }
        var substitute: [TokenID] = []
        if !missing.isEmpty {
            // U+FFFD, the replacement character, if it can be written; else the unknown token.
            let replacement = [0xEF, 0xBF, 0xBD].compactMap { single[$0] }
            if replacement.count == 3 {
                substitute = replacement
            } else if let unknown = vocabulary.unknown {
                substitute = [unknown]
            } else {
                throw TokenizerError(
                    kind: .malformed,
                    problem:
                        "The vocabulary has no token for the byte \(missing[0]), no unknown token, and cannot write "
                        + "the replacement character either")
            }
        }
        symbolsOfByte = single.map { $0.map { [$0] } ?? substitute }

        if preTokenizer.keepsWholeWords {
            var words: [[UInt8]: TokenID] = Dictionary(minimumCapacity: vocabulary.tokens.count)
            for (id, token) in vocabulary.tokens.enumerated() where kinds[id] == .normal {
                let bytes = ByteAlphabet.bytes(of: token)
                if words[bytes] == nil { words[bytes] = TokenID(id) }
            }
            wholeWords = words
        } else {
            wholeWords = [:]
        }
        longestWhole = wholeWords.keys.map(\.count).max() ?? 0
    }

    private let longestWhole: Int

    /// Appends the tokens of `text[range]`, which holds no special tokens.
    func encode(
        _ text: Span<UInt8>, _ range: Range<Int>, _ work: inout EncoderWork, _ output: inout [TokenID]
    ) {
        var at = range.lowerBound
        var cutter = WordCutter(preTokenizer)
        while at < range.upperBound, !work.merger.patience.isOver() {
            let end = cutter.wordEnd(text, from: at, to: range.upperBound)
            encodeWord(text, at, end, &work, &output)
            at = end
        }
    }

    private func encodeWord(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ work: inout EncoderWork, _ output: inout [TokenID]
    ) {
        let key = WordCache.Key(text, start, end)
        if let key, work.cache.append(key, to: &output) { return }
        let first = output.count
        if end - start <= longestWhole, let id = wholeWords[(start..<end).map { text[$0] }] {
            output.append(id)
        } else {
            work.merger.removeAll()
            for at in start..<end {
                for symbol in symbolsOfByte[Int(text[at])] { work.merger.append(symbol, start: at - start) }
            }
            work.merger.merge(pairs)
            output.append(contentsOf: work.merger.symbols)
        }
        if let key { work.cache.remember(key, output[first...]) }
    }
}

/// Working memory of one call of `encode`.
struct EncoderWork {
    var cache: WordCache
    var merger = PairMerger()

    init(textLength: Int) { cache = WordCache(textLength: textLength) }
}
