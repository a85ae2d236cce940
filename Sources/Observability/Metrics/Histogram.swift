// Counts of observed values by size.

/// How many observed values were at most each of some bounds.
public struct Histogram: Sendable, Equatable {
    /// Finite and rising. The last bucket, for all values above, has no bound and is not listed.
    public let upperBounds: [Double]
    /// Values in each bucket alone, not in those below; one more than there are bounds.
    public private(set) var counts: [UInt64]
    /// Sum of all values observed. Never falls.
    public private(set) var sum = 0.0
    /// Number of values observed.
    public var count: UInt64 { counts.reduce(0, +) }

    /// Bounds may come in any order; those that are not finite, or come twice, are left out.
    public init(upperBounds: [Double]) {
        self.upperBounds = Set(upperBounds.filter(\.isFinite)).sorted()
        counts = Array(repeating: 0, count: self.upperBounds.count + 1)
    }

    /// Bounds for durations in seconds from a millisecond to a day and a bit: a prefill of a million tokens takes
    /// hours.
    public static let seconds = Histogram(
        upperBounds: [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
            1200, 1800, 3600, 7200, 14_400, 28_800, 57_600, 100_000,
        ])

    /// Counts a value. NaN and infinities are not counted: they would spoil the sum for ever. A negative value
    /// counts as 0, because a sum that falls reads as a restart.
    public mutating func observe(_ value: Double) {
        guard value.isFinite else { return }
        let value = max(0, value)
        counts[upperBounds.firstIndex { value <= $0 } ?? upperBounds.count] += 1
        sum += value
    }

    /// The same for a duration, in seconds.
    public mutating func observe(_ duration: Duration) {
        observe(duration / .seconds(1))
    }

    /// Adds what another one counted. False, and nothing is added, when its bounds are different.
    @discardableResult
    public mutating func merge(_ other: Histogram) -> Bool {
        guard upperBounds == other.upperBounds else { return false }
        for (index, count) in other.counts.enumerated() { counts[index] += count }
        sum += other.sum
        return true
    }
}
