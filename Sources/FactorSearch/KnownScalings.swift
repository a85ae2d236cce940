// The scalings of the literature that a search starts from and has to beat.
import LongRoPE

extension SearchSpace {
    /// PI, NTK, YaRN, and YaRN without its temperature.
    public var knownScalings: [Candidate] {
        [linear, ntk, yarn(), yarn(attentionFactor: 1)]
    }

    /// Position interpolation: lambda_i = s.
    public var linear: Candidate { known([Double](repeating: scale, count: pairs), .linear) }

    /// See `NTKInterpolation`.
    public var ntk: Candidate { known(NTKInterpolation.factors(scale: scale, pairs: pairs), .ntk) }

    /// See `YaRNInterpolation`.
    /// - Parameter attentionFactor: 0.1 ln s + 1 unless given.
    public func yarn(attentionFactor: Double? = nil) -> Candidate {
        known(
            YaRNInterpolation.factors(
                scale: scale, pairs: pairs, theta: theta, originalContext: originalContext), .yarn,
            attentionFactor: attentionFactor ?? YaRNInterpolation.attentionFactor(scale: scale))
    }

    private func known(
        _ multipliers: [Double], _ origin: Candidate.Origin, attentionFactor: Double = 1
    ) -> Candidate {
        Candidate(
            factors: multipliers.enumerated().map { $1 * (base?[$0] ?? 1) },
            attentionFactor: attentionFactor, origin: origin)
    }
}
