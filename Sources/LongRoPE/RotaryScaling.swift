// From what a model file says about rotary scaling to the profile of one sequence.
import Foundation
import Numerals

/// What a model file says about rotary scaling, and the choice of a sequence's profile from it.
///
/// The values are those of GGUF files as llama.cpp reads them (`{arch}.rope.*` and the `rope_*` tensors).
public struct RotaryScaling: Sendable, Hashable {
    /// `rope.freq_base`.
    public var theta: Double
    /// `rope.dimension_count`: the elements of a head that rotate.
    public var rotaryDimension: Int
    /// `rope.scaling.original_context_length`; where the file has none, its `context_length`.
    public var originalContext: Int
    /// `context_length`.
    public var maximumContext: Int
    /// `rope.scaling.type`: none, linear, yarn or longrope; nil where the file does not say (as for Phi-3).
    public var type: String?
    /// `rope_factors_short.weight`, one per pair.
    public var shortFactors: [Double]?
    /// `rope_factors_long.weight`, one per pair.
    public var longFactors: [Double]?
    /// `rope.scaling.attn_factor`.
    public var attentionFactor: Double?
    /// `rope.scaling.factor`, or `rope.scale_linear` of old files; absent, 0 and 1 mean none.
    public var linearFactor: Double?
    /// `rope.scaling.yarn_attn_factor`: instead of YaRN's 0.1 ln s + 1.
    public var yarnAttentionFactor: Double?
    /// `rope.scaling.yarn_beta_fast` and `rope.scaling.yarn_beta_slow`: between how many turns YaRN blends.
    public var yarnBetaFast: Double?
    public var yarnBetaSlow: Double?
    /// `rope_freqs.weight` (Llama 3), one per pair; used whatever the length.
    public var ropeFreqs: [Double]?
    /// `lariat.rope.*`: a table for each of several lengths, instead of the short and the long factors.
    public var tables: LongRoPETables?

    public init(
        theta: Double, rotaryDimension: Int, originalContext: Int, maximumContext: Int, type: String? = nil,
        shortFactors: [Double]? = nil, longFactors: [Double]? = nil, attentionFactor: Double? = nil,
        linearFactor: Double? = nil, ropeFreqs: [Double]? = nil
    ) {
        self.theta = theta
        self.rotaryDimension = rotaryDimension
        self.originalContext = originalContext
        self.maximumContext = maximumContext
        self.type = type
        self.shortFactors = shortFactors
        self.longFactors = longFactors
        self.attentionFactor = attentionFactor
        self.linearFactor = linearFactor
        self.ropeFreqs = ropeFreqs
    }

    /// Whether the profile depends on the length: the model has LongRoPE factors.
    public var isLongRoPE: Bool {
        ropeFreqs == nil
            && (type == "longrope" || shortFactors != nil || longFactors != nil || tables != nil)
    }

    /// What methods start from.
    public func base() throws(LongRoPEError) -> RotaryBase {
        try RotaryBase(theta: theta, rotaryDimension: rotaryDimension, originalContext: originalContext)
    }

    /// The attention factor of a LongRoPE model whose file stores none: sqrt(1 + ln s / ln L) for
    /// s = maximum / original context above 1, else 1 (microsoft/LongRoPE; transformers).
    public static func attentionFactor(originalContext: Int, maximumContext: Int) -> Double {
        guard originalContext >= 1 else { return 1 }
        return attentionFactor(
            originalContext: originalContext, scale: Double(maximumContext) / Double(originalContext))
    }

    static func attentionFactor(originalContext: Int, scale: Double) -> Double {
        guard originalContext > 1, scale > 1 else { return 1 }
        return (1 + log(scale) / log(Double(originalContext))).squareRoot()
    }

    /// The positions that a sequence of `promptTokens` with `reservedTokens` to come uses: the last token of an answer
    /// is never computed, so it needs none. Neither may be negative, and the sum must be one that `Int` holds.
    public static func positions(promptTokens: Int, reservedTokens: Int) -> Int {
        promptTokens + max(0, reservedTokens - 1)
    }

    /// The profile of a sequence of `promptTokens` that may grow by `reservedTokens`.
    ///
    /// LongRoPE: short factors while the positions used (see `positions`) are at most the original context, exactly
    /// equal included, else long; or the smallest of the file's tables that holds them. The table holds for the whole
    /// life of the sequence, so the output must be reserved from the start.
    /// - Parameter method: instead of what the file says.
    /// - Throws: `unsupportedScaling`, `missingFactors`, `invalidLength`, or `invalidProfile` where the file's
    ///   values make no profile.
    public func profile(
        promptTokens: Int, reservedTokens: Int, method: (any RotaryMethod)? = nil
    ) throws(LongRoPEError) -> RotaryProfile {
        guard promptTokens >= 0, reservedTokens >= 0 else {
            throw LongRoPEError(
                .invalidLength,
                "\(promptTokens) prompt tokens and \(reservedTokens) reserved: neither may be negative")
        }
        guard !promptTokens.addingReportingOverflow(reservedTokens).overflow else {
            throw LongRoPEError(
                .invalidLength,
                "\(promptTokens) prompt tokens and \(reservedTokens) reserved are more than can be counted")
        }
        let total = Self.positions(promptTokens: promptTokens, reservedTokens: reservedTokens)
        if let method { return try method.profile(total: total, of: base()) }
        switch type {
        case nil, "none", "linear", "longrope", "yarn": break
        case let other?:
            throw LongRoPEError(
                .unsupportedScaling,
                "the model asks for rotary scaling \"\(other.prefix(40))\" (rope.scaling.type); "
                    + "supported are none, linear, yarn and longrope")
        }
        let position = try linearScale()
        guard ropeFreqs == nil || (shortFactors == nil && longFactors == nil && tables == nil) else {
            throw LongRoPEError(
                .unsupportedScaling,
                "the model has factors in rope_freqs.weight and LongRoPE factors beside them; which of them holds is "
                    + "not clear: remove one kind from the file")
        }
        if type == "yarn" {
            guard ropeFreqs == nil, shortFactors == nil, longFactors == nil, tables == nil else {
                throw LongRoPEError(
                    .unsupportedScaling,
                    "the model asks for YaRN (rope.scaling.type) and has a tensor or table of factors beside it; "
                        + "how they go together is not clear: remove one of them from the file")
            }
            let yarn = try YaRNInterpolation(
                try RotaryScale(position), attentionFactor: yarnAttentionFactor,
                betaFast: yarnBetaFast ?? YaRNInterpolation.usualBetas.fast,
                betaSlow: yarnBetaSlow ?? YaRNInterpolation.usualBetas.slow)
            let profile = try yarn.profile(total: total, of: base())
            return try make(
                yarn.name, factors: profile.factors,
                attentionFactor: profile.attentionFactor * (attentionFactor ?? 1), window: maximumContext)
        }
        if let ropeFreqs {
            return try make("frequencies", factors: ropeFreqs.map { $0 * position }, window: maximumContext)
        }
        guard isLongRoPE else {
            return try make(
                position == 1 ? "none" : "linear",
                factors: pairs(position), window: maximumContext)
        }
        // llama.cpp would divide positions by it as well, transformers would not: no safe reading.
        guard position == 1 else {
            throw LongRoPEError(
                .unsupportedScaling,
                "the model has LongRoPE factors and a rope.scaling.factor of \(position) beside them; engines "
                    + "disagree on what that means: remove rope.scaling.factor from the file")
        }
        return try longRoPEProfile(total: total)
    }

    private func longRoPEProfile(total: Int) throws(LongRoPEError) -> RotaryProfile {
        let base = try base()
        if let tables { return try tables.profile(total: total, of: base) }
        let isShort = total <= originalContext
        guard let factors = isShort ? shortFactors : longFactors else {
            throw LongRoPEError(
                .missingFactors,
                "\(total.grouped) positions, of prompt and reserved output, need the "
                    + "\(isShort ? "short" : "long") factors (original context \(originalContext.grouped)), but the model file has no tensor "
                    + "rope_factors_\(isShort ? "short" : "long").weight; convert the model again")
        }
        return try make(
            isShort ? "short" : "long", factors: factors,
            attentionFactor: attentionFactor
                ?? Self.attentionFactor(originalContext: originalContext, maximumContext: maximumContext),
            window: isShort ? originalContext : maximumContext)
    }

    /// What positions are divided by: llama.cpp takes `rope.scaling.factor` unless the type is none.
    private func linearScale() throws(LongRoPEError) -> Double {
        guard type != "none", let linearFactor, linearFactor != 0 else { return 1 }
        guard linearFactor.isFinite, linearFactor > 0 else {
            throw LongRoPEError(
                .invalidProfile, "the model's rope.scaling.factor is \(linearFactor); it must be above 0")
        }
        return linearFactor
    }

    /// The same factor for every pair; none where the rotary dimension is nonsense, which `RotaryProfile` reports.
    private func pairs(_ factor: Double) -> [Double] {
        guard (2...RotaryProfile.largestRotaryDimension).contains(rotaryDimension) else { return [] }
        return Array(repeating: factor, count: rotaryDimension / 2)
    }

    private func make(
        _ name: String, factors: [Double], attentionFactor: Double? = nil, window: Int
    ) throws(LongRoPEError) -> RotaryProfile {
        try RotaryProfile(
            name: name, theta: theta, rotaryDimension: rotaryDimension, factors: factors,
            attentionFactor: attentionFactor ?? self.attentionFactor ?? 1, window: window)
    }
}
