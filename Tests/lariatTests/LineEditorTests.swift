// Writing a line: keys from bytes, what they do to the text, and how it lies on a terminal.

import Testing
import lariat

@Suite struct LineEditorTests {
    /// What keys make of an empty line; the cursor stands at `|`.
    private func typed(_ bytes: String) -> String {
        var editor = LineEditor()
        var reader = EditorKeyReader()
        for key in reader.keys(bytes.utf8) { _ = editor.press(key) }
        return String(editor.text[..<editor.cursor]) + "|" + String(editor.text[editor.cursor...])
    }

    @Test(arguments: [
        ("abc", "abc|"), ("abc\u{1}x", "x|abc"), ("abc\u{1b}[Hx", "x|abc"),
        ("abc\u{1b}[1~\u{1b}[4~x", "abcx|"),
        ("abc\u{1b}[D\u{1b}[Dx", "ax|bc"), ("abc\u{1b}OD\u{1b}OD\u{1b}OCx", "abx|c"),
        ("abc\u{2}\u{2}\u{6}x", "abx|c"),
        ("abc\u{7f}", "ab|"), ("abc\u{8}\u{8}\u{8}\u{8}", "|"), ("abc\u{1}\u{1b}[3~", "|bc"),
        ("abc\u{1}\u{4}", "|bc"),
        ("one two\u{17}", "one |"), ("one two  \u{17}\u{17}", "|"), ("one two\u{1b}b\u{b}", "one |"),
        ("one two\u{1b}[1;5Dx", "one x|two"), ("one two\u{1}\u{1b}[1;5C!", "one!| two"),
        ("one two\u{1}\u{1b}f!", "one!| two"),
        ("one two\u{1b}b\u{15}", "|two"), ("one two\u{17}\u{1}\u{19}", "two|one "), ("a\u{1b}\rb", "a\nb|"),
        ("a\u{1b}\rb\u{1}x\u{5}y", "a\nxby|"), ("a\u{1b}\rb\u{1b}[A", "a\nb|"),
        // Unknown keys, and bytes that are no text, change nothing.
        ("a\u{1b}[15~\u{1b}[99;5u\u{0}\u{1c}b", "ab|"),
        // Letters of several bytes are one step each, an accent that comes later belongs to its letter.
        ("grüß\u{7f}", "grü|"), ("日本\u{2}x", "日x|本"), ("e\u{301}\u{7f}", "|"), ("👩‍👩‍👧\u{7f}", "|"),
    ])
    func keysChangeTheText(bytes: String, text: String) { #expect(typed(bytes) == text) }

    @Test func anAccentThatComesLaterBelongsToItsLetter() {
        var editor = LineEditor()
        _ = editor.press(.text("ae"))
        _ = editor.press(.text("\u{301}"))
        #expect(editor.text.count == 2 && editor.cursor == 2)
    }

    @Test func bytesMayComeInAnyPieces() {
        let bytes = Array("grüße\u{1b}[D\u{1b}[200~eins\r\nzwei\u{1b}[201~\r".utf8)
        var whole = EditorKeyReader()
        let expected = whole.keys(bytes)
        #expect(expected == [.text("grüße"), .left, .text("eins\nzwei"), .enter])
        var reader = EditorKeyReader()
        var text = ""
        var keys: [EditorKey] = []
        for byte in bytes {
            for key in reader.keys([byte]) {
                if case .text(let piece) = key { text += piece } else { keys.append(key) }
            }
        }
        #expect(text == "grüßeeins\nzwei" && keys == [.left, .enter])
    }

    @Test func bytesThatAreNoTextArePassedOver() {
        var reader = EditorKeyReader()
        #expect(reader.keys([0x61, 0xff, 0xc3, 0x62, 0xf0, 0x80, 0x80, 0x80, 0x63]) == [.text("abc")])
    }

    @Test func whatIsPastedIsBoundedAndCleaned() {
        var reader = EditorKeyReader()
        let keys = reader.keys("\u{1b}[200~a\u{1b}[2Jb\u{7}\tc\u{1b}[201~".utf8)
        #expect(keys == [.text("a[2Jb\tc")])
        let most = EditorKeyReader.longestPaste
        let long = reader.keys(
            Array("\u{1b}[200~".utf8) + [UInt8](repeating: 97, count: most + 5000)
                + Array("\u{1b}[201~x".utf8))
        guard case .text(let text)? = long.first else {
            Issue.record("nothing was pasted")
            return
        }
        #expect(text.utf8.count == most && long.dropFirst() == [.text("x")])
    }

    @Test func aLineIsBounded() {
        var editor = LineEditor()
        #expect(editor.press(.text(String(repeating: "a", count: LineEditor.longest))) == nil)
        #expect(editor.press(.text("b")) == .refused)
        #expect(editor.press(.backspace) == nil)
        #expect(editor.press(.text("b")) == nil)
    }

    @Test func earlierLinesComeBackAndTheDraftWithThem() {
        var editor = LineEditor()
        for line in ["one", "two", "two", ""] {
            _ = editor.press(.text(line))
            #expect(editor.press(.enter) == .line(line))
        }
        _ = editor.press(.text("draft"))
        func press(_ keys: EditorKey...) -> String {
            for key in keys { _ = editor.press(key) }
            return String(editor.text)
        }
        #expect(press(.up) == "two")
        #expect(press(.up) == "one")
        #expect(editor.press(.up) == .refused)
        #expect(press(.down, .down) == "draft")
        #expect(editor.press(.down) == .refused)
        #expect(press(.up, .text("!"), .enter) == "")
        #expect(press(.up) == "two!")
        #expect(editor.press(.interrupt) == .interrupted)
        #expect(editor.text.isEmpty && editor.press(.endOfInput) == .end)
    }

    // MARK: On a terminal

    private func layout(_ text: String, cursor: Int? = nil, columns: Int = 11, most: Int = 10) -> LineLayout {
        LineLayout(
            prompt: "> ", text: Array(text), cursor: cursor ?? text.count, columns: columns, most: most)
    }

    @Test func aLongTextIsBrokenIntoRows() {
        #expect(layout("").rows == ["> "])
        #expect(layout("").cursorColumn == 2)
        let broken = layout("abcdefghijkl")
        #expect(broken.rows == ["> abcdefgh", "ijkl"])
        #expect(broken.cursorRow == 1 && broken.cursorColumn == 4)
        let inside = layout("abcdefghijkl", cursor: 8)
        #expect(inside.cursorRow == 1 && inside.cursorColumn == 0)
        #expect(layout("ab\ncd").rows == ["> ab", "  cd"])
        // Wide letters take two cells, and are not cut in two.
        let wide = layout("日本日本日", columns: 10)
        #expect(wide.rows == ["> 日本日", "本日"] && wide.cursorColumn == 4)
        #expect(layout("a\tb").rows == ["> a    b"])
        #expect(layout("e\u{301}x").cursorColumn == 4)
    }

    @Test func ofATextThatIsTooHighThePartAroundTheCursorIsThere() {
        let text = (0..<20).map(String.init).joined(separator: "\n")
        let end = layout(text, most: 4)
        #expect(end.rows == ["  16", "  17", "  18", "  19"] && end.cursorRow == 3)
        let start = layout(text, cursor: 0, most: 4)
        #expect(start.rows == ["> 0", "  1", "  2", "  3"] && start.cursorRow == 0)
    }

    @Test func drawingGoesBackToTheFirstRow() {
        var drawing = LineDrawing()
        #expect(drawing.draw(layout("ab", cursor: 1)) == "\r\u{1b}[J> ab\r\u{1b}[3C")
        #expect(drawing.draw(layout("abcdefghijkl")) == "\r\u{1b}[J> abcdefgh\r\nijkl\r\u{1b}[4C")
        #expect(
            drawing.draw(layout("abcdefghijkl", cursor: 0))
                == "\r\u{1b}[1A\u{1b}[J> abcdefgh\r\nijkl\u{1b}[1A\r\u{1b}[2C")
        #expect(drawing.leave(layout("ab")) == "\r\u{1b}[J> ab\r\n")
    }
}
