// Needles: the length is exact, the needle is on a line of its own, and the answer's range holds the digits alone.
import Evaluation
import Testing

@Suite("Needles")
struct NeedleTaskTests {
    /// Lines of 3 to 9 words and the positions of their ends.
    static func haystack(_ encoder: SmallEncoder, lines: Int) -> (tokens: [Int32], newlines: [Int]) {
        var tokens: [Int32] = []
        var newlines: [Int] = []
        for line in 0..<lines {
            let text = (0..<(3 + line % 7)).map { _ in "word" }.joined(separator: " ")
            // Without what the encoder puts in front of every text.
            tokens += encoder.encode(text).filter { !["<s>", " "].contains(encoder.text([$0])) }
            newlines.append(tokens.count)
            tokens += encoder.encode("\n").suffix(1)
        }
        return (tokens, newlines)
    }

    @Test(
        "Exact length, the digits alone as answer, the rest of the haystack as it was",
        arguments: EncoderKind.allCases, [0, 0.3, 0.5, 1])
    func prompt(kind: EncoderKind, depth: Double) throws {
        let encoder = SmallEncoder(kind)
        let (haystack, newlines) = Self.haystack(encoder, lines: 200)
        for seed in 0..<20 as Range<UInt64> {
            let task = NeedleTask(seed: seed)
            let length = 600 + Int(seed)
            let prompt = try task.prompt(
                haystack: haystack, newlines: newlines.reversed(), length: length, depth: depth,
                encode: encoder.encode)
            #expect(prompt.tokens.count == length)
            // In GPT-2's kind the blank is part of the first token.
            let answer = encoder.text(prompt.tokens[prompt.answer])
            #expect(answer == (kind == .gpt2 ? " " : "") + task.digits)
            #expect(prompt.answer.upperBound == length)
            let needle = encoder.text(prompt.tokens[prompt.needle])
            #expect(needle == "One of the special magic numbers for \(task.key) is: \(task.digits).\n")
            let before = encoder.text(prompt.tokens[..<prompt.needle.lowerBound])
            #expect(before.hasSuffix("\n"))
            let after = encoder.text(prompt.tokens[prompt.needle.upperBound...])
            #expect(
                after.hasSuffix(
                    "\nThe special magic number for \(task.key) mentioned in the provided text is: \(task.digits)"
                ))

            // What is left without the needle, the instruction and the question is the haystack.
            let head = encoder.encode(
                "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you "
                    + "about the number afterwards.\n")
            #expect(prompt.tokens.starts(with: head))
            let start = prompt.needle.lowerBound - head.count
            #expect(prompt.tokens[head.count..<prompt.needle.lowerBound].elementsEqual(haystack[..<start]))
            let next = prompt.tokens[prompt.needle.upperBound...].prefix(20)
            if depth < 1 { #expect(next.elementsEqual(haystack[start..<(start + 20)])) }

            // Lines have at most 10 tokens, so the closest start is within 5 (at the end, within a line).
            let used = Double(start) / max(prompt.depth, 1e-9)
            if start > 0 { #expect(abs(Double(start) - depth * used) <= (depth == 1 ? 10 : 5)) }
            #expect(depth > 0 || start == 0)
        }
    }

    @Test("The closest line is taken, the earlier of two, and its depth is told")
    func closest() throws {
        let task = NeedleTask(seed: 5)
        let encoder = SmallEncoder(.gpt2)
        let word = encoder.encode("word")[0]
        let haystack = [Int32](repeating: word, count: 500)
        let any = try task.prompt(
            haystack: haystack, newlines: [], length: 200, depth: 0, encode: encoder.encode)
        // So long that 100 tokens of the haystack are used.
        let length = 200 - any.tokens.count { $0 == word } + 100
        func place(_ newlines: [Int], _ depth: Double) throws -> (start: Int, depth: Double) {
            let prompt = try task.prompt(
                haystack: haystack, newlines: newlines, length: length, depth: depth, encode: encoder.encode)
            return (prompt.needle.lowerBound - any.needle.lowerBound, prompt.depth)
        }
        #expect(try place([19, 59, 79], 0.5) == (60, 0.6))
        #expect(try place([39, 59], 0.5) == (40, 0.4))
        #expect(try place([59, 39], 0.5) == (40, 0.4))
        #expect(try place([90], 0.4) == (0, 0))
        #expect(try place([90, 400, -3], 1) == (91, 0.91))
        #expect(try place([99], 1) == (100, 1))
        #expect(throws: EvaluationError.self) { try place([100], 1) }
    }

    @Test("What cannot be built is refused with the figures")
    func errors() throws {
        let encoder = SmallEncoder(.gpt2)
        let task = NeedleTask(seed: 5)
        let (haystack, newlines) = Self.haystack(encoder, lines: 50)
        func message(_ length: Int, _ depth: Double = 0.5) throws -> EvaluationError {
            try #require(throws: EvaluationError.self) {
                try task.prompt(
                    haystack: haystack, newlines: newlines, length: length, depth: depth,
                    encode: encoder.encode)
            }
        }
        let long = try message(65_536)
        #expect(long.code == .textTooShort)
        #expect(
            long.description.hasPrefix(
                "the text has \(haystack.count) tokens; a needle prompt of 65,536 needs"))
        #expect(try message(20).code == .invalidRequest)
        #expect(try message(200, -1).code == .invalidRequest)
        #expect(try message(200, .nan).code == .invalidRequest)
    }

    @Test("Keys are two words, numbers have seven digits, and both stay the same for a seed")
    func keys() {
        let tasks = (0..<500).map { NeedleTask(seed: $0) }
        for task in tasks {
            let words = task.key.split(separator: "-")
            #expect(words.count == 2 && words.allSatisfy { $0.allSatisfy(\.isLowercase) })
            #expect(task.digits.count == 7 && task.digits.first != "0" && Int(task.digits) != nil)
        }
        #expect(Set(tasks.map(\.key)).count > 250)
        #expect(Set(tasks.map(\.digits)).count > 495)
        #expect(tasks == (0..<500).map { NeedleTask(seed: $0) })
    }
}
