// Pre-tokenizers and merges against what Hugging Face's and Google's software makes of the same texts.
import TestSupport
import Testing
import Tokenizer

@Suite struct WordTests {
    /// The lengths of a text's words in bytes.
    private func words(_ text: [UInt8], _ name: String) throws -> [Int] {
        var cutter = WordCutter(try PreTokenizer(named: name))
        var words: [Int] = []
        var at = 0
        while at < text.count {
            let end = cutter.wordEnd(text.span, from: at, to: text.count)
            words.append(end - at)
            at = end
        }
        return words
    }

    /// A text of pre-tokenizers.json, and the lengths of its words for each expression.
    struct Cut: Decodable {
        let text: String
        let words: [String: [Int]]

        init(from decoder: any Decoder) throws {
            var cut = try decoder.singleValueContainer().decode([String: Field].self)
            guard case .text(let text)? = cut.removeValue(forKey: "text") else {
                throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no text"))
            }
            self.text = text
            words = cut.compactMapValues { if case .words(let lengths) = $0 { lengths } else { nil } }
        }

        enum Field: Decodable {
            case text(String)
            case words([Int])

            init(from decoder: any Decoder) throws {
                let value = try decoder.singleValueContainer()
                if let text = try? value.decode(String.self) {
                    self = .text(text)
                } else {
                    self = .words(try value.decode([Int].self))
                }
            }
        }
    }

    @Test func wordsAreThoseOfHuggingFace() throws {
        let cuts: [Cut] = try TestSupport.Golden.json("pre-tokenizers.json")
        #expect(cuts.count > 180)
        for cut in cuts {
            #expect(cut.words.count == 17)
            for (name, expected) in cut.words {
                #expect(
                    try words(Array(cut.text.utf8), name) == expected, "\(name): \(cut.text.debugDescription)"
                )
            }
        }
    }

    /// Other names for the same: as in llama.cpp.
    @Test func aliases() throws {
        let text = Array("don't HELLOWorld 12345 x".utf8)
        for (name, others) in [
            (
                "llama-bpe",
                ["llama3", "llama-v3", "dbrx", "smaug-bpe", "falcon3", "pixtral", "glm4", "chatglm-bpe"]
            ),
            (
                "qwen2",
                [
                    "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "bailingmoe", "bailingmoe2",
                    "llada-moe",
                ]
            ),
            ("deepseek-v3", ["hunyuan-dense", "joyai-llm"]),
            ("smollm", ["starcoder", "refact", "command-r", "minerva-7b"]),
            ("gpt-2", ["phi-2", "mpt", "olmo", "trillion"]), ("gpt-4o", ["llama4", "kanana2"]),
            ("bloom", ["poro-chat", "gpt3-finnish"]),
        ] {
            for other in others { #expect(try words(text, name) == words(text, other), "\(other)") }
        }
        #expect(Set(PreTokenizer.names).count == PreTokenizer.names.count)
        for name in PreTokenizer.names { #expect(try words(text, name).reduce(0, +) == text.count) }
    }

    /// Any bytes are cut into words that are not empty, whether they are UTF-8 or not.
    @Test func anyBytesAreCut() throws {
        var random = SplitMix(state: 21)
        for name in [
            "default", "deepseek-llm", "deepseek-coder", "gpt-4o", "tekken", "viking", "smollm",
            "deepseek-v3",
            "falcon", "superbpe", "qwen35", "seed-coder",
        ] {
            for _ in 0..<300 {
                let text = random.text()
                let lengths = try words(text, name)
                #expect(lengths.allSatisfy { $0 > 0 } && lengths.reduce(0, +) == text.count, "\(name)")
            }
        }
    }

    /// Digits that go on and on are looked at a few times each, not once for each group behind them.
    @Test func manyDigitsAreGroupedFromTheRight() throws {
        let digits = [UInt8](repeating: UInt8(ascii: "7"), count: 1_000_001)
        let lengths = try words(digits, "superbpe")
        #expect(lengths.first == 2 && lengths.dropFirst().allSatisfy { $0 == 3 })
        #expect(lengths.reduce(0, +) == digits.count)
    }

    @Test func unknownPreTokenizer() {
        let error = #expect(throws: TokenizerError.self) { try PreTokenizer(named: "nonesuch") }
        #expect(error?.kind == .unsupported)
        #expect(error?.description.contains("'nonesuch'") == true)
        #expect(error?.description.contains("smollm") == true)
        #expect(error?.description.contains("tekken") == true)
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
