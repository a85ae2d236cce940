// Line charts: well-formed, complete, nothing outside of the axes, and the labels that people expect.
import Evaluation
import Testing

@Suite("Line charts")
struct LineChartTests {
    static let lengths = [2048.0, 4096, 8192, 16384, 32768, 65536]

    static func line(_ name: String, _ ys: [Double?], _ style: ChartSeries.Style = .line) -> ChartSeries {
        ChartSeries(name, style: style, points: zip(lengths, ys).map { ChartPoint(x: $0, y: $1) })
    }

    static func chart(_ series: [ChartSeries], upper: Double? = nil) -> LineChart {
        LineChart(
            "Perplexity", x: .tokens("length, tokens"), y: ChartAxis("perplexity", upper: upper),
            series: series)
    }

    @Test("A mark for every point, a line for every series, a legend entry for every name")
    func complete() {
        let series = (0..<6).map { k in Self.line("method \(k)", (0..<6).map { Double(10 + k + $0) }) }
        let picture = Picture(Self.chart(series).svg())
        #expect(picture.isWellFormed)
        #expect(picture.all("lrt-point").count == 36)
        #expect(picture.all("lrt-key").count == 6)
        // A line and a sample of it in the legend.
        #expect(picture.all("lrt-line").count == 12)
        #expect(picture.all("lrt-beyond").isEmpty)
        for k in 0..<6 { #expect(picture.texts.contains("method \(k)")) }
        for label in ["2k", "4k", "8k", "16k", "32k", "64k"] { #expect(picture.texts.contains(label)) }
        #expect(!picture.texts.contains("beyond the axis"))
    }

    @Test("Stands alone: size, no scripts, nothing to load, both colour schemes")
    func standsAlone() {
        let svg = Self.chart([Self.line("a", [1, 2, 3])]).svg()
        let root = Picture(svg).elements[0]
        #expect(root.name == "svg" && root.attributes["viewBox"] == "0 0 800 480")
        #expect(svg.contains("@media (prefers-color-scheme:dark)"))
        let outside = svg.replacing("xmlns=\"http://www.w3.org/2000/svg\"", with: "")
        for word in ["script", "href", "http", "url(", "@import", " id=", "nan", "inf"] {
            #expect(!outside.contains(word), "\(word)")
        }
    }

    @Test("Titles, names and axes are escaped")
    func escaping() {
        let name = "a < b && \"c\" > 'd' \u{1}"
        var chart = Self.chart([Self.line(name, [1, 2])])
        chart.title = name
        chart.x.title = name
        chart.y.title = name
        let picture = Picture(chart.svg())
        #expect(picture.isWellFormed)
        let read = "a < b && \"c\" > 'd' \u{FFFD}"
        #expect(picture.texts.filter { $0 == read }.count == 4)
        #expect(picture.elements.first { $0.name == "title" }?.text == read)
        #expect(picture.hints.contains("\(read): 2k, 1"))
    }

    @Test("Missing values break the line and have no mark")
    func missing() throws {
        let picture = Picture(Self.chart([Self.line("a", [10, 11, nil, 12, .nan, 13])]).svg())
        #expect(picture.all("lrt-point").count == 4)
        let path = try #require(picture.all("lrt-line").last?.attributes["d"])
        // Only the first two points are neighbours.
        #expect(strokes(path).map(\.count) == [2])
    }

    @Test("What is beyond the axis gets an arrow at the edge; its line ends there")
    func clipped() throws {
        let series = [
            Self.line("a", [10, 12, 500, 12, 30, .infinity]), Self.line("b", [9, 9, 9, 9, 9, 31]),
        ]
        let picture = Picture(Self.chart(series, upper: 30).svg())
        #expect(picture.isWellFormed)
        let arrows = picture.all("lrt-beyond")
        // 30 itself is on the axis.
        #expect(arrows.count == 3)
        #expect(picture.all("lrt-point").count == 9)
        #expect(picture.hints.contains("a: 8k, 500"))
        #expect(picture.texts.contains("beyond the axis"))
        // Two at one length stand side by side.
        let places = arrows.map { strokes($0.attributes["d"] ?? "")[0][0] }
        #expect(places.allSatisfy { $0.y == places[0].y })
        #expect(Set(places.map(\.x)).count == 3)

        let top = places[0].y - 2
        let path = try #require(picture.all("lrt-line").first { strokes($0.attributes["d"] ?? "").count > 1 })
        let lines = strokes(path.attributes["d"] ?? "")
        // Up to the edge, and down from it: the arrow between.
        #expect(lines.count == 2)
        #expect(abs(lines[0][2].y - top) < 0.02 && abs(lines[1][0].y - top) < 0.02)
        #expect(lines[0][2].x < lines[1][0].x)
        #expect(lines.joined().allSatisfy { $0.y >= top - 0.02 && $0.y <= 480 })
    }

    @Test("Values below the axis get an arrow downwards; 0 is below any logarithm")
    func below() {
        var chart = Self.chart([Self.line("a", [0, 10, 100, 5])])
        chart.y = ChartAxis("perplexity", scale: .log10, lower: 8)
        let picture = Picture(chart.svg())
        #expect(picture.all("lrt-beyond").count == 2)
        #expect(picture.all("lrt-point").count == 2)
    }

    @Test("The course of a search: marks for evaluations, a staircase for the best")
    func search() throws {
        let dots = ChartSeries(
            "8k", style: .dots, points: (0..<100).map { ChartPoint(x: Double($0), y: Double(20 - $0 / 10)) })
        let best = ChartSeries(
            "best so far", style: .steps,
            points: [(0, 20), (30, 15), (99, 14)].map { ChartPoint(x: $0, y: $1) })
        let chart = LineChart(
            "Search", x: ChartAxis("evaluation"), y: ChartAxis("perplexity"), series: [dots, best])
        let picture = Picture(chart.svg())
        #expect(picture.all("lrt-point").count == 100)
        #expect(picture.all("lrt-dot").count == 101)
        let lines = picture.all("lrt-line")
        #expect(lines.count == 2)
        let corners = try #require(strokes(lines[1].attributes["d"] ?? "").first)
        #expect(corners.count == 5)
        for (from, to) in zip(corners, corners.dropFirst()) { #expect(from.x == to.x || from.y == to.y) }
        // Lower values are further down, and each is kept until the next.
        #expect(corners[0].y == corners[1].y && corners[1].x == corners[2].x && corners[2].y > corners[1].y)
    }

    @Test("Equal ratios are equal distances on a logarithmic axis")
    func logarithm() throws {
        var chart = Self.chart([Self.line("a", [10, 20, 40, 80])])
        chart.y.scale = .log2
        let line = try #require(Picture(chart.svg()).all("lrt-line").last)
        let points = try #require(strokes(line.attributes["d"] ?? "").first)
        for (a, (b, c)) in zip(points, zip(points.dropFirst(), points.dropFirst(2))) {
            #expect(abs((a.y - b.y) - (b.y - c.y)) < 0.03)
            #expect(abs((b.x - a.x) - (c.x - b.x)) < 0.03)
        }
    }

    @Test(
        "Labels are round numbers",
        arguments: [
            (ChartAxis("y"), [10.0, 30], ["10", "15", "20", "25", "30"]),
            (ChartAxis("y"), [0, 0.5], ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]),
            (ChartAxis("y", scale: .log10), [9, 60], ["10", "15", "20", "30", "50"]),
            (ChartAxis("y", scale: .log10), [12, 15000], ["100", "1,000", "10,000"]),
            (ChartAxis("y", scale: .log10), [12.4, 12.9], ["12.4", "12.5", "12.6", "12.7"]),
            (.tokens("y"), [65536, 2_097_152], ["64k", "128k", "1M", "2M"]),
        ])
    func labels(axis: ChartAxis, values: [Double], expected: [String]) {
        let points = values.enumerated().map { ChartPoint(x: Double($0), y: $1) }
        let chart = LineChart("t", x: ChartAxis("x"), y: axis, series: [ChartSeries("s", points: points)])
        let texts = Picture(chart.svg()).texts
        for label in expected { #expect(texts.contains(label), "\(label) in \(texts)") }
        #expect(texts.count < 30)
    }

    @Test("Odd values make a picture too")
    func odd() {
        let values: [[Double?]] = [
            [], [nil], [.nan], [.infinity], [-.infinity, 1], [0], [5, 5], [-3, -2], [1e-300, 1e300],
            [-1e308, 1e308],
            [1e-12, 2e-12],
        ]
        for ys in values {
            for scale in [ChartAxis.Scale.linear, .log2, .log10] {
                for (lower, upper) in [(nil, nil), (10, 5), (nil, -1), (4, 4), (.nan, .infinity)]
                    as [(Double?, Double?)]
                {
                    let axis = ChartAxis("y", scale: scale, lower: lower, upper: upper)
                    let chart = LineChart(
                        "", x: .tokens("x"), y: axis,
                        series: [Self.line("a", ys), Self.line("b", ys, .steps), Self.line("c", ys, .dots)])
                    let svg = chart.svg()
                    #expect(Picture(svg).isWellFormed)
                    let paths = Picture(svg).elements.compactMap { $0.attributes["d"] }
                    #expect(!paths.contains { $0.contains("∞") || $0.contains("n") || $0.contains("e") })
                }
            }
        }
    }

    @Test("The text of legends and titles stays on the picture, however long")
    func longTexts() {
        let long = String(repeating: "very long ", count: 40)
        var chart = Self.chart((0..<7).map { Self.line("\($0) \(long)", [1, 2]) })
        chart.title = long
        let picture = Picture(chart.svg())
        for element in picture.elements where element.name == "text" {
            let size = element.has("lrt-title") ? 18.0 : 12
            if element.attributes["x"] != nil, element.attributes["text-anchor"] == "start" {
                #expect(element.number("x") + Double(element.text.count) * size * 0.58 <= 800)
            }
        }
        // Seven rows of legend: the plot is lower but there.
        #expect(picture.all("lrt-point").count == 14)
    }
}
