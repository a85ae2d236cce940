// SmolLM2's tokenizer against values made with transformers (Tests/Golden).
import Foundation
import TestSupport
import Testing
import Tokenizer

@Suite struct GoldenTests {
    struct Golden: Decodable {
        var text: String
        var tokens: [TokenID]
    }

    struct Greedy: Decodable {
        var prompt_tokens: [TokenID]
        var greedy: [TokenID]
        var text: String
    }

    @Test func smolLM2() throws {
        guard let tokenizer = try TokenizerTests.smolLM2() else { return }
        let goldens: [Golden] = try TestSupport.Golden.json("smollm2-tokenizer.json")
        #expect(goldens.count >= 13)
        for golden in goldens {
            #expect(
                tokenizer.encode(golden.text, parsingSpecialTokens: true) == golden.tokens, "\(golden.text)")
            #expect(tokenizer.decode(golden.tokens, showingSpecialTokens: true) == Array(golden.text.utf8))
        }
    }

    struct Tokens: Decodable {
        var file: String
        var text: String
        var tokens: [TokenID]
    }

    /// No pre-tokenizer named, and white space behind Phi-3's marks, as llama.cpp has it.
    @Test func llamaCpp() throws {
        let goldens: [Tokens] = try TestSupport.Golden.json("llama-cpp-tokens.json")
        #expect(goldens.count == 10)
        for golden in goldens {
            var vocabulary = try TokenizerTests.vocabulary(TestSupport.Golden.path(golden.file))
            if vocabulary.model == "llama" {
                vocabulary.specialTokensTakeSpace = true
                vocabulary.addsSpacePrefix = true
            }
            let tokenizer = try Tokenizer(vocabulary)
            #expect(tokenizer.lacksPreTokenizer == (vocabulary.model == "gpt2"))
            #expect(
                tokenizer.encode(golden.text, parsingSpecialTokens: true, addingBeginning: false)
                    == golden.tokens, "\(golden.text.debugDescription)")
        }
    }

    @Test func generatedText() throws {
        guard let tokenizer = try TokenizerTests.smolLM2() else { return }
        let goldens: [Greedy] = try TestSupport.Golden.json("smollm2-greedy.json")
        #expect(!goldens.isEmpty)
        for golden in goldens {
            let text = tokenizer.decode(golden.greedy, showingSpecialTokens: true)
            #expect(String(decoding: text, as: UTF8.self) == golden.text)
            var stream = tokenizer.stream(showingSpecialTokens: true, after: golden.prompt_tokens.last)
            #expect(golden.greedy.map { stream.append($0) }.joined() + stream.finish() == golden.text)
        }
    }

    @Test func vocabulary() throws {
        guard let tokenizer = try TokenizerTests.smolLM2() else { return }
        #expect(tokenizer.count == 49_152)
        #expect(tokenizer.beginning == 1)
        // As in llama.cpp, which takes <reponame> for an end too.
        #expect(tokenizer.ends == [0, 2, 4])
        #expect(tokenizer.chatTemplate != nil)
        // The published vocabulary has no tokens for these.
        #expect(tokenizer.bytesWithoutToken == [4, 6, 19, 20, 22, 29, 192, 193, 241, 242] + Array(245...255))
        // Each becomes U+FFFD, never a control token.
        #expect(tokenizer.decode(tokenizer.encode([0x61, 0x04, 0xFF])) == Array("a\u{FFFD}\u{FFFD}".utf8))
        #expect(tokenizer.encode([0x04, 0xFF]).allSatisfy { !tokenizer.isControl($0) })
    }

    @Test func anyBytesComeBack() throws {
        guard let tokenizer = try TokenizerTests.smolLM2() else { return }
        let missing = Set(tokenizer.bytesWithoutToken)
        var random = SplitMix(state: 11)
        for _ in 0..<2000 {
            let text = random.text().filter { !missing.contains($0) }
            #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        }
    }

    /// The expected tokens were made with Python: the file's template rendered by jinja2, encoded by the package tokenizers 0.23.3
    /// with the file's vocabulary.
    @Test func chat() throws {
        guard let tokenizer = try TokenizerTests.smolLM2() else { return }
        let user = ChatMessage(role: .user, content: "Hi")
        #expect(
            try tokenizer.encodeChat([user], options: ChatTests.options) == [
                1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407,
                19712, 8182, 2, 198, 1, 4093, 198, 26843, 2, 198, 1, 520, 9531, 198,
            ])
        let talk = [
            ChatMessage(role: .system, content: "Be brief."),
            ChatMessage(role: .user, content: " \n Where? "),
            ChatMessage(role: .assistant, content: "Here."), user,
        ]
        #expect(
            try tokenizer.encodeChat(talk, options: ChatTests.options) == [
                1, 9690, 198, 6077, 5453, 30, 2, 198, 1, 4093, 198, 3717, 7655, 47, 216, 2, 198, 1, 520, 9531,
                198, 4590, 30, 2, 198, 1, 4093, 198, 26843, 2, 198, 1, 520, 9531, 198,
            ])
    }
}
