// The scalings of the literature that a search starts from and has to beat, and LongRoPE2's critical pairs.
import Foundation

extension SearchSpace {
    /// PI, NTK, YaRN, and YaRN without its temperature.
    public var knownScalings: [Candidate] {
        [linear, ntk, yarn(), yarn(attentionFactor: 1)]
    }

    /// Position interpolation: lambda_i = s (arXiv 2306.15595).
    public var linear: Candidate {
        known([Double](repeating: scale, count: pairs), .linear)
    }

    /// lambda_i = s^(2i / (d - 2)): none for the first pair, s for the last.
    public var ntk: Candidate {
        known((0..<pairs).map { pow(scale, Double($0) / Double(max(1, pairs - 1))) }, .ntk)
    }

    /// YaRN (arXiv 2309.00071): pairs that turn more than `fast` times in the original context stay as they are,
    /// those that turn less than `slow` times are interpolated, and between them frequencies are mixed linearly.
    /// - Parameter attentionFactor: 0.1 ln s + 1 unless given.
    public func yarn(fast: Double = 32, slow: Double = 1, attentionFactor: Double? = nil) -> Candidate {
        func pair(turning times: Double) -> Double {
            Double(pairs) * log(Double(originalContext) / (2 * .pi * times)) / log(theta)
        }
        let low = max(0, pair(turning: fast).rounded(.down))
        let high = min(Double(pairs - 1), pair(turning: slow).rounded(.up))
        let factors = (0..<pairs).map { pair in
            let interpolated = min(1, max(0, (Double(pair) - low) / max(0.001, high - low)))
            return 1 / (interpolated / scale + (1 - interpolated))
        }
        return known(factors, .yarn, attentionFactor: attentionFactor ?? 0.1 * log(scale) + 1)
    }

    private func known(
        _ multipliers: [Double], _ origin: Candidate.Origin, attentionFactor: Double = 1
    ) -> Candidate {
        Candidate(
            factors: multipliers.enumerated().map { $1 * (base?[$0] ?? 1) },
            attentionFactor: attentionFactor, origin: origin)
    }

    /// The first pair whose wavelength is longer than the original context, so that training never showed it a whole
    /// turn: ceil(d/2 log_theta(L / 2 pi)) (LongRoPE2, arXiv 2502.20082, d_tcd).
    ///
    /// The real critical pair is searched from the first pair with fewer than 10 turns (`periods` = 10) to this one.
    /// - Parameters:
    ///   - pairs: d/2.
    ///   - originalContext: L, the length of training, in tokens.
    ///   - periods: how many whole turns the pair makes in training at most.
    /// - Returns: 0 to `pairs`; `pairs` where every pair turns often enough.
    public static func criticalPair(
        pairs: Int, theta: Double, originalContext: Int, periods: Double = 1
    ) -> Int {
        let turns = Double(originalContext) / (2 * .pi * periods)
        let pair = (Double(pairs) * log(turns) / log(theta)).rounded(.up)
        return Int(min(Double(pairs), max(0, pair.isNaN ? 0 : pair)))
    }
}
