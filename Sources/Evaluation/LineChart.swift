// Line charts as SVG: perplexity over length, the course of a search. A file that stands for itself: no scripts, no
// fonts of its own, nothing to load, and colours for light and dark pages.

/// A point of a series. A `y` that is nil or NaN is missing and breaks the line; infinity is beyond any axis.
public struct ChartPoint: Sendable, Hashable {
    public var x: Double
    public var y: Double?

    public init(x: Double, y: Double?) {
        self.x = x
        self.y = y
    }
}

/// Points that belong together.
public struct ChartSeries: Sendable, Hashable {
    public enum Style: Sendable, Hashable {
        /// A line with a mark at every point.
        case line
        /// A line that keeps its value up to the next point: the best so far.
        case steps
        /// Marks only: one evaluation each.
        case dots
    }

    public var name: String
    public var style: Style
    /// Lines join the points in this order.
    public var points: [ChartPoint]

    public init(_ name: String, style: Style = .line, points: [ChartPoint]) {
        self.name = name
        self.style = style
        self.points = points
    }
}

/// Several series over the same axes.
public struct LineChart: Sendable, Hashable {
    public var title: String
    public var x: ChartAxis
    public var y: ChartAxis
    public var series: [ChartSeries]

    public init(_ title: String, x: ChartAxis, y: ChartAxis, series: [ChartSeries]) {
        self.title = title
        self.x = x
        self.y = y
        self.series = series
    }

    /// The picture, 800 by 480.
    ///
    /// Series are drawn in their order, the last on top. A point above or below the y axis leaves an arrow at that
    /// edge; one beside the x axis is left out. Marks and arrows of lines say their values when pointed at.
    public func svg() -> String {
        var drawing = LineDrawing(self)
        drawing.drawFrame()
        for index in series.indices { drawing.draw(index) }
        drawing.drawClipped()
        return drawing.svg.text
    }
}
