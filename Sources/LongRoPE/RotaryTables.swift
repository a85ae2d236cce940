// Tables by length: LongRoPE's factors for sequences of one length and less, and the choice between several.

import Numerals

/// Factors for sequences of up to `window` positions (LongRoPE, arXiv 2402.13753, section 3.3: one set a length).
public struct RotaryTable: Sendable, Hashable {
    /// What it is called in a profile: "short", "long", or nothing, and then "to " and the window.
    public let name: String
    /// The longest sequence it is meant for, in positions.
    public let window: Int
    /// One per pair.
    public let factors: [Double]
    /// n-hat.
    public let startTokens: Int
    /// What cos and sin are multiplied by; nil: sqrt(1 + ln s / ln L).
    public let attentionFactor: Double?

    public init(
        name: String = "", window: Int, factors: [Double], startTokens: Int = 0,
        attentionFactor: Double? = nil
    ) {
        self.name = name.isEmpty ? "to \(window)" : name
        self.window = window
        self.factors = factors
        self.startTokens = startTokens
        self.attentionFactor = attentionFactor
    }
}

/// LongRoPE: a table for each length. A sequence takes the one of the smallest window that holds its positions,
/// exactly full included, and the largest where none does.
public struct LongRoPETables: RotaryMethod, Hashable {
    public let name: String
    /// By window, smallest first; at least one.
    public let tables: [RotaryTable]

    /// The most tables of one method.
    public static let largestCount = 64

    /// - Throws: `invalidMethod` without tables, with too many, or with two of the same window; `invalidProfile` for
    ///   one that has no window.
    public init(name: String = "longrope", tables: [RotaryTable]) throws(LongRoPEError) {
        guard (1...Self.largestCount).contains(tables.count) else {
            throw LongRoPEError(
                .invalidMethod,
                "LongRoPE with \(tables.count) tables of factors; it needs 1 to \(Self.largestCount)")
        }
        let sorted = tables.sorted { $0.window < $1.window }
        for (table, next) in zip(sorted, sorted.dropFirst()) where table.window == next.window {
            throw LongRoPEError(
                .invalidMethod, "two LongRoPE tables are for \(table.window.grouped) positions; one is enough"
            )
        }
        for table in sorted where table.window < 1 {
            throw LongRoPEError(
                .invalidProfile, "a LongRoPE table for \(table.window) positions; it must be for 1 or more")
        }
        self.name = name
        self.tables = sorted
    }

    public func profile(total: Int, of base: RotaryBase) throws(LongRoPEError) -> RotaryProfile {
        let table = tables.first { $0.window >= total } ?? tables[tables.count - 1]
        return try base.profile(
            table.name, factors: table.factors, startTokens: table.startTokens,
            attentionFactor: table.attentionFactor
                ?? RotaryScaling.attentionFactor(
                    originalContext: base.originalContext, maximumContext: table.window),
            window: table.window)
    }
}
