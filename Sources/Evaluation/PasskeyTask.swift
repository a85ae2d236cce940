// The passkey test of the LongRoPE paper (after Mohtashami and Jaggi, 2023): a number inside a text of a given
// length, made of five sentences over and over, and the question for it.
import Numerals
import Sampling

/// One pass key: makes prompts that hide it and judges answers.
public struct PasskeyTask: Sendable, Hashable {
    /// The keys that a seed may give.
    public static let keys = 1...50_000
    /// The longest prompt, in tokens.
    public static let longestPrompt = Int(Int32.max)

    /// The number to be found.
    public let key: Int

    /// The same seed gives the same key on every machine.
    public init(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        key = Self.keys.lowerBound + Int(generator.nextUnit() * Double(Self.keys.count))
    }

    private static let description =
        "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you "
        + "about the important information there.\n"
    private static let sentences = [
        "The grass is green.", "The sky is blue.", "The sun is yellow.", "Here we go.",
        "There and back again.",
    ]
    private static let question = "What is the pass key? The pass key is"

    private var keyLine: String { "The pass key is \(key). Remember it. \(key) is the pass key.\n" }

    /// A prompt of at most `length` tokens, to which not one more sentence of filler could be added.
    ///
    /// `depth` is the share of the filler that stands before the key, 0 to 1, rounded to whole sentences. `encode`
    /// gives the tokens of a text; a beginning token that it puts in front of every text begins the prompt as well,
    /// and counts. Only short texts are encoded, whatever the length.
    /// - Throws: `invalidRequest` for a depth out of range or a length that does not hold the key and the question.
    public func prompt(
        length: Int, depth: Double, encode: (String) -> [Int32]
    ) throws(EvaluationError) -> PasskeyPrompt {
        try EvaluationError.check(depth: depth)
        guard length <= Self.longestPrompt else {
            throw EvaluationError(
                .invalidRequest,
                "a pass key prompt of \(length.grouped) tokens was asked for; the longest is "
                    + "\(Self.longestPrompt.grouped)")
        }
        return try withoutActuallyEscaping(encode) { encode throws(EvaluationError) in
            let pieces = PieceEncoder(encode: encode)
            let head = encode(Self.description)
            let keyTokens = pieces.tokens(keyLine, after: "\n")
            let question = pieces.tokens(Self.question, after: "\n")
            let filler = Filler(Self.sentences, pieces)
            let frame = head.count + keyTokens.count + question.count
            guard frame <= length else {
                throw EvaluationError(
                    .invalidRequest,
                    "a pass key prompt of \(length.grouped) tokens was asked for; the instructions, the key and "
                        + "the question alone have \(frame.grouped): ask for that or more")
            }
            func split(_ sentences: Int) -> (before: Int, after: Int) {
                let before = Int((Double(sentences) * depth).rounded())
                return (before, sentences - before)
            }
            // The most sentences that fit. A sentence has at least one token.
            var fits = 0
            var tooMany = length - frame + 1
            while tooMany - fits > 1 {
                let middle = (fits + tooMany) / 2
                let (before, after) = split(middle)
                if frame + filler.count(before) + filler.count(after) <= length {
                    fits = middle
                } else {
                    tooMany = middle
                }
            }
            let (before, after) = split(fits)
            var prompt = PasskeyPrompt(sentences: fits, sentencesBefore: before)
            prompt.append(Self.description, head)
            filler.append(before, to: &prompt)
            let start = prompt.tokens.count
            prompt.append(keyLine, keyTokens)
            prompt.keyTokens = start..<prompt.tokens.count
            filler.append(after, to: &prompt)
            prompt.append(Self.question, question)
            return prompt
        }
    }

    /// Whether the first number of a generated text is the key, as the released code judges.
    public func isFound(in answer: String) -> Bool { Self.firstInteger(in: answer) == key }

    /// The first run of the digits 0 to 9 as a number, without a sign; nil where there is none or it is too large for
    /// an `Int`.
    public static func firstInteger(in text: String) -> Int? {
        let digits = text.utf8.drop { !(0x30...0x39).contains($0) }.prefix { (0x30...0x39).contains($0) }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}

/// A prompt that hides a pass key.
public struct PasskeyPrompt: Sendable, Hashable {
    /// The prompt's tokens, with what the encoder puts in front of every text.
    public fileprivate(set) var tokens: [Int32] = []
    /// The same as text.
    public fileprivate(set) var text = ""
    /// Where the line with the key is in `tokens`.
    public fileprivate(set) var keyTokens = 0..<0
    /// The sentences of filler in all.
    public let sentences: Int
    /// Those of them that stand before the key.
    public let sentencesBefore: Int

    fileprivate init(sentences: Int, sentencesBefore: Int) {
        self.sentences = sentences
        self.sentencesBefore = sentencesBefore
    }

    fileprivate mutating func append(_ text: String, _ tokens: [Int32]) {
        self.text += text
        self.tokens += tokens
    }
}

/// Lines of filler: the sentences over and over from the first one, any number of them, and a line end.
private struct Filler {
    /// A sentence in one of the places it can have in a line.
    private struct Piece {
        let text: String
        let tokens: [Int32]
    }

    private let first: Piece
    private let middle: [Piece]
    private let last: [Piece]
    private let only: Piece

    init(_ sentences: [String], _ encoder: PieceEncoder) {
        func piece(_ text: String, after anchor: String) -> Piece {
            Piece(text: text, tokens: encoder.tokens(text, after: anchor))
        }
        first = piece(sentences[0], after: "\n")
        only = piece(sentences[0] + "\n", after: "\n")
        middle = sentences.map { piece(" " + $0, after: ".") }
        last = sentences.map { piece(" " + $0 + "\n", after: ".") }
    }

    /// The tokens of a line of `sentences` sentences.
    func count(_ sentences: Int) -> Int {
        guard sentences > 1 else { return sentences == 1 ? only.tokens.count : 0 }
        let counts = middle.map(\.tokens.count)
        // Sentences 1..<(sentences - 1): whole rounds and a rest, less the one that `first` replaces.
        let (rounds, rest) = (sentences - 1).quotientAndRemainder(dividingBy: counts.count)
        let sum = rounds * counts.reduce(0, +) + counts.prefix(rest).reduce(0, +) - counts[0]
        return first.tokens.count + sum + last[(sentences - 1) % last.count].tokens.count
    }

    func append(_ sentences: Int, to prompt: inout PasskeyPrompt) {
        for index in 0..<sentences {
            let isLast = index == sentences - 1
            let piece =
                index == 0
                ? (isLast ? only : first)
                : isLast ? last[index % last.count] : middle[index % middle.count]
            prompt.append(piece.text, piece.tokens)
        }
    }
}
