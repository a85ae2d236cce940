// Repeated measurements and what is reported of them. A machine's speed drifts, so whatever is compared is measured in
// turn, and ratios are taken within a round.

/// Values of one thing measured several times.
package struct Repeated: Sendable, Equatable {
    package private(set) var values: [Double] = []

    package init(_ values: [Double] = []) { self.values = values }

    package mutating func add(_ value: Double) { values.append(value) }

    /// The middle value, or the mean of the two in the middle; nil without values.
    package var median: Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// Two things measured in turn, round by round.
package struct Paired: Sendable, Equatable {
    package private(set) var first = Repeated()
    package private(set) var second = Repeated()

    package init() {}

    package mutating func add(_ first: Double, _ second: Double) {
        self.first.add(first)
        self.second.add(second)
    }

    /// The median of first / second of each round; nil when a round has no second.
    package var ratio: Double? {
        Repeated(zip(first.values, second.values).filter { $1 > 0 }.map { $0 / $1 }).median
    }
}
