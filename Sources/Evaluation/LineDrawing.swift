// The drawing of a line chart: frame, legend, series, and arrows for what lies beyond the axis.

/// A line chart on its way to SVG.
struct LineDrawing {
    private struct Point {
        let x: Double
        /// At most two heights outside, so that lines to what is far off the axis still point towards its arrow.
        let y: Double
    }
    private struct Clipped {
        let series: Int
        let x: Double
        let isAbove: Bool
        let hint: String
    }
    /// The shares of an axis that are on it, give or take a rounding error.
    private static let onAxis = -1e-9...(1 + 1e-9)

    static let width = 800.0
    static let height = 480.0

    let chart: LineChart
    var svg: SVG
    private let xs: AxisLayout
    private let ys: AxisLayout
    private let titles: [String]
    private let legend: [[LegendItem]]
    private let left: Double
    private let right = width - 24
    private let top: Double
    private let bottom = height - 56
    private var clipped: [Clipped] = []

    private struct LegendItem {
        /// nil explains the arrows.
        let series: Int?
        let text: String
        var width: Double { 30 + ChartStyle.width(text) + 20 }
    }

    init(_ chart: LineChart) {
        self.chart = chart
        svg = SVG(width: Self.width, height: Self.height, title: chart.title)
        let points = chart.series.flatMap(\.points)
        xs = AxisLayout(chart.x, values: points.map(\.x))
        ys = AxisLayout(chart.y, values: points.compactMap(\.y))
        // Bold letters of 16 pixels are as wide as others of 18.
        titles = ChartStyle.lines(chart.title, width: Self.width - 40, size: 18)
        let (ys, xs) = (ys, xs)
        let hasArrows = points.contains { point in
            guard let y = point.y.map(ys.share), !y.isNaN else { return false }
            return Self.onAxis.contains(xs.share(point.x)) && !Self.onAxis.contains(y)
        }
        var items = chart.series.indices.map { LegendItem(series: $0, text: chart.series[$0].name) }
        if hasArrows { items.append(LegendItem(series: nil, text: "beyond the axis")) }
        legend = Self.rows(
            items.map { item in
                LegendItem(
                    series: item.series, text: ChartStyle.fitted(item.text, width: Self.width - 100))
            })
        let labels = ys.ticks.map { ChartStyle.width($0.label) }.max() ?? 0
        left = 46 + labels
        top = 16 + 20 * Double(titles.count) + 20 * Double(legend.count) + 14
    }

    /// Legend items side by side, in as many rows as they need.
    private static func rows(_ items: [LegendItem]) -> [[LegendItem]] {
        var rows: [[LegendItem]] = []
        var used = 0.0
        for item in items {
            if rows.isEmpty || used + item.width > width - 40 {
                rows.append([])
                used = 0
            }
            rows[rows.count - 1].append(item)
            used += item.width
        }
        return rows
    }

    private func pixelX(_ share: Double) -> Double { left + share * (right - left) }
    private func pixelY(_ share: Double) -> Double { bottom - min(max(share, -2), 3) * (bottom - top) }

    // MARK: Frame

    mutating func drawFrame() {
        svg.add(rectangle: "lrt-back", x: 0, y: 0, width: Self.width, height: Self.height)
        for (row, title) in titles.enumerated() {
            svg.add(text: title, x: 20, y: 30 + 20 * Double(row), style: "lrt-title")
        }
        drawLegend(baseLine: 34 + 20 * Double(titles.count))
        for tick in ys.ticks {
            let y = pixelY(tick.share)
            svg.add(
                "path",
                ["class": "lrt-rule", "d": "M\(SVG.number(left)) \(SVG.number(y))H\(SVG.number(right))"])
            svg.add(text: tick.label, x: left - 8, y: y + 4, anchor: .end, style: "lrt-text")
        }
        for tick in xs.ticks {
            let x = pixelX(tick.share)
            svg.add(
                "path",
                ["class": "lrt-rule", "d": "M\(SVG.number(x)) \(SVG.number(top))V\(SVG.number(bottom))"])
            svg.add(text: tick.label, x: x, y: bottom + 18, anchor: .middle, style: "lrt-text")
        }
        svg.add(
            "path",
            [
                "class": "lrt-axis",
                "d": "M\(SVG.number(left)) \(SVG.number(top))V\(SVG.number(bottom))H\(SVG.number(right))",
            ])
        svg.add(
            text: ChartStyle.fitted(chart.x.title, width: right - left), x: (left + right) / 2,
            y: Self.height - 16, anchor: .middle, style: "lrt-faint")
        svg.add(
            text: ChartStyle.fitted(chart.y.title, width: bottom - top), x: 24, y: (top + bottom) / 2,
            anchor: .middle, style: "lrt-faint", turned: true)
    }

    private mutating func drawLegend(baseLine: Double) {
        for (row, items) in legend.enumerated() {
            let y = baseLine + 20 * Double(row)
            var x = 20.0
            for item in items {
                if let series = item.series {
                    let style = chart.series[series].style
                    if style != .dots { drawLine(series, "M\(SVG.number(x)) \(SVG.number(y - 4))h24") }
                    if style != .steps { drawMark(series, x: x + 12, y: y - 4, hint: nil, isKey: true) }
                } else {
                    svg.add(
                        "path",
                        [
                            "class": "lrt-clipped lrt-note",
                            "d": ChartStyle.arrow(x: x + 12, y: y - 10, up: true),
                        ])
                }
                svg.add(text: item.text, x: x + 30, y: y, style: "lrt-text")
                x += item.width
            }
        }
    }

    // MARK: Series

    mutating func draw(_ index: Int) {
        let series = chart.series[index]
        let shares = series.points.map { point -> (x: Double, y: Double)? in
            guard let y = point.y.map(ys.share), !y.isNaN else { return nil }
            let x = xs.share(point.x)
            return Self.onAxis.contains(x) ? (x, y) : nil
        }
        let points = shares.map { share in share.map { Point(x: pixelX($0.x), y: pixelY($0.y)) } }
        switch series.style {
        case .line: drawLine(index, path(points))
        case .steps:
            var corners: [Point?] = []
            var last: Point?
            for point in points {
                if let last, let point { corners.append(Point(x: point.x, y: last.y)) }
                corners.append(point)
                last = point
            }
            drawLine(index, path(corners))
        case .dots: break
        }
        for (place, value) in series.points.enumerated() {
            guard let share = shares[place], let point = points[place], let y = value.y else { continue }
            let hint =
                "\(series.name): \(Self.valueText(value.x, chart.x)), \(Self.valueText(y, chart.y))"
            if !Self.onAxis.contains(share.y) {
                clipped.append(Clipped(series: index, x: point.x, isAbove: share.y > 1, hint: hint))
            } else if series.style != .steps {
                drawMark(index, x: point.x, y: point.y, hint: series.style == .line ? hint : nil)
            }
        }
    }

    /// The path through the points that are there, cut off at the upper and lower edge.
    private func path(_ points: [Point?]) -> String {
        var path = ""
        var end: Point?
        for (from, to) in zip(points, points.dropFirst()) {
            guard let from, let to, let (start, stop) = visible(from, to) else {
                end = nil
                continue
            }
            if end.map({ $0.x != start.x || $0.y != start.y }) ?? true {
                path += "M\(SVG.number(start.x)) \(SVG.number(start.y))"
            }
            path += "L\(SVG.number(stop.x)) \(SVG.number(stop.y))"
            end = stop
        }
        return path
    }

    /// The part of a straight line between the edges; nil where there is none.
    private func visible(_ a: Point, _ b: Point) -> (Point, Point)? {
        func at(_ y: Double) -> Point { Point(x: a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y), y: y) }
        if max(a.y, b.y) < top || min(a.y, b.y) > bottom { return nil }
        func inside(_ point: Point) -> Point {
            point.y < top ? at(top) : point.y > bottom ? at(bottom) : point
        }
        return (inside(a), inside(b))
    }

    private mutating func drawLine(_ series: Int, _ path: String) {
        guard !path.isEmpty else { return }
        let dash = ChartStyle.isDashed(series) ? " lrt-dash" : ""
        svg.add("path", ["class": "lrt-line\(dash) \(ChartStyle.colour(series))", "d": path])
    }

    private mutating func drawMark(_ series: Int, x: Double, y: Double, hint: String?, isKey: Bool = false) {
        let isDot = chart.series[series].style == .dots
        let style = ChartStyle.isHollow(series) ? "lrt-hollow" : isDot ? "lrt-dot" : "lrt-mark"
        svg.add(
            "path",
            [
                "class": "\(style) \(isKey ? "lrt-key" : "lrt-point") \(ChartStyle.colour(series))",
                "d": ChartStyle.mark(series, x: x, y: y, size: isDot && !isKey ? 3 : 4.5),
            ], hint: hint)
    }

    // MARK: Beyond the axis

    /// The arrows, last so that nothing covers them; those at one place side by side.
    mutating func drawClipped() {
        let places = Dictionary(grouping: clipped.indices) {
            "\(clipped[$0].isAbove) \(Int(clipped[$0].x / 8))"
        }
        for indices in places.values.sorted(by: { $0[0] < $1[0] }) {
            // Dots come by the hundred: of one series, one arrow a place is enough.
            var seen: Set<Int> = []
            let shown = indices.filter { index in
                let series = clipped[index].series
                return chart.series[series].style == .line || seen.insert(series).inserted
            }
            for (place, index) in shown.enumerated() {
                let item = clipped[index]
                let room = min(12, (right - left) / Double(shown.count))
                let offset = (Double(place) - Double(shown.count - 1) / 2) * room
                let half = Double(shown.count - 1) / 2 * room
                let centre = min(max(item.x, left + half + 6), right - half - 6)
                svg.add(
                    "path",
                    [
                        "class": "lrt-clipped lrt-beyond \(ChartStyle.colour(item.series))",
                        "d": ChartStyle.arrow(
                            x: centre + offset, y: item.isAbove ? top + 2 : bottom - 2, up: item.isAbove),
                    ], hint: item.hint)
            }
        }
    }

    private static func valueText(_ value: Double, _ axis: ChartAxis) -> String {
        axis.labels == .tokens
            ? Figures.tokens(value) : Figures.short(value, decimals: abs(value) < 10 ? 4 : 2)
    }
}
