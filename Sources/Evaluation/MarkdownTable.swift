// Tables of a report in Markdown, readable as plain text too.

/// Rows under column titles, as a pipe table whose columns line up.
public struct MarkdownTable: Sendable {
    public enum Alignment: Sendable, Hashable { case left, right }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    /// Columns from left to right; numbers read best on the right.
    public init(_ columns: [(title: String, alignment: Alignment)]) {
        self.columns = columns.map { (Self.escaped($0.title), $0.alignment) }
    }

    /// Cells beyond the last column are dropped; missing ones are empty. Pipes, backslashes and line ends are
    /// written so that they stay inside the cell; other Markdown in a cell works.
    public mutating func add(_ cells: [String]) {
        let missing = max(0, columns.count - cells.count)
        rows.append(cells.prefix(columns.count).map(Self.escaped) + Array(repeating: "", count: missing))
    }

    /// The table, with a line end after each line; empty when there is no column.
    public var text: String {
        guard !columns.isEmpty else { return "" }
        // Three characters are the shortest rule that every reader takes.
        let widths = columns.indices.map { column in
            max(3, columns[column].title.count, rows.map { $0[column].count }.max() ?? 0)
        }
        var text = line(columns.map(\.title), widths)
        let rules = zip(columns, widths).map { column, width in
            column.alignment == .left
                ? String(repeating: "-", count: width) : String(repeating: "-", count: width - 1) + ":"
        }
        text += line(rules, widths)
        for row in rows { text += line(row, widths) }
        return text
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = "|"
        for (column, cell) in cells.enumerated() {
            let blanks = String(repeating: " ", count: widths[column] - cell.count)
            line += columns[column].alignment == .left ? " \(cell)\(blanks) |" : " \(blanks)\(cell) |"
        }
        return line + "\n"
    }

    private static func escaped(_ cell: String) -> String {
        var text = ""
        for scalar in cell.unicodeScalars {
            switch scalar {
            case "|", "\\": text += "\\" + String(scalar)
            case _ where scalar.properties.generalCategory == .control || scalar.properties.isWhitespace:
                // One blank for any run, as readers show it anyway.
                if text.last != " " { text += " " }
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
