// Any bytes come back; special tokens come from where they may; streams give whole characters.
import Testing
import Tokenizer

@Suite struct RoundTripTests {
    @Test func anyBytesComeBack() throws {
        var random = SplitMix(state: 3)
        for (name, tokenizer) in try Small.all() {
            for _ in 0..<1500 {
                let text = random.text()
                for adding in [false, true] {
                    let tokens = tokenizer.encode(text, addingBeginning: adding)
                    #expect(tokenizer.decode(tokens) == text, "\(name)")
                    #expect(
                        tokens.dropFirst(adding ? 1 : 0).allSatisfy { !tokenizer.isControl($0) }, "\(name)")
                }
                let parsed = tokenizer.encode(text, parsingSpecialTokens: true, addingBeginning: false)
                #expect(tokenizer.decode(parsed, showingSpecialTokens: true) == text, "\(name)")
                var stream = tokenizer.stream()
                let streamed = tokenizer.encode(text).map { stream.append($0) }.joined() + stream.finish()
                #expect(
                    Array(streamed.unicodeScalars)
                        == Array(String(decoding: text, as: UTF8.self).unicodeScalars))
            }
            #expect(tokenizer.bytesWithoutToken.isEmpty)
        }
    }

    @Test func specialTokens() throws {
        let special = ["<|im_start|>", "<|im_end|>", "<tool>", "<|im_end|><|im_end|>"]
        let tokenizer = try Tokenizer(Small.byteLevel("qwen2", special: special, userDefined: ["<tool>"]))
        let first = TokenID(tokenizer.count - 4)
        func encode(_ text: String) -> [TokenID] { tokenizer.encode(text, parsingSpecialTokens: true) }
        let a = tokenizer.encode("a")
        #expect(encode("<|im_start|>a<|im_end|>") == [first] + a + [first + 1])
        // The longest of those that begin at a place.
        #expect(encode("<|im_end|><|im_end|><|im_end|>") == [first + 3, first + 1])
        #expect(encode("<|im_end<|im_end|>").last == first + 1)
        // What the user defined is found in any text.
        #expect(tokenizer.encode("a<tool>a") == a + [first + 2] + a)
        #expect(tokenizer.decode([first, a[0], first + 1]) == Array("a".utf8))
        #expect(tokenizer.decode([first, a[0]], showingSpecialTokens: true) == Array("<|im_start|>a".utf8))
        #expect(tokenizer.decode([first + 2]) == Array("<tool>".utf8))
        // Ids that do not exist give nothing.
        #expect(tokenizer.decode([-1, TokenID(tokenizer.count), .max, a[0]]) == Array("a".utf8))
        #expect(!tokenizer.isControl(-1) && tokenizer.isControl(first) && !tokenizer.isControl(first + 2))
    }

    /// A text that begins with the beginning token gets no second one; as text it is no beginning token.
    @Test func oneBeginning() throws {
        let tokenizer = try Tokenizer(
            Small.byteLevel("llama-bpe", special: ["<|begin_of_text|>"], addsBeginning: true))
        let beginning = try #require(tokenizer.beginning)
        let plain = tokenizer.encode("a", addingBeginning: false)
        for text in ["a", "<|begin_of_text|>a"] {
            for adding in [nil, true] {
                #expect(
                    tokenizer.encode(text, parsingSpecialTokens: true, addingBeginning: adding)
                        == [beginning] + plain)
            }
        }
        #expect(
            tokenizer.encode("<|begin_of_text|>a", parsingSpecialTokens: true, addingBeginning: false)
                == [beginning] + plain)
        #expect(tokenizer.encode("<|begin_of_text|>").first == beginning)
        #expect(tokenizer.encode("<|begin_of_text|>").count > 2)
        #expect(tokenizer.encode("", parsingSpecialTokens: true) == [beginning])
        let pieces = try Tokenizer(Small.sentencePiece())
        #expect(
            pieces.encode("<s>the", parsingSpecialTokens: true)
                == [1] + pieces.encode("the", addingBeginning: false))
    }

    @Test func beginningWhenTheFileDoesNotSay() throws {
        for (name, adds) in [("llama-bpe", true), ("tekken", true), ("dbrx", false), ("qwen2", false)] {
            var vocabulary = Small.byteLevel(name, special: ["<|begin_of_text|>"])
            vocabulary.addsBeginning = nil
            let tokenizer = try Tokenizer(vocabulary)
            #expect((tokenizer.encode("a").first == tokenizer.beginning) == adds, "\(name)")
        }
        var vocabulary = Small.sentencePiece()
        vocabulary.addsBeginning = nil
        #expect(try Tokenizer(vocabulary).encode("a").first == 1)
        vocabulary = Small.byteLevel("qwen2", addsBeginning: true)
        let error = #expect(throws: TokenizerError.self) { try Tokenizer(vocabulary) }
        #expect(error?.description.contains("bos_token_id") == true)
    }

    /// The names by which llama.cpp knows an end. Those that no text has by chance become control tokens.
    @Test func endsOfAnswers() throws {
        let marks = [
            "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|return|>", "<|endoftext|>", "<|end_of_text|>",
            "<end_of_turn>", "_<EOT>", "<｜end▁of▁sentence｜>", "<|fim_pad|>", "<|file_sep|>",
        ]
        let words = ["</s>", "<eos>", "<EOT>", "[EOT]", "[PAD]"]
        let others = ["<|im_start|>", "<|user|>"]
        var vocabulary = Small.byteLevel(
            "qwen2", special: marks + words + others, userDefined: ["<|im_end|>"])
        vocabulary.end = nil
        let tokenizer = try Tokenizer(vocabulary)
        let first = TokenID(tokenizer.count - (marks + words + others).count)
        let ends = first..<first + TokenID((marks + words).count)
        #expect(tokenizer.ends == Set(ends))
        #expect(ends.allSatisfy { tokenizer.isControl($0) })
        #expect(!tokenizer.encode("<|im_end|>").contains { tokenizer.isControl($0) })

        // As normal tokens: marks end an answer, words are text.
        vocabulary.types = vocabulary.types.map { _ in 1 }
        let normal = try Tokenizer(vocabulary)
        #expect(normal.ends == Set(first..<first + TokenID(marks.count)))
        #expect(normal.isControl(first) && !normal.isControl(first + TokenID(marks.count)))

        func endsOf(_ special: [String]) throws -> [String] {
            let tokenizer = try Tokenizer(Small.byteLevel("gpt-4o", special: special))
            let first = tokenizer.count - special.count
            return tokenizer.ends.sorted().map { special[Int($0) - first] }
        }
        // The form of gpt-oss, where <|end|> ends a part of an answer.
        #expect(try endsOf(["<|end|>", "<|return|>", "<|call|>"]) == ["<|return|>", "<|call|>"])
        #expect(try endsOf(["<|end|>", "<|flush|>", "<|calls|>"]) == ["<|flush|>", "<|calls|>"])
        #expect(try endsOf(["<|end|>", "<|user|>"]) == ["<|end|>"])
        #expect(try endsOf(["</s>", "<|tool_response>"]) == ["<|tool_response>"])
    }

    /// As long as a token may be: every cut of it is found in one walk, and its parts still join.
    @Test func longTokens() throws {
        var vocabulary = Small.sentencePiece()
        for length in Array(2...200) + [1024] {
            vocabulary.tokens.append(Array(repeating: UInt8(ascii: "e"), count: length))
            vocabulary.scores.append(Float(-2000 + length))
            vocabulary.types.append(1)
        }
        let tokenizer = try Tokenizer(vocabulary)
        let text = Array(repeating: UInt8(ascii: "e"), count: 1024)
        #expect(tokenizer.encode(text, addingBeginning: false).count < 20)
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }

    @Test func streamGivesWholeCharacters() throws {
        let tokenizer = try Tokenizer(Small.byteLevel("gpt-2"))
        func pieces(_ bytes: [UInt8]) -> [String] {
            var stream = tokenizer.stream()
            // One token a byte, whatever could be merged.
            return bytes.flatMap { tokenizer.encode([$0]) }.map { stream.append($0) } + [stream.finish()]
        }
        #expect(pieces(Array("é🙂".utf8)) == ["", "é", "", "", "", "🙂", ""])
        #expect(pieces([0xE4, 0xB8, 0x41]) == ["", "", "\u{FFFD}A", ""])
        #expect(pieces([0xFF, 0x41]) == ["\u{FFFD}", "A", ""])
        #expect(pieces([0xED, 0xA0, 0x80]) == ["", "\u{FFFD}\u{FFFD}", "\u{FFFD}", ""])
        #expect(pieces([0xF0, 0x9F, 0x99]) == ["", "", "", "\u{FFFD}"])
    }

    @Test func spacePrefixOfStreams() throws {
        let tokenizer = try Tokenizer(Small.sentencePiece())
        let the = tokenizer.encode("the", addingBeginning: false)
        #expect(the.count == 1)
        var start = tokenizer.stream()
        #expect(start.append(the[0]) == "the")
        #expect(start.append(the[0]) == " the")
        var answer = tokenizer.stream(after: 1)
        #expect(answer.append(the[0]) == "the")
        var middle = tokenizer.stream(after: the[0])
        #expect(middle.append(the[0]) == " the")
    }

    @Test func badVocabularies() throws {
        func check(_ kind: TokenizerError.Kind, _ words: String, _ change: (inout Vocabulary) -> Void) {
            for var vocabulary in [Small.byteLevel("gpt-2"), Small.sentencePiece()] {
                change(&vocabulary)
                let error = #expect(throws: TokenizerError.self) { _ = try Tokenizer(vocabulary) }
                #expect(error?.kind == kind)
                #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
            }
        }
        check(.unsupported, "Supported: gpt2, llama") { $0.model = "bert" }
        check(.malformed, "0 tokens") { $0.tokens = [] }
        check(.malformed, "token of 1,025 bytes") { $0.tokens[300] = Array(repeating: 65, count: 1025) }
        check(.malformed, "token types") { $0.types = [1] }
        check(.malformed, "unknown type 9") { $0.types[5] = 9 }
        check(.malformed, "1 scores") { $0.scores = [1] }
        check(.malformed, "beginning token is -1") { $0.beginning = -1 }
        check(.malformed, "end token is 100000") { $0.end = 100_000 }
        check(.malformed, "end token is 99999") { $0.extraEnds = [99_999] }
        check(.malformed, "unknown token is 70000") { $0.unknown = 70_000 }
        func error(_ vocabulary: Vocabulary) -> String? {
            #expect(throws: TokenizerError.self) { _ = try Tokenizer(vocabulary) }?.description
        }
        var vocabulary = Small.byteLevel("gpt-2")
        vocabulary.merges.append(Array("t Q".utf8))
        #expect(error(vocabulary)?.contains("'t Q'") == true)
        vocabulary.merges = []
        #expect(error(vocabulary)?.contains("no merges") == true)
        vocabulary = Small.byteLevel("gpt-2")
        vocabulary.tokens[0] = Array("gone".utf8)
        let withoutMark = try Tokenizer(vocabulary)
        #expect(withoutMark.bytesWithoutToken == [0x21])
        #expect(withoutMark.decode(withoutMark.encode("a!b")) == Array("a\u{FFFD}b".utf8))
        let place = try #require(vocabulary.tokens.firstIndex(of: Array("\u{EF}".utf8)))
        vocabulary.tokens[place] = Array("gone too".utf8)
        #expect(error(vocabulary)?.contains("byte 33") == true)
        vocabulary.unknown = 7
        #expect(try Tokenizer(vocabulary).encode("!") == [7])
        vocabulary = Small.sentencePiece()
        vocabulary.scores = []
        #expect(error(vocabulary)?.contains("scores") == true)
        vocabulary = Small.sentencePiece()
        vocabulary.types[3 + 0x41] = 1
        #expect(error(vocabulary)?.contains("byte 65") == true)
        vocabulary.types[3 + 0x41] = 6
        vocabulary.tokens[3 + 0x41] = Array("A".utf8)
        #expect(error(vocabulary)?.contains("'A'") == true)
    }

    /// Vocabularies damaged at random are refused, or work as far as they can: nothing crashes.
    @Test func damagedVocabularies() throws {
        var random = SplitMix(state: 8)
        var accepted = 0
        for round in 0..<400 {
            var vocabulary = round % 2 == 0 ? Small.byteLevel("llama-bpe") : Small.sentencePiece()
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<vocabulary.tokens.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: vocabulary.tokens[place] = random.text().suffix(9)
                case 1: vocabulary.types[place] = .random(in: 0...6, using: &random)
                case 2 where !vocabulary.scores.isEmpty:
                    vocabulary.scores[place] =
                        [.nan, .infinity, -.infinity, 0].randomElement(using: &random) ?? 0
                case 3 where !vocabulary.merges.isEmpty:
                    vocabulary.merges[place % 160] = random.text().suffix(5)
                default: vocabulary.tokens[place] = vocabulary.tokens.randomElement(using: &random) ?? []
                }
            }
            guard let tokenizer = try? Tokenizer(vocabulary) else { continue }
            accepted += 1
            for _ in 0..<5 {
                let tokens = tokenizer.encode(random.text(), parsingSpecialTokens: true)
                #expect(tokens.allSatisfy { (0..<TokenID(tokenizer.count)).contains($0) })
                _ = tokenizer.decode(tokens)
            }
        }
        #expect(accepted > 40 && accepted < 400)
    }

    /// With a token that has a space behind a letter, text must not be cut into words.
    @Test func tokensAcrossWords() throws {
        var vocabulary = Small.sentencePiece()
        vocabulary.tokens.append(Array("s\u{2581}t".utf8))
        vocabulary.scores.append(-0.5)
        vocabulary.types.append(1)
        let tokenizer = try Tokenizer(vocabulary)
        let across = TokenID(tokenizer.count - 1)
        // First ▁ and t join, then s and ▁t, before any other pair can take the s.
        #expect(tokenizer.encode("as to").contains(across))
        var random = SplitMix(state: 4)
        for _ in 0..<500 {
            let text = random.text()
            #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        }
    }
}
