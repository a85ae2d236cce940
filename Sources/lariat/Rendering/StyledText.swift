// Text with a tone, cut to a width, for terminals with colours and without. No I/O.

/// What a piece of text is, not how it looks. A tone never says anything that the words do not.
package enum Tone: Sendable, Equatable {
    case plain, title, quiet, good, active, warning, bad

    /// The terminal's own colours (ECMA-48 SGR), so that light and dark backgrounds both work.
    fileprivate var code: String {
        switch self {
        case .plain: ""
        case .title: "1"
        case .quiet: "2"
        case .good: "32"
        case .active: "36"
        case .warning: "33"
        case .bad: "31;1"
        }
    }
}

/// One line, or a part of one. Control characters become `?`.
package struct StyledText: Sendable, Equatable, ExpressibleByStringInterpolation {
    package private(set) var pieces: [Piece] = []

    package struct Piece: Sendable, Equatable {
        package var text: String
        package var tone: Tone
    }

    package init(_ text: String = "", _ tone: Tone = .plain) {
        if !text.isEmpty { pieces = [Piece(text: text.printable, tone: tone)] }
    }

    package init(stringLiteral value: String) { self.init(value) }

    /// In characters; each counts as one column.
    package var width: Int { pieces.reduce(0) { $0 + $1.text.count } }

    package static func + (left: StyledText, right: StyledText) -> StyledText {
        var sum = left
        sum.pieces += right.pieces
        return sum
    }

    package static func += (left: inout StyledText, right: StyledText) { left.pieces += right.pieces }

    /// The first `width` characters; where some are lost, the last one says so.
    package func cut(to width: Int) -> StyledText {
        guard self.width > width else { return self }
        var rest = max(0, width - 1)
        var result = StyledText()
        for piece in pieces where rest > 0 {
            let text = String(piece.text.prefix(rest))
            result.pieces.append(Piece(text: text, tone: piece.tone))
            rest -= text.count
        }
        return width > 0 ? result + StyledText("~", .quiet) : result
    }

    /// Filled up with blanks, on the left when `right`.
    package func padded(to width: Int, right: Bool = false) -> StyledText {
        let blanks = StyledText(String(repeating: " ", count: max(0, width - self.width)))
        return right ? blanks + self : self + blanks
    }

    /// With escape sequences for the tones, or without any. No blanks at the end.
    package func text(colours: Bool) -> String {
        var text = ""
        var blanks = ""
        for piece in pieces {
            let body = piece.text.reversed().drop { $0 == " " }.reversed().map(String.init).joined()
            guard !body.isEmpty else {
                blanks += piece.text
                continue
            }
            text += blanks
            blanks = String(repeating: " ", count: piece.text.count - body.count)
            let code = colours ? piece.tone.code : ""
            text += code.isEmpty ? body : "\u{1b}[\(code)m\(body)\u{1b}[0m"
        }
        return text
    }
}

/// Columns that give way, the least important first, when the terminal is narrow.
package struct FittedTable {
    package struct Column {
        var title: String
        var alignsRight = false
        /// Those with the highest number give way first; 0 never does.
        var rank: Int
        /// Takes what the others leave, this much at least, and is cut. At most one column, the last.
        var flexible: Int?
    }

    private let columns: [Column]
    private var rows: [[StyledText]] = []
    private static let gap = 2

    package init(_ columns: [Column]) { self.columns = columns }

    package mutating func add(_ cells: [StyledText]) {
        rows.append(
            Array(cells.prefix(columns.count))
                + Array(repeating: StyledText(), count: max(0, columns.count - cells.count)))
    }

    /// The titles, then a line for each row, none wider than `width`. Columns without content are left out.
    package func lines(width: Int) -> [StyledText] {
        var shown = columns.indices.filter { column in
            columns[column].rank == 0 || rows.contains { $0[column].width > 0 }
        }
        var widths = columns.indices.map { column in
            let content = max(columns[column].title.count, rows.map { $0[column].width }.max() ?? 0)
            return columns[column].flexible.map { min($0, content) } ?? content
        }
        func total() -> Int { shown.reduce(0) { $0 + widths[$1] } + Self.gap * max(0, shown.count - 1) }
        while total() > width, let least = shown.max(by: { columns[$0].rank < columns[$1].rank }),
            columns[least].rank > 0
        {
            shown.removeAll { $0 == least }
        }
        if let last = shown.last, columns[last].flexible != nil { widths[last] += max(0, width - total()) }
        func line(_ cells: [StyledText]) -> StyledText {
            var line = StyledText()
            for (place, column) in shown.enumerated() {
                if place > 0 { line += StyledText(String(repeating: " ", count: Self.gap)) }
                line += cells[column].cut(to: widths[column])
                    .padded(to: widths[column], right: columns[column].alignsRight)
            }
            return line.cut(to: width)
        }
        return [line(columns.map { StyledText($0.title, .quiet) })] + rows.map(line)
    }
}

/// Small pictures of numbers, made of characters.
package enum Gauge {
    /// `[####------]`: `part` (0 to 1) of `width` characters, brackets included; empty below 3.
    package static func bar(_ part: Double, width: Int) -> String {
        guard width >= 3 else { return "" }
        let space = width - 2
        let share = part.isFinite ? min(max(part, 0), 1) : 0
        let full = min(space, Int(share * Double(space)))
        return "[" + String(repeating: "#", count: full) + String(repeating: "-", count: space - full) + "]"
    }

    /// One character a value, the largest one full; a blank where nothing is known.
    package static func sparkline(_ values: [Double?], blocks: Bool) -> String {
        let levels = Array(blocks ? "▁▂▃▄▅▆▇█" : "_.:-=+*#")
        let most = values.compactMap { $0 }.filter(\.isFinite).max() ?? 0
        return String(
            values.map { value -> Character in
                guard let value, value.isFinite else { return " " }
                guard value > 0, most > 0 else { return levels[0] }
                return levels[max(1, min(levels.count - 1, Int((value / most * 7).rounded())))]
            })
    }

    /// `45%`; `-` when it is not known.
    package static func percent(_ part: Double?) -> String {
        guard let part, part.isFinite else { return "-" }
        return "\(Int((min(max(part, 0), 9.99) * 100).rounded(.down)))%"
    }
}
