// A metric with all its series, correct by construction.

/// One metric: a name, a kind and a value for each set of labels.
///
/// Whatever it is made from, it can be shown: names are repaired (see `Labels`), a counter's name ends in _total
/// and no other kind's does, a counter is never negative, and no set of labels comes twice. Names hold the unit,
/// as in `lariat_ring_wait_seconds`; base units only (seconds, bytes, ratio).
public struct MetricFamily: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    public enum Value: Sendable, Equatable {
        case number(Double)
        case histogram(Histogram)
    }

    public struct Series: Sendable, Equatable {
        public let labels: Labels
        public fileprivate(set) var value: Value
    }

    public let name: String
    public let help: String
    public let kind: Kind
    /// In the order they were given.
    public private(set) var series: [Series] = []

    private init(_ name: String, _ help: String, _ kind: Kind, _ values: [(Labels, Value)]) {
        var name = MetricName.repaired(name)
        if kind == .counter {
            if !name.hasSuffix("_total") { name += "_total" }
        } else if name.hasSuffix("_total"), name.count > 6 {
            name.removeLast(6)
        }
        self.name = name
        self.help = help.isEmpty ? name : help
        self.kind = kind
        add(values)
    }

    /// A value that only rises while the process lives. Values with the same labels are added up.
    public static func counter(_ name: String, _ help: String, _ values: [(Labels, Double)]) -> MetricFamily {
        MetricFamily(name, help, .counter, values.map { ($0, .number($1 > 0 ? $1 : 0)) })
    }

    public static func counter(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        counter(name, help, [(Labels.none, value)])
    }

    /// A value that rises and falls. Of values with the same labels the last counts.
    public static func gauge(_ name: String, _ help: String, _ values: [(Labels, Double)]) -> MetricFamily {
        MetricFamily(name, help, .gauge, values.map { ($0, .number($1)) })
    }

    public static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        gauge(name, help, [(Labels.none, value)])
    }

    /// A distribution. Those with the same labels and bounds are merged; with other bounds the first counts.
    public static func histogram(_ name: String, _ help: String, _ values: [(Labels, Histogram)])
        -> MetricFamily
    {
        MetricFamily(name, help, .histogram, values.map { ($0, .histogram($1)) })
    }

    public static func histogram(_ name: String, _ help: String, _ value: Histogram) -> MetricFamily {
        histogram(name, help, [(Labels.none, value)])
    }

    /// Takes the series of another family of the same name and kind; of any other family, none.
    mutating func merge(_ other: MetricFamily) {
        guard other.name == name, other.kind == kind else { return }
        add(other.series.map { ($0.labels, $0.value) })
    }

    private mutating func add(_ values: [(Labels, Value)]) {
        var places = Dictionary(uniqueKeysWithValues: series.enumerated().map { ($1.labels, $0) })
        for (labels, value) in values {
            guard let place = places[labels] else {
                places[labels] = series.count
                series.append(Series(labels: labels, value: value))
                continue
            }
            switch (series[place].value, value) {
            case (.number(let old), .number(let new)):
                series[place].value = .number(kind == .counter ? old + new : new)
            case (.histogram(var old), .histogram(let new)):
                old.merge(new)
                series[place].value = .histogram(old)
            default: break
            }
        }
    }
}
