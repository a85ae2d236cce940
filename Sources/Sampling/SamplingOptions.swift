// How a token is chosen from logits: the options, and the ranges they may have.

/// How a token is chosen from logits. The defaults choose greedily.
public struct SamplingOptions: Sendable, Equatable {
    /// 0 chooses the largest logit; otherwise logits are divided by it. 0 to 100.
    public let temperature: Float
    /// Keep this many of the largest logits; 0 keeps all.
    public let topK: Int
    /// Keep the fewest of the likeliest tokens whose probabilities add up to this; 0 and 1 keep all.
    public let topP: Float
    /// Keep the tokens that are at least this fraction as likely as the likeliest; 0 keeps all. 0 to 1.
    public let minP: Float
    /// Divides the positive and multiplies the negative logits of recent tokens; 0 and 1 change nothing. 0 to 100.
    public let repetitionPenalty: Float
    /// How many of the last tokens, prompt included, count as recent.
    public let repetitionWindow: Int
    /// Of the random numbers: the same seed, options and logits give the same tokens.
    public let seed: UInt64

    /// The largest `repetitionWindow`.
    public static let largestWindow = 1 << 16

    /// Throws `invalidOption`, naming the option, its value and its range.
    public init(
        temperature: Float = 0, topK: Int = 0, topP: Float = 0, minP: Float = 0,
        repetitionPenalty: Float = 0, repetitionWindow: Int = 64, seed: UInt64 = 0
    ) throws(SamplingError) {
        func check<T: Comparable>(_ name: String, _ value: T, _ range: ClosedRange<T>) throws(SamplingError) {
            guard range.contains(value) else {
                throw SamplingError(
                    .invalidOption,
                    "\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
            }
        }
        try check("temperature", temperature, 0...100)
        try check("top-k", topK, 0...Int(Int32.max))
        try check("top-p", topP, 0...1)
        try check("min-p", minP, 0...1)
        try check("repetition penalty", repetitionPenalty, 0...100)
        try check("repetition window", repetitionWindow, 0...Self.largestWindow)
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.repetitionWindow = repetitionWindow
        self.seed = seed
    }

    var isGreedy: Bool { temperature == 0 }
    var limitsTopK: Bool { topK > 0 }
    var limitsTopP: Bool { topP > 0 && topP < 1 }
    var limitsMinP: Bool { minP > 0 }
    var penalises: Bool { repetitionPenalty > 0 && repetitionPenalty != 1 && repetitionWindow > 0 }
}
