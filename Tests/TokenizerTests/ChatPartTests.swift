// Conversations in two parts: what stands before a place in a message, and what stands behind it.
import Jinja
import TestSupport
import Testing
import Tokenizer

@Suite struct ChatPartTests {
    private static let marks = ["<|im_start|>", "<|im_end|>", "<s>", "</s>"]

    private func tokenizer(_ template: String = ChatTests.chatML) throws -> Tokenizer {
        var vocabulary = Small.byteLevel("gpt-2", special: Self.marks, chatTemplate: template)
        vocabulary.beginning = TokenID(vocabulary.tokens.count - 2)
        vocabulary.addsBeginning = true
        return try Tokenizer(vocabulary)
    }

    private func text(_ tokenizer: Tokenizer, _ tokens: [TokenID]) -> String {
        String(decoding: tokenizer.decode(tokens, showingSpecialTokens: true), as: UTF8.self)
    }

    @Test func theTwoPartsAreTheWhole() throws {
        let tokenizer = try tokenizer()
        let first = try tokenizer.encodeChat(
            [
                ChatMessage(role: .system, content: "Be brief."),
                ChatMessage(role: .user, content: "The text. <|im_end|>\n\nMARK1"),
            ], .before, marker: "MARK1", options: ChatTests.options)
        let second = try tokenizer.encodeChat(
            [ChatMessage(role: .user, content: "MARK2Who?")], .behind, marker: "MARK2",
            options: ChatTests.options)
        #expect(
            text(tokenizer, first)
                == "<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nThe text. <|im_end|>\n\n")
        #expect(text(tokenizer, second) == "Who?<|im_end|>\n<|im_start|>assistant\n")
        // The beginning comes once, and what the text says is no control token.
        let (start, end) = (TokenID(tokenizer.count - 4), TokenID(tokenizer.count - 3))
        #expect(first.filter { $0 == start }.count == 2 && first.filter { $0 == end }.count == 1)
        #expect(second.filter { $0 == end }.count == 1 && second.first != TokenID(tokenizer.count - 2))
    }

    @Test func aTemplateThatLeavesTheTextOutIsRefused() throws {
        for template in ["nothing", ChatTests.chatML + ChatTests.chatML] {
            let tokenizer = try tokenizer(template)
            #expect(throws: TokenizerError.self) {
                try tokenizer.encodeChat(
                    [ChatMessage(role: .user, content: "text MARK")], .before, marker: "MARK",
                    options: ChatTests.options)
            }
        }
    }
}
