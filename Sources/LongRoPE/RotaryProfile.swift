// The rotary table of a sequence, as numbers: what is pinned at admission, travels to every worker, and is part
// of the identity of every KV block.

import Numerals

/// The rotary table of a sequence, pinned at admission. It never changes in mid-sequence.
///
/// With d = `rotaryDimension` and position n, pair i turns by n / (factors[i] * theta^(2i/d)) radians, or by
/// n / theta^(2i/d) where n < `startTokens` (LongRoPE, arXiv 2402.13753, equation 3).
public struct RotaryProfile: Sendable, Hashable, Codable {
    /// What people call it: "none", "short", "long", "linear", "frequencies", or a name of their own.
    public let name: String
    /// The rotary base.
    public let theta: Double
    /// How many of a head's elements rotate; even. The others pass unchanged.
    public let rotaryDimension: Int
    /// One per pair: what the wavelength is stretched by. Values below 1 occur in published models.
    public let factors: [Double]
    /// n-hat: positions below it use unstretched wavelengths and no attention factor.
    public let startTokens: Int
    /// Multiplies cos and sin, so that the rotated part of q . k is scaled by its square.
    public let attentionFactor: Double
    /// The number of positions the profile is meant for.
    public let window: Int
    /// Positions left out, for evaluations that look at the end of a long window with few tokens; nil: none.
    public let gap: PositionGap?

    /// The largest head size that is accepted, as a number of rotating elements.
    public static let largestRotaryDimension = 4096
    /// What a factor may be: wide of anything useful, so that no arithmetic on it overflows.
    public static let factorRange = 1e-6...1e12
    /// The longest name, in bytes of UTF-8.
    public static let longestName = 64

    /// Throws `invalidProfile` when a value is out of range; the message names the value and the range.
    public init(
        name: String, theta: Double, rotaryDimension: Int, factors: [Double], startTokens: Int = 0,
        attentionFactor: Double = 1, window: Int, gap: PositionGap? = nil
    ) throws(LongRoPEError) {
        func check(_ holds: Bool, _ problem: @autoclosure () -> String) throws(LongRoPEError) {
            guard holds else { throw LongRoPEError(.invalidProfile, "rotary profile: \(problem())") }
        }
        try check(
            (1...Self.longestName).contains(name.utf8.count),
            "the name has \(name.utf8.count) bytes; it needs 1 to \(Self.longestName)")
        try check(
            theta.isFinite && theta > 1 && theta <= 1e18,
            "theta is \(theta); it must be above 1 and at most 1e18")
        try check(
            rotaryDimension >= 2 && rotaryDimension % 2 == 0
                && rotaryDimension <= Self.largestRotaryDimension,
            "the rotary dimension is \(rotaryDimension); it must be even, 2 to \(Self.largestRotaryDimension)"
        )
        try check(
            factors.count == rotaryDimension / 2,
            "there are \(factors.count.grouped) factors; rotary dimension \(rotaryDimension) needs \(rotaryDimension / 2)"
        )
        for (pair, factor) in factors.enumerated() {
            try check(
                Self.factorRange.contains(factor),
                "factor \(pair) is \(factor); every factor must be a number from 1e-6 to 1e12")
        }
        try check(startTokens >= 0, "the start tokens are \(startTokens); they must be 0 or more")
        try check(
            attentionFactor.isFinite && attentionFactor > 0,
            "the attention factor is \(attentionFactor); it must be finite and above 0")
        try check(window >= 1, "the window is \(window) positions; it must be 1 or more")
        if let gap {
            try check(
                (1...Int(Int32.max)).contains(gap.every) && (1...Int(Int32.max)).contains(gap.length),
                "a gap of \(gap.length) positions after every \(gap.every) tokens; both must be 1 to \(Int32.max.grouped)"
            )
        }
        self.name = name
        self.theta = theta
        self.rotaryDimension = rotaryDimension
        self.factors = factors
        self.startTokens = startTokens
        self.attentionFactor = attentionFactor
        self.window = window
        self.gap = gap
    }

    /// The same profile with positions left out.
    public func with(gap: PositionGap?) throws(LongRoPEError) -> RotaryProfile {
        try RotaryProfile(
            name: name, theta: theta, rotaryDimension: rotaryDimension, factors: factors,
            startTokens: startTokens, attentionFactor: attentionFactor, window: window, gap: gap)
    }

    /// The number of rotating pairs, `rotaryDimension` / 2.
    public var pairs: Int { factors.count }

    /// 32 hexadecimal digits that stand for the exact bits of every value above: equal profiles have equal
    /// identities on every machine and in every version.
    ///
    /// FNV-1a with 128 bits over: the text `lariat-rope-1`, then name (byte count, bytes), theta, rotary
    /// dimension, factor count, factors, start tokens, attention factor, window. Integers and the bit patterns
    /// of doubles are 8 bytes, little-endian. Where there is a gap, its two numbers follow. It detects differences; it is no defence against forgery.
    public var identity: String {
        var hash = FNV1a128()
        hash.add("lariat-rope-1".utf8)
        hash.add(name.utf8.count)
        hash.add(name.utf8)
        hash.add(theta)
        hash.add(rotaryDimension)
        hash.add(factors.count)
        for factor in factors { hash.add(factor) }
        hash.add(startTokens)
        hash.add(attentionFactor)
        hash.add(window)
        if let gap {
            hash.add(gap.every)
            hash.add(gap.length)
        }
        return hash.hexadecimal
    }

    private enum CodingKeys: String, CodingKey {
        case name, theta, rotaryDimension, factors, startTokens, attentionFactor, window, gap
    }

    /// A stored profile is checked like any other.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            name: values.decode(String.self, forKey: .name),
            theta: values.decode(Double.self, forKey: .theta),
            rotaryDimension: values.decode(Int.self, forKey: .rotaryDimension),
            factors: values.decode([Double].self, forKey: .factors),
            startTokens: values.decode(Int.self, forKey: .startTokens),
            attentionFactor: values.decode(Double.self, forKey: .attentionFactor),
            window: values.decode(Int.self, forKey: .window),
            gap: values.decodeIfPresent(PositionGap.self, forKey: .gap))
    }
}

/// Positions that no token has: after every `every` tokens, `length` positions are left out. A few thousand tokens,
/// spread over a window in pieces, then show how a profile treats the distances of the whole window (LongRoPE search).
public struct PositionGap: Sendable, Hashable, Codable {
    public let every: Int
    public let length: Int

    public init(every: Int, length: Int) {
        self.every = every
        self.length = length
    }

    /// `tokens` tokens in at most `pieces` pieces from the start of a window to its end; nil where they fill it.
    public init?(spreading tokens: Int, over window: Int, pieces: Int) {
        guard tokens >= 2, window > tokens else { return nil }
        let pieces = max(2, min(pieces, tokens))
        // Rounded up, so that there are no more pieces than asked for.
        let every = (tokens + pieces - 1) / pieces
        let gaps = (tokens - 1) / every
        guard gaps > 0, (window - tokens) / gaps > 0 else { return nil }
        self.init(every: every, length: (window - tokens) / gaps)
    }

    /// The position of the token at `index`.
    func position(_ index: Int) -> Int { index + index / every * length }
}

/// Fowler, Noll and Vo's hash, variant 1a, 128 bits (RFC 9923).
struct FNV1a128 {
    private var state: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
    private static let prime: UInt128 = 0x0000_0000_0100_0000_0000_0000_0000_013b

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { state = (state ^ UInt128(byte)) &* Self.prime }
    }

    mutating func add(_ value: Int) { add(UInt64(bitPattern: Int64(value))) }

    mutating func add(_ value: Double) { add(value.bitPattern) }

    private mutating func add(_ word: UInt64) {
        add((0..<8).lazy.map { UInt8(truncatingIfNeeded: word >> (8 * $0)) })
    }

    var hexadecimal: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }
}
