// Heat maps as SVG: how often a hidden number is found, by depth and length. The colours are those of viridis, which
// rise in lightness, so that they read the same to people of any colour vision and in print.
import Foundation

/// Shares from 0 to 1 over depths and lengths.
public struct HeatMap: Sendable, Hashable {
    public var title: String
    /// What a row is, with its unit.
    public var depthTitle: String
    /// What a column is, with its unit.
    public var lengthTitle: String
    /// What the colours show.
    public var valueTitle: String
    /// From the top row down: 0 is the start of the text, 1 its end.
    public let depths: [Double]
    /// From the left column to the right, in tokens.
    public let lengths: [Int]
    /// A row for each depth, with a value for each length; nil and NaN are missing.
    public let values: [[Double?]]

    /// - Precondition: `values` has a row for each depth, and each row a value for each length.
    public init(
        _ title: String, depthTitle: String = "depth of the hidden number, % of the text",
        lengthTitle: String = "length of the prompt, tokens", valueTitle: String = "found",
        depths: [Double], lengths: [Int], values: [[Double?]]
    ) {
        precondition(
            values.count == depths.count && values.allSatisfy { $0.count == lengths.count },
            "a heat map of \(depths.count) depths and \(lengths.count) lengths needs a value for each pair")
        self.title = title
        self.depthTitle = depthTitle
        self.lengthTitle = lengthTitle
        self.valueTitle = valueTitle
        self.depths = depths
        self.lengths = lengths
        self.values = values
    }

    /// The picture: 800 by 480, and larger where that leaves a cell no room for its number.
    public func svg() -> String {
        let labels = depths.map { Figures.short($0 * 100, decimals: 1) + "%" }
        let left = 46 + (labels.map { ChartStyle.width($0) }.max() ?? 0)
        let cellWidth = max(34, (800 - left - 96) / Double(max(1, lengths.count)))
        let right = left + cellWidth * Double(lengths.count)
        let width = right + 96
        // Bold letters of 16 pixels are as wide as others of 18.
        let titles = ChartStyle.lines(title, width: width - 40, size: 18)
        let top = 30 + 20 * Double(titles.count)
        let cellHeight = max(18, (480 - top - 56) / Double(max(1, depths.count)))
        let bottom = top + cellHeight * Double(depths.count)
        let height = bottom + 56

        var svg = SVG(width: width, height: height, title: title)
        svg.add(rectangle: "lrt-back", x: 0, y: 0, width: width, height: height)
        for (row, line) in titles.enumerated() {
            svg.add(text: line, x: 20, y: 30 + 20 * Double(row), style: "lrt-title")
        }
        let size = min(14, cellWidth / 3.2, cellHeight * 0.6)
        for (row, rowValues) in values.enumerated() {
            let y = top + cellHeight * Double(row)
            svg.add(
                text: labels[row], x: left - 8, y: y + cellHeight / 2 + 4, anchor: .end, style: "lrt-text")
            for (column, value) in rowValues.enumerated() {
                let hint = "\(labels[row]), \(Figures.tokens(lengths[column]))"
                draw(
                    value, hint, in: &svg, x: left + cellWidth * Double(column), y: y, width: cellWidth,
                    height: cellHeight, fontSize: size)
            }
        }
        for (column, length) in lengths.enumerated() {
            let x = left + cellWidth * (Double(column) + 0.5)
            svg.add(
                text: Figures.tokens(length), x: x, y: bottom + 18, anchor: .middle,
                style: cellWidth < 44 ? "lrt-small" : "lrt-text")
        }
        svg.add(
            text: ChartStyle.fitted(lengthTitle, width: width - 40), x: (left + right) / 2, y: height - 16,
            anchor: .middle, style: "lrt-faint")
        svg.add(
            text: ChartStyle.fitted(depthTitle, width: height - 40), x: 24, y: (top + bottom) / 2,
            anchor: .middle, style: "lrt-faint", turned: true)
        drawScale(in: &svg, x: right + 22, top: top, bottom: bottom)
        return svg.text
    }

    private func draw(
        _ value: Double?, _ hint: String, in svg: inout SVG, x: Double, y: Double, width: Double,
        height: Double,
        fontSize: Double
    ) {
        let value = value.flatMap { $0.isNaN ? nil : $0 }
        let text = value.map { Figures.fixed($0 * 100, decimals: 0) + "%" } ?? "-"
        let colour = Viridis.colour(value ?? 0)
        // Where a class gives a fill as well, that one counts.
        svg.add(
            "rect",
            [
                "class": value == nil ? "lrt-cell lrt-none" : "lrt-cell", "x": SVG.number(x + 1),
                "y": SVG.number(y + 1), "width": SVG.number(width - 2), "height": SVG.number(height - 2),
                "rx": "2",
                "fill": colour.text,
            ], hint: "\(hint): \(value == nil ? "not measured" : text)")
        svg.add(
            "text",
            [
                "class": value == nil ? "lrt-number lrt-faint" : "lrt-number", "x": SVG.number(x + width / 2),
                "y": SVG.number(y + height / 2 + fontSize * 0.36), "text-anchor": "middle",
                "font-size": SVG.number(fontSize), "fill": colour.isDark ? "#ffffff" : "#000000",
            ], text: text)
    }

    /// The colours from 0 at the bottom to 1 at the top.
    private func drawScale(in svg: inout SVG, x: Double, top: Double, bottom: Double) {
        let steps = 50
        let step = (bottom - top) / Double(steps)
        for index in 0..<steps {
            let share = (Double(index) + 0.5) / Double(steps)
            // A little overlap hides the seams.
            svg.add(
                "rect",
                [
                    "x": SVG.number(x), "y": SVG.number(bottom - step * Double(index + 1)), "width": "14",
                    "height": SVG.number(step + (index == 0 ? 0 : 0.5)), "fill": Viridis.colour(share).text,
                ])
        }
        for share in [0, 0.5, 1.0] {
            let y = bottom - share * (bottom - top)
            svg.add(
                text: Figures.fixed(share * 100, decimals: 0) + "%", x: x + 20,
                y: share == 0 ? y : share == 1 ? y + 9 : y + 4, style: "lrt-small")
        }
        svg.add(
            text: ChartStyle.fitted(valueTitle, width: bottom - top), x: x + 66, y: (top + bottom) / 2,
            anchor: .middle, style: "lrt-faint", turned: true)
    }
}

/// The colour map of that name (Smith and van der Walt, 2015), by nine of its colours.
enum Viridis {
    struct Colour: Equatable {
        let red: Double
        let green: Double
        let blue: Double

        var text: String {
            "#"
                + [red, green, blue].map { part in
                    let digits = String(Int(part.rounded()), radix: 16)
                    return digits.count < 2 ? "0" + digits : digits
                }.joined()
        }

        /// Whether white text reads better on it than black (WCAG's contrast).
        var isDark: Bool {
            func linear(_ part: Double) -> Double {
                part <= 10 ? part / 255 / 12.92 : pow((part / 255 + 0.055) / 1.055, 2.4)
            }
            let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
            return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
        }
    }

    private static let stops = [
        (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128),
        (94, 201, 98),
        (173, 220, 48), (253, 231, 37),
    ].map { Colour(red: Double($0), green: Double($1), blue: Double($2)) }

    /// The colour of a share; those outside 0 to 1 have the colour of the end.
    static func colour(_ share: Double) -> Colour {
        let place = min(max(share, 0), 1) * Double(stops.count - 1)
        let index = min(Int(place), stops.count - 2)
        let (a, b, t) = (stops[index], stops[index + 1], place - Double(index))
        return Colour(
            red: a.red + t * (b.red - a.red), green: a.green + t * (b.green - a.green),
            blue: a.blue + t * (b.blue - a.blue))
    }
}
