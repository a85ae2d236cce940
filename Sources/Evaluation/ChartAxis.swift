// An axis of a chart: what it shows, where its values lie, and which of them get a label.
import Foundation
import Numerals

/// An axis of a chart.
public struct ChartAxis: Sendable, Hashable {
    public enum Scale: Sendable, Hashable { case linear, log2, log10 }

    public enum Labels: Sendable, Hashable {
        /// Decimal numbers.
        case plain
        /// Numbers of tokens in units of 1,024: 8k, 128k, 1M.
        case tokens
    }

    /// What the axis shows, with its unit.
    public var title: String
    public var scale: Scale
    public var labels: Labels
    /// Where the axis begins and ends; nil takes it from the values. What lies outside is marked at the edge.
    public var lower: Double?
    public var upper: Double?

    public init(
        _ title: String, scale: Scale = .linear, labels: Labels = .plain, lower: Double? = nil,
        upper: Double? = nil
    ) {
        self.title = title
        self.scale = scale
        self.labels = labels
        self.lower = lower
        self.upper = upper
    }

    /// Lengths in powers of two.
    public static func tokens(_ title: String) -> ChartAxis {
        ChartAxis(title, scale: .log2, labels: .tokens)
    }
}

/// An axis laid out over a set of values: shares of its length from 0 to 1.
struct AxisLayout {
    struct Tick: Equatable {
        let share: Double
        let label: String
    }

    private let axis: ChartAxis
    /// The ends in units of the scale: exponents where it is logarithmic.
    private let low: Double
    private let high: Double
    let ticks: [Tick]

    init(_ axis: ChartAxis, values: [Double]) {
        self.axis = axis
        func usable(_ value: Double?) -> Double? {
            value.map { Self.exponent($0, axis.scale) }.flatMap { $0.isFinite ? $0 : nil }
        }
        let exponents = values.compactMap(usable)
        let (lower, upper) = (usable(axis.lower), usable(axis.upper))
        var low = lower ?? exponents.min() ?? upper.map { $0 - 1 } ?? 0
        var high = upper ?? exponents.max() ?? low + 1
        if !(low < high) {
            // One value only, or all of them outside of a given end.
            let unit = axis.scale == .linear ? max(1e-9, 0.1 * abs(high)) : 0.25
            if lower == nil { low = high - unit }
            if upper == nil { high = max(high, low) + unit }
            if !(low < high) { high = low + unit }
        }
        let padding = 0.04 * (high - low)
        self.low = lower == nil ? low - padding : low
        self.high = upper == nil ? high + padding : high
        let bounds = self.low...self.high
        let span = self.high - self.low
        ticks = Self.tickValues(axis, bounds).map { value in
            let share = (Self.exponent(value, axis.scale) - bounds.lowerBound) / span
            return Tick(share: share, label: Self.label(value, axis))
        }
    }

    /// Where a value lies: below 0 or above 1 outside the axis, infinite where a logarithm is.
    func share(_ value: Double) -> Double { (Self.exponent(value, axis.scale) - low) / (high - low) }

    private static func exponent(_ value: Double, _ scale: ChartAxis.Scale) -> Double {
        switch scale {
        case .linear: value
        case .log2: value > 0 ? log2(value) : value.isNaN ? value : -.infinity
        case .log10: value > 0 ? log10(value) : value.isNaN ? value : -.infinity
        }
    }

    private static func tickValues(_ axis: ChartAxis, _ bounds: ClosedRange<Double>) -> [Double] {
        let unit = axis.labels == .tokens ? 1024.0 : 1
        let fine = bounds.lowerBound - 1e-9...bounds.upperBound + 1e-9
        switch axis.scale {
        case .linear: return even(bounds, unit: unit)
        case .log2:
            let exponents = whole(fine)
            if exponents.count >= 2 { return exponents.map { exp2($0) } }
            return even(exp2(bounds.lowerBound)...exp2(bounds.upperBound), unit: unit)
        case .log10:
            for mantissas in [[1.0], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]] {
                let decades = bounds.lowerBound.rounded(.down)...bounds.upperBound.rounded(.up)
                // Wide axes have labels enough with the decades.
                guard mantissas.count == 1 || decades.upperBound - decades.lowerBound < 6 else { break }
                let step = max(1, ((decades.upperBound - decades.lowerBound) / 8).rounded(.up))
                let values = stride(from: decades.lowerBound, through: decades.upperBound, by: step)
                    .flatMap { decade in mantissas.map { $0 * pow(10, decade) } }
                    .filter { fine.contains(log10($0)) }
                if values.count >= 4 { return values }
            }
            let values = even(pow(10, bounds.lowerBound)...pow(10, bounds.upperBound), unit: unit)
            // Even steps crowd at the upper end of more than a decade: keep the decades there.
            return bounds.upperBound - bounds.lowerBound < 1 ? values : whole(fine).map { pow(10, $0) }
        }
    }

    /// The whole numbers of a range, at most nine of them, evenly spaced.
    private static func whole(_ range: ClosedRange<Double>) -> [Double] {
        let (first, last) = (range.lowerBound.rounded(.up), range.upperBound.rounded(.down))
        guard first <= last else { return [] }
        return Array(stride(from: first, through: last, by: max(1, ((last - first + 1) / 9).rounded(.up))))
    }

    /// Multiples of 1, 2 or 5 times a power of ten (times `unit`): about five.
    private static func even(_ range: ClosedRange<Double>, unit: Double) -> [Double] {
        let rough = (range.upperBound - range.lowerBound) / unit / 5
        let power = pow(10, log10(rough).rounded(.down))
        let mantissa = rough / power
        let step = unit * power * (mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10)
        let first = (range.lowerBound / step).rounded(.up)
        let last = (range.upperBound / step).rounded(.down)
        guard step.isFinite, step > 0, first <= last, last - first < 100 else { return [] }
        return stride(from: first, through: last, by: 1).map { $0 * step }
    }

    private static func label(_ value: Double, _ axis: ChartAxis) -> String {
        if axis.labels == .tokens { return Figures.tokens(value) }
        if value == value.rounded(), abs(value) < 1e9 { return Int(value).grouped }
        // Rounding errors of a step are far below six significant figures.
        let decimals = abs(value) >= 1e-9 ? Int((6 - log10(abs(value))).rounded(.down)) : 6
        return abs(value) >= 1e-6 && abs(value) < 1e9 ? Figures.short(value, decimals: decimals) : "\(value)"
    }
}
