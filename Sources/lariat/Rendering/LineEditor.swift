// One line that is being written, and those that were written before. No I/O.

/// What a person writes at a prompt: a text of one line or, when it was pasted so, of several.
package struct LineEditor: Sendable {
    /// What a key leads to, beside another text or place of the cursor.
    package enum Outcome: Sendable, Equatable {
        case line(String)
        /// Ctrl-C: what was written is given up.
        case interrupted
        /// Ctrl-D in an empty line.
        case end
        case suspended
        case clearScreen
        /// The key could do nothing.
        case refused
    }

    /// By which the cursor moves.
    package private(set) var text: [Character] = []
    /// In front of which of them the cursor stands.
    package private(set) var cursor = 0
    private var killed = ""
    private var history = LineHistory()
    private var bytes = 0

    /// Of UTF-8 in a text.
    package static let longest = 1 << 20

    package init() {}

    package mutating func press(_ key: EditorKey) -> Outcome? {
        switch key {
        case .text(let text): return insert(text)
        case .newLine: return insert("\n")
        case .enter:
            let line = String(text)
            history.add(line)
            replace(with: "")
            return .line(line)
        case .left: return move(to: cursor - 1)
        case .right: return move(to: cursor + 1)
        case .wordLeft: return move(to: wordStart)
        case .wordRight: return move(to: wordEnd)
        case .home: cursor = lineStart
        case .end: cursor = lineEnd
        case .backspace: return remove(cursor - 1..<cursor)
        case .delete: return remove(cursor..<cursor + 1)
        case .killToEnd: return kill(cursor..<max(lineEnd, min(cursor + 1, text.count)))
        case .killToStart: return kill(lineStart..<cursor)
        case .killWord: return kill(wordStart..<cursor)
        case .yank: return killed.isEmpty ? .refused : insert(killed)
        case .up: return recall(history.earlier(than: String(text)))
        case .down: return recall(history.later())
        case .clearScreen: return .clearScreen
        case .interrupt:
            history.leave()
            replace(with: "")
            return .interrupted
        case .endOfInput: return text.isEmpty ? .end : remove(cursor..<cursor + 1)
        case .suspend: return .suspended
        }
        return nil
    }

    // MARK: Changes

    private mutating func insert(_ new: String) -> Outcome? {
        guard bytes + new.utf8.count <= Self.longest else { return .refused }
        bytes += new.utf8.count
        // What is new may continue the character before it, as an accent does.
        let before = cursor > 0 ? String(text[cursor - 1]) : ""
        let joined = Array(before + new)
        text.replaceSubrange(max(0, cursor - 1)..<cursor, with: joined)
        cursor += joined.count - (cursor > 0 ? 1 : 0)
        return nil
    }

    private mutating func remove(_ range: Range<Int>) -> Outcome? {
        guard range.lowerBound >= 0, range.upperBound <= text.count, !range.isEmpty else { return .refused }
        bytes -= String(text[range]).utf8.count
        text.removeSubrange(range)
        cursor = range.lowerBound
        return nil
    }

    private mutating func kill(_ range: Range<Int>) -> Outcome? {
        guard !range.isEmpty, range.upperBound <= text.count else { return .refused }
        killed = String(text[range])
        return remove(range)
    }

    private mutating func move(to place: Int) -> Outcome? {
        guard (0...text.count).contains(place), place != cursor else { return .refused }
        cursor = place
        return nil
    }

    private mutating func recall(_ line: String?) -> Outcome? {
        guard let line else { return .refused }
        replace(with: line)
        return nil
    }

    private mutating func replace(with line: String) {
        text = Array(line)
        cursor = text.count
        bytes = line.utf8.count
    }

    // MARK: Places

    private var lineStart: Int { text[..<cursor].lastIndex(of: "\n").map { $0 + 1 } ?? 0 }
    private var lineEnd: Int { text[cursor...].firstIndex(of: "\n") ?? text.count }

    private var wordStart: Int {
        var place = cursor
        while place > 0, text[place - 1].isWhitespace { place -= 1 }
        while place > 0, !text[place - 1].isWhitespace { place -= 1 }
        return place
    }

    private var wordEnd: Int {
        var place = cursor
        while place < text.count, text[place].isWhitespace { place += 1 }
        while place < text.count, !text[place].isWhitespace { place += 1 }
        return place
    }
}

/// Lines that were written before, and which of them is shown.
private struct LineHistory: Sendable {
    private var lines: [String] = []
    private var bytes = 0
    /// nil: what is being written.
    private var shown: Int?
    /// What was being written before an earlier line was shown.
    private var draft = ""

    private static let most = 500
    private static let mostBytes = 8 << 20

    /// The oldest lines are forgotten for the new one.
    mutating func add(_ line: String) {
        leave()
        guard !line.isEmpty, line != lines.last else { return }
        lines.append(line)
        bytes += line.utf8.count
        while lines.count > Self.most || bytes > Self.mostBytes, let oldest = lines.first {
            bytes -= oldest.utf8.count
            lines.removeFirst()
        }
    }

    mutating func leave() {
        shown = nil
        draft = ""
    }

    mutating func earlier(than current: String) -> String? {
        let next = (shown ?? lines.count) - 1
        guard next >= 0 else { return nil }
        if shown == nil { draft = current }
        shown = next
        return lines[next]
    }

    mutating func later() -> String? {
        guard let now = shown else { return nil }
        guard now + 1 < lines.count else {
            defer { leave() }
            return draft
        }
        shown = now + 1
        return lines[now + 1]
    }
}
