// A metric with all its series, correct by construction.

/// A value with the labels of its series.
public struct Labelled<Value> {
    public let value: Value
    public let labels: Labels

    public init(_ value: Value, _ labels: Labels) {
        self.value = value
        self.labels = labels
    }
}

extension Labelled: Sendable where Value: Sendable {}
extension Labelled: Equatable where Value: Equatable {}

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

    public let name: String
    public let help: String
    public let kind: Kind
    /// In the order they were given.
    public private(set) var series: [Labelled<Value>] = []

    private init(_ name: String, _ help: String, _ kind: Kind, _ values: [Labelled<Value>]) {
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
    public static func counter(_ name: String, _ help: String, _ values: [Labelled<Double>]) -> MetricFamily {
        MetricFamily(
            name, help, .counter, values.map { Labelled(.number($0.value > 0 ? $0.value : 0), $0.labels) })
    }

    public static func counter(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        counter(name, help, [Labelled(value, .none)])
    }

    /// A value that rises and falls. Of values with the same labels the last counts.
    public static func gauge(_ name: String, _ help: String, _ values: [Labelled<Double>]) -> MetricFamily {
        MetricFamily(name, help, .gauge, values.map { Labelled(.number($0.value), $0.labels) })
    }

    public static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        gauge(name, help, [Labelled(value, .none)])
    }

    /// A distribution. Those with the same labels and bounds are merged; with other bounds the first counts.
    public static func histogram(_ name: String, _ help: String, _ values: [Labelled<Histogram>])
        -> MetricFamily
    {
        MetricFamily(name, help, .histogram, values.map { Labelled(.histogram($0.value), $0.labels) })
    }

    public static func histogram(_ name: String, _ help: String, _ value: Histogram) -> MetricFamily {
        histogram(name, help, [Labelled(value, .none)])
    }

    /// Takes the series of another family of the same name and kind; of any other family, none.
    mutating func merge(_ other: MetricFamily) {
        guard other.name == name, other.kind == kind else { return }
        add(other.series)
    }

    private mutating func add(_ values: [Labelled<Value>]) {
        var places = Dictionary(uniqueKeysWithValues: series.enumerated().map { ($1.labels, $0) })
        for new in values {
            guard let place = places[new.labels] else {
                places[new.labels] = series.count
                series.append(new)
                continue
            }
            switch (series[place].value, new.value) {
            case (.number(let old), .number(let added)) where kind == .counter:
                series[place] = Labelled(.number(old + added), new.labels)
            case (.number, .number): series[place] = new
            case (.histogram(var old), .histogram(let added)):
                old.merge(added)
                series[place] = Labelled(.histogram(old), new.labels)
            default: break
            }
        }
    }
}
