// Exact rotary angles at any position: frequencies are fractions of a turn in 64-bit fixed point, so that the
// wrap-around of an integer product is the range reduction.
import Foundation

/// The angles of a profile.
///
/// Pair i has the frequency F = round(2^64 / (2 pi factor theta^(2i/d))), in units of 2^-64 turns a position, and
/// position n the phase n &* F. F is off by at most half a unit, so the phase at position n by n * 2^-65 turns:
/// 4e-10 rad at 2^31, where float32 angles are off by whole turns. It costs one sine and one cosine in double
/// precision a pair and position, and one rounding to `Float` at the end.
public struct AngleTable: Sendable {
    /// Turns a position, in units of 2^-64, one per pair: with the factors.
    package let frequencies: [UInt64]
    /// The same without the factors, for positions below n-hat.
    package let unscaledFrequencies: [UInt64]
    private let startTokens: Int
    private let attentionFactor: Double
    private let gap: PositionGap?

    public init(_ profile: RotaryProfile) {
        startTokens = profile.startTokens
        attentionFactor = profile.attentionFactor
        gap = profile.gap
        let turns = Self.turnsPerPosition(theta: profile.theta, pairs: profile.pairs)
        unscaledFrequencies = turns.map(\.fractionInUnitsOf2ToMinus64)
        frequencies = zip(turns, profile.factors).map { ($0 / $1).fractionInUnitsOf2ToMinus64 }
    }

    /// The number of pairs: the row length of the tables that `fill` writes.
    public var pairs: Int { frequencies.count }

    /// 1 / (2 pi theta^(i/pairs)) for i in 0..<pairs, to about 100 bits.
    private static func turnsPerPosition(theta: Double, pairs: Int) -> [DoubleDouble] {
        // One Newton step on r^pairs * theta = 1 takes a double's 53 bits to more than 100.
        let guess = pow(theta, -1 / Double(pairs))
        let image = DoubleDouble(guess).power(pairs) * theta
        let error = (image.high - 1) + image.low
        let ratio = DoubleDouble.sum(guess, -guess * error / Double(pairs))
        let oneOver2Pi = DoubleDouble(0x1.45f306dc9c883p-3, -0x1.6b01ec5417056p-57)
        var power = oneOver2Pi
        return (0..<pairs).map { _ in
            defer { power = power * ratio }
            return power
        }
    }

    /// Writes cos and sin, times the attention factor, of consecutive positions. Rows below n-hat use the unscaled
    /// frequency and no attention factor.
    ///
    /// `cosine` and `sine` are [positions.count, pairs] in row-major order. Threads may fill different
    /// sub-ranges of one table at the same time, each through its own part of the span.
    /// - Precondition: positions start at 0 or later and both spans have positions.count * pairs elements.
    public func fill(
        positions: Range<Int>, cosine: inout MutableSpan<Float>, sine: inout MutableSpan<Float>
    ) {
        precondition(positions.lowerBound >= 0, "positions start at 0")
        let (elements, overflow) = positions.count.multipliedReportingOverflow(by: pairs)
        precondition(
            !overflow && cosine.count == elements && sine.count == elements,
            "the spans need \(positions.count) rows of \(pairs) elements")
        var element = 0
        for index in positions {
            let (position, frequencies, factor) = row(index)
            for frequency in frequencies {
                let angle = Self.angle(position, frequency)
                cosine[element] = Float(cos(angle) * factor)
                sine[element] = Float(sin(angle) * factor)
                element += 1
            }
        }
    }

    /// cos and sin, times the attention factor, of one pair at one position, 0 or more: the entry that `fill`
    /// writes.
    public func rotation(position: Int, pair: Int) -> (cosine: Float, sine: Float) {
        precondition(position >= 0, "positions start at 0")
        let (position, frequencies, factor) = row(position)
        let angle = Self.angle(position, frequencies[pair])
        return (Float(cos(angle) * factor), Float(sin(angle) * factor))
    }

    /// - Parameter index: the token's place in the sequence: its position, unless there is a gap before it.
    private func row(_ index: Int) -> (position: Int, frequencies: [UInt64], factor: Double) {
        let position = gap?.position(index) ?? index
        return position < startTokens
            ? (position, unscaledFrequencies, 1) : (position, frequencies, attentionFactor)
    }

    /// Radians, from minus pi to pi.
    @inline(__always)
    private static func angle(_ position: Int, _ frequency: UInt64) -> Double {
        let phase = UInt64(truncatingIfNeeded: position) &* frequency
        return Double(Int64(bitPattern: phase)) * (2 * Double.pi * 0x1p-64)
    }
}
