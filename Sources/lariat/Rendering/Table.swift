// Columns of text for a terminal. No I/O.

/// Rows under column titles, laid out with two spaces between columns.
package struct Table {
    package enum Alignment { case left, right }

    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []
    private var hasRule: [Int] = []

    package init(_ columns: [(title: String, alignment: Alignment)]) { self.columns = columns }

    package var isEmpty: Bool { rows.isEmpty }

    /// Cells beyond the last column are dropped; missing ones are empty. Control characters become `?`.
    package mutating func add(_ cells: [String]) {
        let missing = max(0, columns.count - cells.count)
        rows.append(
            cells.prefix(columns.count).map(\.printable) + Array(repeating: "", count: missing))
    }

    /// A line between what stands above and what follows.
    package mutating func addRule() { hasRule.append(rows.count) }

    /// One string a line, without line ends and without blanks at the end.
    package func lines() -> [String] {
        let widths = columns.indices.map { column in
            max(columns[column].title.count, rows.map { $0[column].count }.max() ?? 0)
        }
        let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")
        var lines = [line(columns.map(\.title), widths)]
        for (index, row) in rows.enumerated() {
            if hasRule.contains(index) { lines.append(rule) }
            lines.append(line(row, widths))
        }
        return lines
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (column, cell) in cells.enumerated() {
            let blanks = String(repeating: " ", count: widths[column] - cell.count)
            if column > 0 { line += "  " }
            line += columns[column].alignment == .left ? cell + blanks : blanks + cell
        }
        while line.last == " " { line.removeLast() }
        return line
    }
}

/// Names and values, one pair a line, values in one column. No I/O.
package struct FactList {
    private var facts: [(name: String, value: String)] = []

    package init() {}

    /// A fact whose value is empty is left out.
    package mutating func add(_ name: String, _ value: String) {
        if !value.isEmpty { facts.append((name, value.printable)) }
    }

    package func lines() -> [String] {
        let width = facts.map(\.name.count).max() ?? 0
        return facts.map { $0.name + String(repeating: " ", count: width - $0.name.count + 2) + $0.value }
    }
}
