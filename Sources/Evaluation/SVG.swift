// The few elements of SVG that the pictures are made of. What goes in as text or attribute comes out escaped.

/// A picture under construction.
struct SVG {
    private var body: [String] = []
    private let width: Double
    private let height: Double
    private let title: String

    /// `title` is read out by screen readers and shown as a hint.
    init(width: Double, height: Double, title: String) {
        self.width = width
        self.height = height
        self.title = title
    }

    typealias Attributes = KeyValuePairs<String, String>

    /// An element; `hint` is what a reader sees who points at it.
    mutating func add(_ name: String, _ attributes: Attributes, text: String? = nil, hint: String? = nil) {
        let inside =
            (text.map(Self.escaped) ?? "") + (hint.map { "<title>\(Self.escaped($0))</title>" } ?? "")
        let start = "<\(name)" + attributes.map { " \($0)=\"\(Self.escaped($1))\"" }.joined()
        body.append(inside.isEmpty ? start + "/>" : "\(start)>\(inside)</\(name)>")
    }

    /// Text with its base line at `y`.
    mutating func add(
        text: String, x: Double, y: Double, anchor: Anchor = .start, style: String, turned: Bool = false
    ) {
        let (x, y) = (Self.number(x), Self.number(y))
        if turned {
            add(
                "text",
                [
                    "class": style, "text-anchor": anchor.rawValue,
                    "transform": "translate(\(x) \(y)) rotate(-90)",
                ], text: text)
        } else {
            add("text", ["class": style, "text-anchor": anchor.rawValue, "x": x, "y": y], text: text)
        }
    }

    mutating func add(rectangle style: String, x: Double, y: Double, width: Double, height: Double) {
        add(
            "rect",
            [
                "class": style, "x": Self.number(x), "y": Self.number(y), "width": Self.number(width),
                "height": Self.number(height),
            ])
    }

    enum Anchor: String {
        case start, middle, end
    }

    /// The whole file.
    var text: String {
        let (width, height) = (Self.number(width), Self.number(height))
        let start =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" width=\"\(width)\" "
            + "height=\"\(height)\" role=\"img\" class=\"lrt-font\">"
        let head = [start, "<title>\(Self.escaped(title))</title>", "<style>\(ChartStyle.css)</style>"]
        return (head + body + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    /// A coordinate: hundredths of a pixel are enough.
    static func number(_ value: Double) -> String { Figures.short(value, decimals: 2) }

    /// Text that stands for itself between tags and in attributes. Characters that XML does not allow become U+FFFD.
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\t", "\n", "\r": escaped += " "
            case "\0"..<" ", "\u{FFFE}", "\u{FFFF}": escaped += "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
