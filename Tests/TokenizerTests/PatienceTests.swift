// Texts that nobody waits for any more, and what a text's length says of its tokens.

import Synchronization
import Testing
import Tokenizer

@Suite struct PatienceTests {
    private let shortWords = String(repeating: "a b ", count: 1 << 14)

    /// One long word, whose letters join.
    private func longWord(_ tokenizer: Tokenizer) throws -> String {
        let joined = (0..<TokenID(tokenizer.count)).lazy.map { tokenizer.decode([$0]) }.first {
            $0.count > 1 && $0.allSatisfy { (97...122).contains($0) }
        }
        return String(repeating: String(decoding: try #require(joined), as: UTF8.self), count: 1 << 15)
    }

    @Test func anAbandonedTextEndsSoon() throws {
        for (name, tokenizer) in try Small.all() {
            for text in [try longWord(tokenizer), shortWords] {
                let asked = Atomic(0)
                let tokens = tokenizer.abandoned { asked.add(1, ordering: .relaxed).newValue > 2 }.encode(
                    text)
                #expect(asked.load(ordering: .relaxed) == 3, "\(name)")
                let whole = tokenizer.encode(text)
                #expect(tokens.count != whole.count, "\(name)")
                // One that is waited for is what it would be.
                let isSame = tokenizer.abandoned { false }.encode(text) == whole
                #expect(isSame, "\(name)")
            }
        }
    }

    /// However a text is cut, it has no fewer tokens than its length says.
    @Test func noTokenIsLongerThanTheLongest() throws {
        for (name, tokenizer) in try Small.all() {
            #expect(tokenizer.longestToken > 1, "\(name)")
            for text in [
                try longWord(tokenizer), shortWords, "<|im_start|><|im_end|>", "Ġzebra zebra",
                "\u{2581}\u{2581} \u{2581}", "½é",
            ] {
                let tokens = tokenizer.encode(text, parsingSpecialTokens: true, addingBeginning: false)
                #expect(
                    tokens.count * tokenizer.longestToken >= text.utf8.count, "\(name): \(text.prefix(9))")
            }
        }
    }
}
