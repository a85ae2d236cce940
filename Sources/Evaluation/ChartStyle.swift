// How pictures look: colours for light and dark pages that people with any colour vision can tell apart, marks that
// differ in shape as well, and how wide a text is likely to be.
import Foundation

enum ChartStyle {
    /// Line colours after Okabe and Ito, with more contrast on white; each with a lighter one for dark pages.
    private static let colours: [(light: String, dark: String)] = [
        ("#0067a8", "#5ab4f0"), ("#c8500a", "#ff9152"), ("#00805a", "#35c99a"), ("#a8528a", "#e79cc9"),
        ("#9a7400", "#e8c13c"), ("#555b66", "#c3c8d1"), ("#5b3fb0", "#ad9bf5"), ("#b01c2e", "#ff7a85"),
    ]

    static let css: String = {
        func theme(_ colours: [String], back: String, ink: String, faint: String, rule: String) -> String {
            let series = colours.enumerated().map { ".lrt-c\($0.offset){color:\($0.element)}" }.joined()
            return
                ".lrt-back{fill:\(back)}.lrt-title,.lrt-text,.lrt-small{fill:\(ink)}.lrt-faint{fill:\(faint)}"
                + ".lrt-axis{stroke:\(faint)}.lrt-rule{stroke:\(rule)}.lrt-mark{stroke:\(back)}"
                + ".lrt-hollow{fill:\(back)}.lrt-none{fill:\(rule)}.lrt-note{color:\(faint)}" + series
        }
        let light = theme(
            colours.map(\.light), back: "#ffffff", ink: "#1b1f24", faint: "#59616b", rule: "#e3e6ea")
        let dark = theme(
            colours.map(\.dark), back: "#14171c", ink: "#eceff3", faint: "#a4acb7", rule: "#2b3038")
        let fonts = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',sans-serif"
        return ".lrt-font{font-family:\(fonts)}"
            + ".lrt-title{font-size:16px;font-weight:600}.lrt-text,.lrt-faint{font-size:12px}"
            + ".lrt-small{font-size:11px}.lrt-axis,.lrt-rule{fill:none;stroke-width:1}"
            + ".lrt-line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
            + ".lrt-dash{stroke-dasharray:6 4}.lrt-mark{fill:currentColor;stroke-width:1}"
            + ".lrt-hollow{stroke:currentColor;stroke-width:1.5}.lrt-dot{fill:currentColor;fill-opacity:.65}"
            + ".lrt-clipped{fill:currentColor}"
            + light + "@media (prefers-color-scheme:dark){\(dark)}"
    }()

    /// The classes of a series: its colour, and what else tells it from others of that colour.
    static func colour(_ series: Int) -> String { "lrt-c\(series % colours.count)" }
    static func isDashed(_ series: Int) -> Bool { series / colours.count % 2 == 1 }

    /// The path of a series' mark around a point.
    static func mark(_ series: Int, x: Double, y: Double, size: Double = 4.5) -> String {
        func polygon(_ corners: [(Double, Double)]) -> String {
            outline(corners.map { (x + $0 * size, y + $1 * size) })
        }
        switch series % 5 {
        case 0:
            let radius = SVG.number(size)
            return
                "M\(SVG.number(x - size)) \(SVG.number(y))a\(radius) \(radius) 0 1 0 \(SVG.number(2 * size)) 0"
                + "a\(radius) \(radius) 0 1 0 \(SVG.number(-2 * size)) 0Z"
        case 1: return polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
        case 2: return polygon([(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)])
        case 3: return polygon([(0, -1.2), (1.15, 0.85), (-1.15, 0.85)])
        default: return polygon([(0, 1.2), (1.15, -0.85), (-1.15, -0.85)])
        }
    }

    /// Whether the marks of a series are outlines, so that eight colours and five shapes make eighty kinds.
    static func isHollow(_ series: Int) -> Bool { series / 5 % 2 == 1 }

    /// An arrow with its point at `y`.
    static func arrow(x: Double, y: Double, up: Bool) -> String {
        let sign = up ? 1.0 : -1.0
        return outline(
            [(0, 0), (5, 7), (1.5, 7), (1.5, 13), (-1.5, 13), (-1.5, 7), (-5, 7)]
                .map { (x + $0, y + sign * $1) })
    }

    /// A closed path of straight lines.
    private static func outline(_ corners: [(x: Double, y: Double)]) -> String {
        "M" + corners.map { "\(SVG.number($0.x)) \(SVG.number($0.y))" }.joined(separator: "L") + "Z"
    }

    /// About how wide a text is: fonts differ, so rather too wide.
    static func width(_ text: String, size: Double = 12) -> Double { Double(text.count) * size * 0.58 }

    /// The text, cut to a width.
    static func fitted(_ text: String, width: Double, size: Double = 12) -> String {
        let most = max(1, Int(width / (size * 0.58)))
        return text.count <= most ? text : text.prefix(most - 1) + "…"
    }

    /// The text on at most two lines.
    static func lines(_ text: String, width: Double, size: Double) -> [String] {
        let words = text.split(whereSeparator: \.isWhitespace)
        var lines: [String] = []
        for word in words {
            if let last = lines.last, lines.count == 2 || Self.width("\(last) \(word)", size: size) <= width {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines.map { fitted($0, width: width, size: size) }
    }
}
