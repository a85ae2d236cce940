// Pass keys: the prompt's length, where the key is, and which answers count.
import Evaluation
import Testing

@Suite("Pass keys")
struct PasskeyTaskTests {
    /// The longest sentence of filler in any of the small tokenizers.
    static let longestSentence = 7

    @Test(
        "At most the length, and not a sentence less; the tokens are those of the whole text",
        arguments: EncoderKind.allCases, [100, 101, 102, 127, 128, 512, 1000, 4096])
    func length(kind: EncoderKind, length: Int) throws {
        let encoder = SmallEncoder(kind)
        let task = PasskeyTask(seed: 7)
        for depth in [0, 0.1, 0.37, 0.5, 0.99, 1] {
            let prompt = try task.prompt(length: length, depth: depth, encode: encoder.encode)
            #expect(prompt.tokens.count <= length)
            #expect(prompt.tokens.count > length - Self.longestSentence)
            #expect(prompt.tokens == encoder.encode(prompt.text))
        }
    }

    @Test("The text is the paper's, with the key once, at its depth", arguments: [0, 0.25, 0.5, 1])
    func depth(depth: Double) throws {
        let encoder = SmallEncoder(.gpt2)
        let task = PasskeyTask(seed: 3)
        let prompt = try task.prompt(length: 3000, depth: depth, encode: encoder.encode)
        let line = "The pass key is \(task.key). Remember it. \(task.key) is the pass key."
        let lines = prompt.text.split(separator: "\n").map(String.init)
        #expect(
            lines[0]
                == "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will "
                + "quiz you about the important information there.")
        #expect(lines.last == "What is the pass key? The pass key is")
        #expect(lines.filter { $0 == line }.count == 1)
        #expect(encoder.text(prompt.tokens[prompt.keyTokens]) == line + "\n")

        let filler = lines.dropFirst().dropLast().filter { $0 != line }
        let cycle =
            "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
        for part in filler {
            #expect(String(repeating: cycle + " ", count: part.count / cycle.count + 1).hasPrefix(part))
        }
        let sentences = filler.map { $0.count { $0 == "." } }
        #expect(prompt.sentences == sentences.reduce(0, +))
        let before = depth == 0 ? 0 : sentences[0]
        #expect(prompt.sentencesBefore == before)
        #expect(abs(Double(before) - depth * Double(prompt.sentences)) <= 0.5)
        #expect(abs(Double(prompt.keyTokens.lowerBound) / Double(prompt.tokens.count) - depth) < 0.03)
    }

    @Test("Only short texts are encoded")
    func cost() throws {
        let encoder = SmallEncoder(.gpt2)
        let prompt = try PasskeyTask(seed: 1).prompt(length: 200_000, depth: 0.5, encode: encoder.encode)
        #expect(prompt.tokens.count > 199_990 && prompt.tokens.count <= 200_000)
        #expect(encoder.encodedBytes < 2000)
    }

    @Test("The shortest prompt holds no filler; a shorter one is refused with the figure")
    func shortest() throws {
        let encoder = SmallEncoder(.gpt2)
        let task = PasskeyTask(seed: 7)
        let error = try #require(throws: EvaluationError.self) {
            try task.prompt(length: 10, depth: 0.5, encode: encoder.encode)
        }
        #expect(error.code == .invalidRequest && error.description.contains("prompt of 10 tokens"))
        let figure = try #require(error.description.split { !$0.isNumber }.compactMap { Int($0) }.last)
        let prompt = try task.prompt(length: figure, depth: 0.5, encode: encoder.encode)
        #expect(prompt.tokens.count == figure && prompt.sentences == 0)
        #expect(throws: EvaluationError.self) {
            try task.prompt(length: figure - 1, depth: 0.5, encode: encoder.encode)
        }
        for depth in [-0.1, 1.1, .nan] {
            #expect(throws: EvaluationError.self) {
                try task.prompt(length: 500, depth: depth, encode: encoder.encode)
            }
        }
        #expect(throws: EvaluationError.self) {
            try task.prompt(length: .max, depth: 0, encode: encoder.encode)
        }
    }

    @Test("Keys are in range, differ, and stay the same for a seed")
    func keys() {
        let keys = (0..<1000).map { PasskeyTask(seed: $0).key }
        #expect(keys.allSatisfy(PasskeyTask.keys.contains))
        #expect(Set(keys).count > 950)
        #expect(keys == (0..<1000).map { PasskeyTask(seed: $0).key })
        #expect((keys.min() ?? 0) < 500 && (keys.max() ?? 0) > 49_500)
        // The first number of SplitMix64 with seed 0 is 0xe220a8397b1dcdaf.
        #expect(keys[0] == Int(Double(0xe220_a839_7b1d_cdaf as UInt64) / 0x1p64 * 50_000) + 1)
    }

    @Test(
        "The first number counts",
        arguments: [
            (" 123", 123), ("123.", 123), ("**123**", 123), ("is 00123 is", 123),
            ("123 is the pass key 7", 123),
            ("7 123", 7), ("1234", 1234), ("12 3", 12), ("12,345", 12), ("-123", 123), ("123rd", 123),
            ("x9y", 9), ("", nil), ("none", nil), ("one hundred", nil), ("١٢٣ 5", 5),
            ("99999999999999999999999 123", nil),
        ] as [(String, Int?)])
    func judging(answer: String, number: Int?) {
        #expect(PasskeyTask.firstInteger(in: answer) == number)
        let task = PasskeyTask(seed: 7)
        #expect(!task.isFound(in: answer))
        #expect(task.isFound(in: " \(task.key). Remember it. 5"))
        #expect(!task.isFound(in: "\(task.key)0"))
    }
}
