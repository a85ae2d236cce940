// How a line that is being written lies on a terminal: rows, the cursor's place, what draws them. No I/O.

/// A prompt and a text in rows that fit the terminal.
package struct LineLayout: Sendable, Equatable {
    package private(set) var rows: [String] = [""]
    /// From the first row.
    package private(set) var cursorRow = 0
    package private(set) var cursorColumn = 0

    private static let tab = "    "

    /// - Parameters:
    ///   - prompt: of the first row; further lines are indented by as much.
    ///   - cursor: in front of which character it stands.
    ///   - columns: of the terminal; the last one stays empty, so that it never wraps by itself.
    ///   - most: rows; of more than these, those around the cursor are there.
    package init(prompt: String, text: [Character], cursor: Int, columns: Int, most: Int) {
        let width = max(4, columns - 1)
        let indentation = String(repeating: " ", count: prompt.count)
        rows = [prompt]
        var column = prompt.reduce(0) { $0 + CellWidth.of($1) }
        for (index, character) in text.enumerated() {
            let shown = character == "\t" ? Self.tab : String(character).printable
            let cells = character == "\n" ? 0 : character == "\t" ? Self.tab.count : CellWidth.of(character)
            if column + cells > width {
                rows.append("")
                column = 0
            }
            if index == cursor { (cursorRow, cursorColumn) = (rows.count - 1, column) }
            if character == "\n" {
                rows.append(indentation)
                column = indentation.count
            } else {
                rows[rows.count - 1] += shown
                column += cells
            }
        }
        if cursor >= text.count { (cursorRow, cursorColumn) = (rows.count - 1, column) }
        let most = max(1, most)
        guard rows.count > most else { return }
        let first = min(max(0, cursorRow - most / 2), rows.count - most)
        rows = Array(rows[first..<first + most])
        cursorRow -= first
    }
}

/// Draws layouts one over the other. No I/O.
package struct LineDrawing: Sendable {
    /// The cursor's row in what stands there.
    private var row = 0

    package init() {}

    /// What draws a layout where the one before stands, or else from the cursor's row on.
    package mutating func draw(_ layout: LineLayout) -> String {
        var text = Self.home(from: row) + layout.rows.joined(separator: "\r\n")
        text += Self.up(layout.rows.count - 1 - layout.cursorRow) + "\r"
        if layout.cursorColumn > 0 { text += "\u{1b}[\(layout.cursorColumn)C" }
        row = layout.cursorRow
        return text
    }

    /// What leaves a layout, drawn once more, standing, with the cursor below.
    package mutating func leave(_ layout: LineLayout) -> String {
        let text = Self.home(from: row) + layout.rows.joined(separator: "\r\n") + "\r\n"
        row = 0
        return text
    }

    /// Whatever stood there is gone: the next layout is drawn from the cursor's row on.
    package mutating func forget() { row = 0 }

    /// To the first row's beginning, and everything from there on wiped.
    private static func home(from row: Int) -> String { "\r" + up(row) + "\u{1b}[J" }

    private static func up(_ rows: Int) -> String { rows > 0 ? "\u{1b}[\(rows)A" : "" }
}

/// How many cells of a terminal a character takes. No I/O.
package enum CellWidth {
    /// Wide ones of Unicode's East Asian Width, in order.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf,
        0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6,
        0x20000...0x3fffd,
    ]

    package static func of(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        if first.value < 0x300 { return 1 }
        switch first.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        if first.properties.isEmojiPresentation || character.unicodeScalars.contains("\u{fe0f}") { return 2 }
        return wide.contains { $0.contains(first.value) } ? 2 : 1
    }
}
