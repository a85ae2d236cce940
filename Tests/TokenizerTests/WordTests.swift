// Pre-tokenizers and merges against what Hugging Face's and Google's software makes of the same texts.
import Testing
import Tokenizer

@Suite struct WordTests {
    private func words(_ text: String, _ name: String) throws -> String {
        let preTokenizer = try PreTokenizer(named: name)
        let bytes = Array(text.utf8)
        var words: [String] = []
        var at = 0
        while at < bytes.count {
            let end = preTokenizer.wordEnd(bytes.span, from: at, to: bytes.count)
            words.append(String(decoding: bytes[at..<end], as: UTF8.self))
            at = end
        }
        return words.joined(separator: "¦")
    }

    @Test func wordsAreThoseOfHuggingFace() throws {
        #expect(ExpectedWords.all.count > 20)
        for expected in ExpectedWords.all {
            #expect(try words(expected.text, "gpt-2") == expected.gpt2)
            #expect(try words(expected.text, "smollm") == expected.smollm)
            #expect(try words(expected.text, "llama-bpe") == expected.llama3)
            #expect(try words(expected.text, "qwen2") == expected.qwen2)
        }
    }

    @Test func unknownPreTokenizer() {
        let error = #expect(throws: TokenizerError.self) { try PreTokenizer(named: "tekken") }
        #expect(error?.kind == .unsupported)
        #expect(error?.description.contains("tekken") == true)
        #expect(
            error?.description.contains("gpt-2, default, smollm, llama-bpe, llama3, llama-v3, qwen2") == true)
    }

    @Test(arguments: [
        ("gpt-2", Small.gpt2), ("smollm", Small.smollm), ("llama-bpe", Small.llama3), ("qwen2", Small.qwen2),
    ])
    func byteLevelTokens(preTokenizer: String, expected: [[TokenID]]) throws {
        let tokenizer = try Tokenizer(Small.byteLevel(preTokenizer))
        #expect(Small.texts.count == expected.count)
        for (text, tokens) in zip(Small.texts, expected) {
            #expect(tokenizer.encode(text) == tokens, "\(text)")
        }
    }

    @Test func sentencePieceTokens() throws {
        let tokenizer = try Tokenizer(Small.sentencePiece())
        #expect(Small.pieceTexts.count == Small.sentencePiece.count)
        for (text, tokens) in zip(Small.pieceTexts, Small.sentencePiece) {
            #expect(tokenizer.encode(text, addingBeginning: false) == tokens, "\(text)")
            #expect(tokenizer.encode(text) == [1] + tokens)
        }
    }

    /// The queue for long words and the search for short ones must agree; so must text with and without cut words.
    @Test func longWords() throws {
        var random = SplitMix(state: 5)
        let letters = ["er", "the", "t", "h", "e", "r", "n", "d", "0", "s", "k"]
        let tokenizer = try Tokenizer(Small.byteLevel("gpt-2"))
        let rank = Dictionary(
            uniqueKeysWithValues: Small.byteLevel("gpt-2").merges.enumerated().map {
                (String(decoding: $1, as: UTF8.self), $0)
            })
        for _ in 0..<100 {
            let word = (0..<80).map { _ in letters.filter { $0 != "0" }.randomElement(using: &random) ?? "" }
                .joined()
            // The definition, word for word: join the best pair, the leftmost first, until none is left.
            var symbols = word.map(String.init)
            while let best = zip(symbols, symbols.dropFirst()).enumerated().compactMap({ place, pair in
                rank["\(pair.0) \(pair.1)"].map { ($0, place) }
            }).min(by: { $0 < $1 }) {
                symbols[best.1] += symbols.remove(at: best.1 + 1)
            }
            let tokens = tokenizer.encode(word)
            #expect(tokens.map { String(decoding: tokenizer.decode([$0]), as: UTF8.self) } == symbols)
        }
    }

    @Test func hugeWordsEnd() throws {
        for (name, tokenizer) in try Small.all() {
            for text in ["a", " ", "0", "er", "\n", "'"] {
                let bytes = Array(String(repeating: text, count: 100_000).utf8)
                #expect(tokenizer.decode(tokenizer.encode(bytes)) == bytes, "\(name)")
            }
        }
    }
}
