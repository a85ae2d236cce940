// Counters and histograms by label, kept as values by whatever counts.

/// A counter for each set of labels that was seen, up to a limit.
///
/// Past the limit new sets are counted together in a series whose labels all read "other", so that input from
/// outside cannot make a page of metrics grow without end.
public struct CounterVector: Sendable, Equatable {
    private var values: Vector<Double>

    public init(maximumSeries: Int = 1000) {
        values = Vector(maximumSeries: maximumSeries)
    }

    /// Adds `amount`; what is negative or not finite is left out. Adding 0 makes a series that reads 0.
    public mutating func add(_ amount: Double = 1, _ labels: Labels = .none) {
        guard amount.isFinite, amount >= 0 else { return }
        values.update(labels, from: 0) { $0 += amount }
    }

    /// 0 for labels that were never counted.
    public subscript(labels: Labels) -> Double { values.entries[labels] ?? 0 }

    public func family(_ name: String, _ help: String) -> MetricFamily {
        .counter(name, help, values.sorted)
    }
}

/// A histogram for each set of labels that was seen, all with the same bounds; limited like `CounterVector`.
public struct HistogramVector: Sendable, Equatable {
    private var values: Vector<Histogram>
    private let empty: Histogram

    /// `like`: gives the bounds.
    public init(like empty: Histogram, maximumSeries: Int = 100) {
        values = Vector(maximumSeries: maximumSeries)
        self.empty = Histogram(upperBounds: empty.upperBounds)
    }

    public mutating func observe(_ value: Double, _ labels: Labels = .none) {
        values.update(labels, from: empty) { $0.observe(value) }
    }

    public mutating func observe(_ duration: Duration, _ labels: Labels = .none) {
        values.update(labels, from: empty) { $0.observe(duration) }
    }

    /// nil for labels that were never seen.
    public subscript(labels: Labels) -> Histogram? { values.entries[labels] }

    public func family(_ name: String, _ help: String) -> MetricFamily {
        .histogram(name, help, values.sorted)
    }
}

private struct Vector<Value: Sendable & Equatable>: Sendable, Equatable {
    let maximumSeries: Int
    private(set) var entries: [Labels: Value] = [:]

    init(maximumSeries: Int) {
        self.maximumSeries = max(1, maximumSeries)
    }

    mutating func update(_ labels: Labels, from start: Value, _ change: (inout Value) -> Void) {
        let known = entries[labels] != nil || entries.count < maximumSeries
        change(&entries[known ? labels : labels.settingAll(to: "other"), default: start])
    }

    /// In a fixed order, so that pages can be compared.
    var sorted: [Labelled<Value>] {
        entries.sorted { $0.key.pairs.lexicographicallyPrecedes($1.key.pairs) { $0.value < $1.value } }
            .map { Labelled($0.value, $0.key) }
    }
}
