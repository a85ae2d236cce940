// The needle of LongRoPE2 (arXiv 2502.20082): a number hidden in real text, and the perplexity of that number when the
// text ends by asking for it. It tells whether a model reaches far back, which the perplexity of all tokens hardly does.
import Numerals
import Sampling

/// One needle: a key of two words and its number.
public struct NeedleTask: Sendable, Hashable {
    /// What the number is asked by: an adjective and a noun, "quiet-river".
    public let key: String
    /// The number: 7 digits, the first of which is not 0.
    public let digits: String

    /// The same seed gives the same needle on every machine.
    public init(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        func choose(_ words: [String]) -> String { words[Int(generator.nextUnit() * Double(words.count))] }
        key = choose(Self.adjectives) + "-" + choose(Self.nouns)
        digits = String(1_000_000 + Int(generator.nextUnit() * 9_000_000))
    }

    private static let instruction =
        "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the "
        + "number afterwards.\n"

    private var needle: String { "One of the special magic numbers for \(key) is: \(digits).\n" }
    private var question: String {
        "\nThe special magic number for \(key) mentioned in the provided text is:"
    }

    /// A prompt of exactly `length` tokens: instruction, the haystack's first tokens with the needle at the start of
    /// one of their lines, question and answer.
    ///
    /// `newlines` are the positions of the haystack's tokens that end a line, in any order. `depth` is the share of the
    /// haystack that stands before the needle, 0 to 1; the closest start of a line is taken, and the result says
    /// where that was. `encode` gives the tokens of a text; a beginning token that it puts in front of every text
    /// begins the prompt as well, and counts.
    /// - Throws: `invalidRequest` for a depth out of range, a length without room for text, or a haystack whose
    ///   part that is used has no line end; `textTooShort` when the haystack does not fill the prompt.
    public func prompt(
        haystack: [Int32], newlines: [Int], length: Int, depth: Double, encode: (String) -> [Int32]
    ) throws(EvaluationError) -> NeedlePrompt {
        try EvaluationError.check(depth: depth)
        let parts = withoutActuallyEscaping(encode) { encode in
            let pieces = PieceEncoder(encode: encode)
            return (
                head: encode(Self.instruction),
                needle: pieces.tokens(needle, after: "\n"),
                question: pieces.tokens(question, after: "a"),
                answer: pieces.tokens(" " + digits, after: ":"),
                blank: pieces.tokens(" ", after: ":")
            )
        }
        let frame = parts.head.count + parts.needle.count + parts.question.count + parts.answer.count
        guard length > frame else {
            throw EvaluationError(
                .invalidRequest,
                "a needle prompt of \(length.grouped) tokens was asked for; the instruction, the needle, the "
                    + "question and the answer alone have \(frame.grouped): ask for more than that")
        }
        let used = length - frame
        guard haystack.count >= used else {
            throw EvaluationError(
                .textTooShort,
                "the text has \(haystack.count.grouped) tokens; a needle prompt of \(length.grouped) "
                    + "needs \(used.grouped): use a longer text or a shorter prompt")
        }
        let place = try Self.lineStart(closestTo: depth, of: used, newlines)
        var tokens: [Int32] = []
        tokens.reserveCapacity(length)
        tokens += parts.head
        tokens += haystack[..<place]
        let needleStart = tokens.count
        tokens += parts.needle
        let needleEnd = tokens.count
        tokens += haystack[place..<used]
        tokens += parts.question
        // Where the blank is a token of its own it belongs to the question: only digits are the answer.
        let isApart = parts.answer.count > parts.blank.count && parts.answer.starts(with: parts.blank)
        let answerStart = tokens.count + (isApart ? parts.blank.count : 0)
        tokens += parts.answer
        return NeedlePrompt(
            tokens: tokens, answer: answerStart..<tokens.count, needle: needleStart..<needleEnd,
            depth: Double(place) / Double(used))
    }

    /// The start of a line in the first `used` tokens that is closest to the share `depth` of them; the earlier of
    /// two.
    private static func lineStart(
        closestTo depth: Double, of used: Int, _ newlines: [Int]
    ) throws(EvaluationError) -> Int {
        let wanted = depth * Double(used)
        var best = 0
        var hasLine = depth == 0
        for newline in newlines where newline >= 0 && newline < used {
            hasLine = true
            let (distance, bestDistance) = (abs(Double(newline + 1) - wanted), abs(Double(best) - wanted))
            if distance < bestDistance || (distance == bestDistance && newline + 1 < best) {
                best = newline + 1
            }
        }
        guard hasLine else {
            throw EvaluationError(
                .invalidRequest,
                "the text's first \(used.grouped) tokens have no line end; the needle stands on a line of its "
                    + "own: use a text with lines, or depth 0")
        }
        return best
    }

    private static let adjectives = [
        "quiet", "golden", "early", "narrow", "bright", "gentle", "frozen", "hollow", "ancient", "silver",
        "steady",
        "distant", "warm", "broken", "curious", "open", "heavy", "modern", "secret", "simple", "sudden",
        "tall",
        "wooden", "young", "clever",
    ]
    private static let nouns = [
        "river", "garden", "window", "mountain", "letter", "harbour", "engine", "forest", "bridge", "kitchen",
        "market",
        "captain", "blanket", "candle", "village", "doctor", "island", "hammer", "ribbon", "teacher",
        "orchard",
        "mirror", "pocket", "winter", "station",
    ]
}

/// A prompt that hides a needle and ends with the answer to the question for it.
public struct NeedlePrompt: Sendable, Hashable {
    public let tokens: [Int32]
    /// Where the answer's digits are in `tokens`: perplexity is taken over these alone.
    public let answer: Range<Int>
    /// Where the line with the needle is in `tokens`.
    public let needle: Range<Int>
    /// The share of the haystack that stands before the needle.
    public let depth: Double
}
