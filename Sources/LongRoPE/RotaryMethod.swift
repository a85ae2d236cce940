// The ways to turn positions beyond a model's trained length: one small type each, behind one protocol.
import Foundation

/// What every method starts from: how the model's positions turn as it was trained.
public struct RotaryBase: Sendable, Hashable {
    /// The rotary base.
    public let theta: Double
    /// How many of a head's elements rotate; even.
    public let rotaryDimension: Int
    /// L: the positions the model was trained for.
    public let originalContext: Int

    /// - Throws: `invalidProfile` with the figures.
    public init(theta: Double, rotaryDimension: Int, originalContext: Int) throws(LongRoPEError) {
        guard originalContext >= 1 else {
            throw LongRoPEError(
                .invalidProfile,
                "the model's original context is \(originalContext) tokens "
                    + "(rope.scaling.original_context_length); it must be 1 or more")
        }
        // The checks of a profile hold for its base.
        _ = try RotaryProfile(
            name: "base", theta: theta, rotaryDimension: rotaryDimension,
            factors: Array(
                repeating: 1, count: max(0, min(rotaryDimension, RotaryProfile.largestRotaryDimension) / 2)),
            window: 1)
        self.theta = theta
        self.rotaryDimension = rotaryDimension
        self.originalContext = originalContext
    }

    /// The number of rotating pairs.
    public var pairs: Int { rotaryDimension / 2 }

    /// The positions that `scale` times the trained length holds.
    func window(_ scale: Double) -> Int {
        Int((Double(originalContext) * scale).rounded(.down).clamped(to: 1...Double(Int32.max)))
    }

    func profile(
        _ name: String, factors: [Double], startTokens: Int = 0, attentionFactor: Double = 1, window: Int
    ) throws(LongRoPEError) -> RotaryProfile {
        try RotaryProfile(
            name: name, theta: theta, rotaryDimension: rotaryDimension, factors: factors,
            startTokens: startTokens, attentionFactor: attentionFactor, window: window)
    }

    /// The factor of every pair.
    func factors(_ factor: (_ pair: Int) -> Double) -> [Double] { (0..<pairs).map(factor) }

    /// The critical pair in theory, within 1..<pairs.
    public func criticalPair(periods: Double = 1) -> Int {
        max(
            1,
            min(
                Self.criticalPair(
                    pairs: pairs, theta: theta, originalContext: originalContext, periods: periods), pairs - 1
            ))
    }

    /// The first pair whose wavelength is longer than the trained length, so that training never showed it a whole
    /// turn: d_tcd = ceil(d/2 log_theta(L / 2 pi)) (LongRoPE2, arXiv 2502.20082, section 3.1).
    ///
    /// The real critical pair is searched from the first pair with fewer than 10 turns (`periods` = 10; algorithm 1
    /// there) on.
    /// - Parameters:
    ///   - pairs: d/2.
    ///   - originalContext: L, in tokens.
    ///   - periods: how many whole turns the pair makes in training at most.
    /// - Returns: 0 to `pairs`; `pairs` where every pair turns often enough.
    public static func criticalPair(
        pairs: Int, theta: Double, originalContext: Int, periods: Double = 1
    ) -> Int {
        let pair = pair(turning: periods, pairs: pairs, theta: theta, originalContext: originalContext)
        return pair.isNaN ? 0 : Int(pair.rounded(.up).clamped(to: 0...Double(pairs)))
    }

    /// The pair that turns so often in the trained length, as a fraction.
    static func pair(turning turns: Double, pairs: Int, theta: Double, originalContext: Int) -> Double {
        Double(pairs) * log(Double(originalContext) / (turns * 2 * .pi)) / log(theta)
    }
}

/// A way to turn positions. It gives the profile of one sequence, which then holds for the sequence's whole life.
public protocol RotaryMethod: Sendable {
    /// As people write it: `yarn:8`.
    var name: String { get }
    /// The profile for sequences of `total` positions, those of prompt and reserved output that are computed. Its
    /// window may be smaller.
    func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile
}

/// Positions as trained, whatever the length.
public struct UnscaledPositions: RotaryMethod {
    public init() {}
    public var name: String { "none" }
    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        try base.profile(name, factors: base.factors { _ in 1 }, window: base.originalContext)
    }
}

/// How far a method stretches: by a given scale s, or by what the sequence needs, total / L and 1 at least.
public struct RotaryScale: Sendable, Hashable {
    /// Nil: what the sequence needs.
    public let value: Double?
    /// What a scale may be.
    public static let range = 1.0...1e6

    public static let asNeeded = RotaryScale(unchecked: nil)

    /// - Throws: `invalidMethod` for a scale out of range.
    public init(_ value: Double) throws(LongRoPEError) {
        guard Self.range.contains(value) else {
            throw LongRoPEError(.invalidMethod, "a rotary scale of \(value): it must be from 1 to 1,000,000")
        }
        self.value = value
    }

    private init(unchecked value: Double?) { self.value = value }

    func resolved(total: Int, of base: RotaryBase) -> Double {
        value ?? max(1, Double(total) / Double(base.originalContext))
    }

    /// `:8`, or nothing.
    var suffix: String { value.map { ":" + Self.text($0) } ?? "" }

    static func text(_ value: Double) -> String {
        value == value.rounded() && value < 1e15 ? "\(Int(value))" : "\(value)"
    }
}

/// Position interpolation (Chen et al., arXiv 2306.15595): every wavelength is stretched by s.
public struct LinearInterpolation: RotaryMethod {
    public let scale: RotaryScale
    public init(_ scale: RotaryScale) { self.scale = scale }
    public var name: String { "linear\(scale.suffix)" }
    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        let scale = scale.resolved(total: total, of: base)
        return try base.profile(name, factors: base.factors { _ in scale }, window: base.window(scale))
    }
}

/// "NTK-aware" interpolation: the base becomes theta s^(d/(d-2)), so pair i is stretched by s^(2i/(d-2)).
///
/// Without a scale it is dynamic NTK: s follows the admitted length (prompt and reserved output) and holds from then
/// on, where other engines change it in mid-sequence.
public struct NTKInterpolation: RotaryMethod {
    public let scale: RotaryScale
    public init(_ scale: RotaryScale) { self.scale = scale }
    public var name: String { scale.value == nil ? "dynamic-ntk" : "ntk\(scale.suffix)" }
    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        let scale = scale.resolved(total: total, of: base)
        return try base.profile(
            name, factors: Self.factors(scale: scale, pairs: base.pairs), window: base.window(scale))
    }

    /// 1 for the fastest pair, s for the slowest.
    public static func factors(scale: Double, pairs: Int) -> [Double] {
        (0..<pairs).map { pow(scale, pairs > 1 ? Double($0) / Double(pairs - 1) : 1) }
    }
}

/// YaRN (Peng et al., arXiv 2309.00071): pairs that turn more than `betaFast` times in the trained length stay, those
/// that turn less than `betaSlow` times are stretched by s, frequencies between are blended; attention factor
/// 0.1 ln s + 1.
public struct YaRNInterpolation: RotaryMethod {
    public let scale: RotaryScale
    /// Instead of 0.1 ln s + 1: what cos and sin are multiplied by.
    public let attentionFactor: Double?
    public let betaFast: Double
    public let betaSlow: Double
    /// The paper's, and those of models that say nothing else.
    public static let usualBetas = (fast: 32.0, slow: 1.0)

    /// - Throws: `invalidMethod` for turns that are not numbers above 0, the fast ones at least as many as the slow.
    public init(
        _ scale: RotaryScale, attentionFactor: Double? = nil, betaFast: Double = usualBetas.fast,
        betaSlow: Double = usualBetas.slow
    ) throws(LongRoPEError) {
        guard betaFast.isFinite, betaSlow > 0, betaFast >= betaSlow else {
            throw LongRoPEError(
                .invalidMethod,
                "YaRN between \(betaFast) and \(betaSlow) turns (yarn_beta_fast, yarn_beta_slow): both must be above "
                    + "0, and the first not smaller than the second")
        }
        self.scale = scale
        self.attentionFactor = attentionFactor
        self.betaFast = betaFast
        self.betaSlow = betaSlow
    }

    public var name: String { "yarn\(scale.suffix)" }

    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        let scale = scale.resolved(total: total, of: base)
        return try base.profile(
            name,
            factors: Self.factors(
                scale: scale, pairs: base.pairs, theta: base.theta, originalContext: base.originalContext,
                betaFast: betaFast, betaSlow: betaSlow),
            attentionFactor: attentionFactor ?? Self.attentionFactor(scale: scale), window: base.window(scale)
        )
    }

    /// 0.1 ln s + 1.
    public static func attentionFactor(scale: Double) -> Double { 0.1 * log(scale) + 1 }

    /// One factor a pair, 1 to s.
    public static func factors(
        scale: Double, pairs: Int, theta: Double, originalContext: Int,
        betaFast: Double = usualBetas.fast, betaSlow: Double = usualBetas.slow
    ) -> [Double] {
        func pair(turning turns: Double) -> Double {
            RotaryBase.pair(turning: turns, pairs: pairs, theta: theta, originalContext: originalContext)
        }
        let low = max(pair(turning: betaFast).rounded(.down), 0)
        var high = min(pair(turning: betaSlow).rounded(.up), Double(2 * pairs - 1))
        // As in transformers, so that nothing is divided by zero.
        if high <= low { high = low + 0.001 }
        return (0..<pairs).map { pair in
            let ramp = ((Double(pair) - low) / (high - low)).clamped(to: 0...1)
            return 1 / (ramp / scale + (1 - ramp))
        }
    }
}

/// LongRoPE2's closed form (arXiv 2502.20082): from the critical pair on every wavelength is stretched by s, below it
/// by s^(i/cd), so that no period that the model has not seen whole is left unstretched.
public struct CriticalPairInterpolation: RotaryMethod {
    public let scale: RotaryScale
    /// Nil: the theoretical one, `RotaryBase.criticalPair()`.
    public let criticalPair: Int?

    public init(_ scale: RotaryScale, criticalPair: Int? = nil) {
        self.scale = scale
        self.criticalPair = criticalPair
    }

    public var name: String {
        guard let criticalPair else { return "longrope2\(scale.suffix)" }
        return "longrope2:\(scale.value.map(RotaryScale.text) ?? "auto"):\(criticalPair)"
    }

    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        let scale = scale.resolved(total: total, of: base)
        let critical = criticalPair ?? base.criticalPair()
        guard (1..<max(2, base.pairs)).contains(critical) else {
            throw LongRoPEError(
                .invalidMethod,
                "\(name): critical pair \(critical); with \(base.pairs) pairs it must be from 1 to "
                    + "\(max(1, base.pairs - 1))")
        }
        return try base.profile(
            name, factors: Self.factors(scale: scale, criticalPair: critical, pairs: base.pairs),
            attentionFactor: RotaryScaling.attentionFactor(
                originalContext: base.originalContext, scale: scale),
            window: base.window(scale))
    }

    /// s^(i/cd) below the critical pair, s from there on.
    public static func factors(scale: Double, criticalPair: Int, pairs: Int) -> [Double] {
        (0..<pairs).map { $0 < criticalPair ? pow(scale, Double($0) / Double(criticalPair)) : scale }
    }
}

extension Double {
    func clamped(to range: ClosedRange<Double>) -> Double {
        Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}
