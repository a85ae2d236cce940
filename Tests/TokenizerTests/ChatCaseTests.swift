// Small vocabularies with the chat templates of published models, against transformers' renderings (Tests/Golden).
import Jinja
import TestSupport
import Testing
import Tokenizer

@Suite struct ChatCaseTests {
    struct Cases: Decodable {
        struct Message: Decodable {
            var role: String
            var content: String
        }
        struct Case: Decodable {
            var model: String
            var pre: String
            var tokens: [String]
            var scores: [Float]
            var types: [Int32]
            var merges: [String]
            var beginning: TokenID
            var end: TokenID
            var unknown: TokenID?
            var adds_beginning: Bool
            var chat_template: String
            /// One for each conversation.
            var texts: [String]

            var vocabulary: Vocabulary {
                Vocabulary(
                    model: model, preTokenizer: pre, tokens: tokens.map { Array($0.utf8) }, scores: scores,
                    types: types,
                    merges: merges.map { Array($0.utf8) }, beginning: beginning, end: end, unknown: unknown,
                    addsBeginning: adds_beginning, addsSpacePrefix: model == "llama",
                    chatTemplate: chat_template)
            }
        }
        var conversations: [[Message]]
        var models: [String: Case]
    }

    private static func messages(_ conversation: [Cases.Message]) -> [ChatMessage] {
        conversation.compactMap { message in
            ChatMessage.Role(rawValue: message.role).map { ChatMessage(role: $0, content: message.content) }
        }
    }

    /// Each control token stands where the rendering has it, and nowhere else; the text between is the rendering's.
    @Test(arguments: ["phi3-spm", "mistral-v3", "llama31", "phi4-im-sep", "zephyr"])
    func renderings(name: String) throws {
        let cases: Cases = try Golden.json("chat-cases.json")
        let model = try #require(cases.models[name])
        let tokenizer = try Tokenizer(model.vocabulary)
        #expect(model.texts.count == cases.conversations.count)
        for (conversation, text) in zip(cases.conversations, model.texts) {
            let messages = Self.messages(conversation)
            let tokens = try tokenizer.encodeChat(messages, options: ChatTests.options)
            let content = Set(messages.compactMap(\.content))
            // The golden's marks, unless they stand in a message.
            let parsed = tokenizer.encode(
                content.reduce(text) { $1.contains("|>") ? $0.replacing($1, with: "\u{1}") : $0 },
                parsingSpecialTokens: true,
                addingBeginning: model.adds_beginning && !text.hasPrefix(model.tokens[Int(model.beginning)]))
            #expect(
                tokens.filter { tokenizer.isControl($0) } == parsed.filter { tokenizer.isControl($0) },
                "\(text)")
            if !content.contains(where: { $0.contains("|>") }) { #expect(tokens == parsed, "\(text)") }
        }
    }

    @Test func greeting() throws {
        let cases: Cases = try Golden.json("chat-cases.json")
        func written(_ name: String) throws -> [String] {
            let model = try #require(cases.models[name])
            var vocabulary = model.vocabulary
            vocabulary.specialTokensTakeSpace = name == "phi3-spm"
            return try Tokenizer(vocabulary).encodeChat(
                [ChatMessage(role: .user, content: "Hi")], options: ChatTests.options
            ).map { model.tokens[Int($0)] }
        }
        // No white space before [/INST].
        let mistral = try written("mistral-v3")
        #expect(mistral.first == "<s>")
        #expect(mistral.suffix(2) == ["▁Hi", "[/INST]"])
        #expect(
            try written("phi4-im-sep")
                == ["<|im_start|>", "u", "s", "e", "r", "<|im_sep|>", "H", "i", "<|im_end|>", "<|im_start|>"]
                + "assistant".map { String($0) } + ["<|im_sep|>"])
        // The beginning token as the file asks for it, and no white space behind the marks.
        #expect(try written("phi3-spm") == ["<s>", "<|user|>", "▁Hi", "<|end|>", "<|assistant|>"])
        #expect(try written("zephyr").filter { ["<s>", "</s>"].contains($0) } == ["<s>", "</s>"])
        let llama = try written("llama31")
        #expect(llama.filter { $0 == "<|begin_of_text|>" }.count == 1)
        #expect(llama.filter { $0 == "<|eot_id|>" }.count == 2)
        #expect(llama.joined().contains("TodayĠDate:Ġ26ĠJulĠ2024"))
    }
}
