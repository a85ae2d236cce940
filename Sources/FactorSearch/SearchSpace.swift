// Where factors are searched for: the limits of LongRoPE's table 4, LongRoPE2's critical pair, the second stage.
import Foundation
import LongRoPE

/// The candidates that a search may propose.
///
/// The factors never fall from one pair to the next (LongRoPE, arXiv 2402.13753, table 4). With `criticalPairs` they
/// follow LongRoPE2 (arXiv 2502.20082): from the critical pair cd on they are free in `scale`...`ceiling`, below it
/// lambda_i = lambda_cd^(i/cd), and cd itself is searched. With `base` the search is a second stage: what it finds
/// multiplies a model's present factors, and limits, step and order hold for the multipliers.
public struct SearchSpace: Sendable, Hashable {
    /// n-hat in the paper (table 4).
    public static let paperStartTokens = [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 64, 128, 256]

    /// The number of rotating pairs: half the rotary dimension.
    public let pairs: Int
    /// s: target length over the length that the model can do now; 1 or more.
    public let scale: Double
    /// The rotary base.
    public let theta: Double
    /// L: the length that the model was trained for, in tokens.
    public let originalContext: Int
    /// What factors (in a second stage: multipliers) are multiples of.
    public let step: Double
    /// The largest factor (in a second stage: multiplier).
    public let ceiling: Double
    /// What n-hat may be, ascending.
    public let startTokens: [Int]
    /// What the attention factor may be; it is searched in steps of 0.001.
    public let attentionFactors: ClosedRange<Double>
    /// Where the critical pair may be; nil: every pair is free (LongRoPE).
    public let criticalPairs: ClosedRange<Int>?
    /// The factors that are multiplied (LongRoPE, second interpolation), one per pair; nil: all ones.
    public let base: [Double]?

    /// - Parameters:
    ///   - ceiling: 1.25 `scale` unless given, and 2 `scale` with critical pairs, as in the papers. Less for
    ///     the recovery of short contexts; up to 1.5 `scale` has been found useful on small models.
    ///   - attentionFactors: 0.9 to 1 + 0.2 ln `scale` unless given: from below none to twice YaRN's. One value: not
    ///     searched.
    /// - Throws: `invalidSpace`; the message names the value and its range.
    public init(
        pairs: Int, scale: Double, theta: Double, originalContext: Int, step: Double = 0.01,
        ceiling: Double? = nil, startTokens: [Int] = paperStartTokens,
        attentionFactors: ClosedRange<Double>? = nil, criticalPairs: ClosedRange<Int>? = nil,
        base: [Double]? = nil
    ) throws(FactorSearchError) {
        func check(_ holds: Bool, _ problem: @autoclosure () -> String) throws(FactorSearchError) {
            try FactorSearchError.require(holds, .invalidSpace, "search space: \(problem())")
        }
        let largest = RotaryProfile.largestRotaryDimension / 2
        try check((1...largest).contains(pairs), "\(pairs) pairs; 1 to \(largest) are possible")
        try check((1...1e6).contains(scale), "the scale is \(scale); it must be 1 to 1e6")
        try check(theta > 1 && theta <= 1e18, "theta is \(theta); it must be above 1 and at most 1e18")
        try check(
            originalContext >= 1, "the original context is \(originalContext) tokens; it must be 1 or more")
        try check((1e-6...1).contains(step), "the step is \(step); it must be 1e-6 to 1")
        let ceiling = ceiling ?? scale * (criticalPairs == nil ? 1.25 : 2)
        try check((1...1e7).contains(ceiling), "the ceiling is \(ceiling); it must be 1 to 1e7")
        try check(
            !startTokens.isEmpty && startTokens.allSatisfy { $0 >= 0 },
            "the start tokens are \(startTokens); at least one number, 0 or more, is needed")
        let attentionFactors = attentionFactors ?? 0.9...(1 + 0.2 * log(scale))
        try check(
            attentionFactors.lowerBound > 0 && attentionFactors.upperBound <= 100,
            "the attention factors are \(attentionFactors); they must be above 0 and at most 100")
        if let criticalPairs {
            try check(
                criticalPairs.lowerBound >= 1 && criticalPairs.upperBound < pairs,
                "the critical pairs are \(criticalPairs); with \(pairs) pairs they must be in 1...\(pairs - 1)"
            )
            try check(
                ceiling >= scale,
                "the ceiling is \(ceiling), below the scale \(scale), the least factor from the critical pair on"
            )
            try check(
                base == nil, "a second stage (base factors) has no critical pairs; leave one of them out")
        }
        if let base {
            try check(
                base.count == pairs, "there are \(base.count) base factors; \(pairs) pairs need \(pairs)")
            for (pair, factor) in base.enumerated() {
                try check(
                    RotaryProfile.factorRange.contains(factor),
                    "base factor \(pair) is \(factor); every factor must be a number from 1e-6 to 1e12")
            }
        }
        self.pairs = pairs
        self.scale = scale
        self.theta = theta
        self.originalContext = originalContext
        self.step = step
        self.ceiling = ceiling
        self.startTokens = Set(startTokens).sorted()
        self.attentionFactors = attentionFactors
        self.criticalPairs = criticalPairs
        self.base = base
        try check(
            units.lowerBound <= Int((ceiling / step + 1e-6).rounded(.down)),
            "no multiple of the step \(step) lies between \(least) and the ceiling \(ceiling)")
    }

    /// Returns when a search may propose the candidate.
    /// - Throws: `invalidCandidate`; the message names the first pair that is not as it must be.
    public func check(_ candidate: Candidate) throws(FactorSearchError) {
        try checkSeed(candidate)
        func check(_ holds: Bool, _ problem: @autoclosure () -> String) throws(FactorSearchError) {
            try FactorSearchError.require(holds, .invalidCandidate, "candidate: \(problem())")
        }
        try check(
            startTokens.contains(candidate.startTokens),
            "\(candidate.startTokens) start tokens; possible are \(startTokens)")
        try check(
            attentionFactors.contains(candidate.attentionFactor),
            "the attention factor is \(candidate.attentionFactor); possible is \(attentionFactors)")
        let kind = base == nil ? "factor" : "multiplier"
        let values = multipliers(candidate.factors)
        for pair in values.indices {
            let slack = 1e-9 * values[pair]
            if pair > 0 {
                try check(
                    values[pair] >= values[pair - 1] - slack,
                    "\(kind) \(pair) is \(values[pair]), less than \(kind) \(pair - 1), which is \(values[pair - 1])"
                )
            }
            try check(
                values[pair] >= 1 - slack && values[pair] <= ceiling + slack,
                "\(kind) \(pair) is \(values[pair]); it must be 1 to the ceiling \(ceiling)")
        }
        let expected = multipliers(express(genome(of: candidate), origin: candidate.origin).factors)
        for pair in values.indices {
            try check(
                abs(values[pair] - expected[pair]) <= 1e-9 * expected[pair],
                criticalPairs == nil
                    ? "\(kind) \(pair) is \(values[pair]), no multiple of the step \(step)"
                    : "factor \(pair) is \(values[pair]); the nearest vector of the space has \(expected[pair])"
            )
        }
    }

    /// Seeds may lie outside the space: they are evaluated as they are, and only what is bred from them is inside.
    func checkSeed(_ candidate: Candidate) throws(FactorSearchError) {
        func check(_ holds: Bool, _ problem: @autoclosure () -> String) throws(FactorSearchError) {
            try FactorSearchError.require(holds, .invalidCandidate, "candidate: \(problem())")
        }
        try check(
            candidate.factors.count == pairs,
            "there are \(candidate.factors.count) factors; \(pairs) pairs need \(pairs)")
        for (pair, factor) in candidate.factors.enumerated() {
            try check(
                RotaryProfile.factorRange.contains(factor),
                "factor \(pair) is \(factor); every factor must be a number from 1e-6 to 1e12")
        }
        try check(
            candidate.startTokens >= 0, "\(candidate.startTokens) start tokens; they must be 0 or more")
        try check(
            candidate.attentionFactor.isFinite && candidate.attentionFactor > 0,
            "the attention factor is \(candidate.attentionFactor); it must be finite and above 0")
    }
}
