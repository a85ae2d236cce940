// The text form in which Prometheus reads metrics, version 0.0.4.

public enum PrometheusText {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// A whole page. Families of the same name are shown as one: those of the first one's kind are merged into it,
    /// others are left out. A family without series is left out.
    public static func render(_ families: [MetricFamily]) -> String {
        var merged: [MetricFamily] = []
        var places: [String: Int] = [:]
        for family in families where !family.series.isEmpty {
            if let place = places[family.name] {
                merged[place].merge(family)
            } else {
                places[family.name] = merged.count
                merged.append(family)
            }
        }
        var page = ""
        for family in merged {
            page += "# HELP \(family.name) \(escaped(family.help, quotes: false))\n"
            page += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            for series in family.series { append(series, of: family.name, to: &page) }
        }
        return page
    }

    private static func append(_ series: Labelled<MetricFamily.Value>, of name: String, to page: inout String)
    {
        let labels = series.labels.pairs.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }
        func sample(_ suffix: String, _ more: [String], _ value: String) {
            let all = labels + more
            page += name + suffix
            if !all.isEmpty { page += "{" + all.joined(separator: ",") + "}" }
            page += " " + value + "\n"
        }
        switch series.value {
        case .number(let value):
            sample("", [], text(value))
        case .histogram(let histogram):
            var below: UInt64 = 0
            for (bound, count) in zip(histogram.upperBounds + [.infinity], histogram.counts) {
                below += count
                sample("_bucket", ["le=\"\(text(bound))\""], String(below))
            }
            sample("_sum", [], text(histogram.sum))
            sample("_count", [], String(below))
        }
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func text(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        // Every whole number below 2^53 is written without a point or exponent.
        if value.magnitude < 0x1p53, value == value.rounded() { return String(Int64(value)) }
        return "\(value)"
    }
}
