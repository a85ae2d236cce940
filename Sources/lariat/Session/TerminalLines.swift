// Lines from a person at a terminal, who may change them as they are written.

@preconcurrency import Dispatch
import Foundation
import Synchronization

/// The terminal on standard input and standard error, taken for writing lines. Between the lines its keys are not shown,
/// and Ctrl-C is a signal. Any thread may give it back.
final class TerminalLines: Sendable {
    private struct State {
        /// Of the terminal, before; nil: it was given back.
        var settings: termios?
        var isEditing = false
    }
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "terminal lines")

    // What is pasted comes in brackets, so that its line ends are known (xterm's mode 2004).
    private static let bracketsOn = "\u{1b}[?2004h"
    private static let bracketsOff = "\u{1b}[?2004l"
    private static let bell = "\u{7}"

    enum Line {
        case text(String)
        /// It was given up by Ctrl-C.
        case interrupted
        /// Ctrl-D, or the terminal is gone.
        case end
    }

    /// nil where there is no terminal, or one that knows no control functions.
    init?() {
        var settings = termios()
        guard Terminal.inputIsTerminal, Terminal.errorIsTerminal, !Terminal.isDumb,
            tcgetattr(STDIN_FILENO, &settings) == 0
        else { return nil }
        state.withLock { $0.settings = settings }
        pause()
    }

    /// Makes the terminal what it was.
    func giveBack() {
        state.withLock { state in
            guard var settings = state.settings else { return }
            state.settings = nil
            if state.isEditing { Terminal.writeError(Self.bracketsOff) }
            tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
        }
    }

    /// Keys wait unseen; Ctrl-C is a signal.
    private func pause() { set(isEditing: false) }

    private func set(isEditing: Bool) {
        state.withLock { state in
            guard var settings = state.settings else { return }
            settings.c_lflag &= ~tcflag_t(ICANON | ECHO | IEXTEN)
            if isEditing {
                settings.c_lflag &= ~tcflag_t(ISIG)
                settings.c_iflag &= ~tcflag_t(ICRNL | INLCR | IXON)
            }
            tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
            if state.isEditing != isEditing {
                Terminal.writeError(isEditing ? Self.bracketsOn : Self.bracketsOff)
            }
            state.isEditing = isEditing
        }
    }

    /// Lets a person write a line.
    func next(
        prompt: String, _ editor: inout LineEditor, _ reader: inout EditorKeyReader,
        _ waiting: inout [EditorKey]
    )
        async -> Line
    {
        set(isEditing: true)
        defer { pause() }
        var drawing = LineDrawing()
        func layout(_ editor: LineEditor) -> LineLayout {
            let size = Terminal.errorSize
            return LineLayout(
                prompt: prompt, text: editor.text, cursor: editor.cursor, columns: size.columns,
                most: size.rows - 1)
        }
        while true {
            while !waiting.isEmpty {
                let before = editor
                switch editor.press(waiting.removeFirst()) {
                case .line(let line):
                    Terminal.writeError(drawing.leave(layout(before)))
                    return .text(line)
                case .interrupted:
                    Terminal.writeError(drawing.leave(layout(before)))
                    return .interrupted
                case .end:
                    Terminal.writeError(drawing.leave(layout(before)))
                    return .end
                case .suspended:
                    Terminal.writeError(drawing.leave(layout(before)))
                    suspend()
                case .clearScreen:
                    drawing.forget()
                    Terminal.writeError("\u{1b}[H\u{1b}[2J")
                case .refused: Terminal.writeError(Self.bell)
                case nil: break
                }
            }
            Terminal.writeError(drawing.draw(layout(editor)))
            guard let bytes = await read() else {
                Terminal.writeError(drawing.leave(layout(editor)))
                return .end
            }
            waiting = reader.keys(bytes)
        }
    }

    /// Stops the process until its shell lets it go on.
    private func suspend() {
        guard var settings = state.withLock({ $0.settings }) else { return }
        Terminal.writeError(Self.bracketsOff)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
        // To this thread, which then cannot run on until SIGCONT; one to the process may come a moment late.
        raise(SIGSTOP)
        state.withLock { $0.isEditing = false }
        set(isEditing: true)
    }

    /// The next bytes; nil when the terminal is gone. Holds no thread while it waits.
    private func read() async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            let source = DispatchSource.makeReadSource(fileDescriptor: STDIN_FILENO, queue: queue)
            source.setEventHandler {
                source.cancel()
                var bytes = [UInt8](repeating: 0, count: 4096)
                let count = Foundation.read(STDIN_FILENO, &bytes, bytes.count)
                continuation.resume(returning: count > 0 ? Array(bytes.prefix(count)) : nil)
            }
            source.activate()
        }
    }
}

/// Lines of a file or a pipe, as they stand.
actor PlainLines {
    /// Of one line.
    private static let longest = 1 << 20

    private let reading = DispatchQueue(label: "lines")
    private var bytes: [UInt8] = []
    private var hasEnded = false

    /// The next line without its end; nil behind the last one.
    func next() async throws -> String? {
        var looked = 0
        while true {
            if let end = bytes[looked...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { bytes.removeFirst(end + 1) }
                return try text(bytes[..<end])
            }
            looked = bytes.count
            if hasEnded {
                defer { bytes = [] }
                return bytes.isEmpty ? nil : try text(bytes[...])
            }
            guard bytes.count <= Self.longest else {
                throw Failure(
                    "a line of standard input is longer than \(Quantity.count(UInt64(Self.longest))) bytes; ask about a "
                        + "long text as a context (`lariat context add`)",
                    exitCode: ExitStatus.unreadableInput)
            }
            let piece = await read()
            hasEnded = piece.isEmpty
            bytes += piece
        }
    }

    private func text(_ line: ArraySlice<UInt8>) throws -> String {
        let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        guard let text = String(validating: line, as: UTF8.self) else {
            throw Failure(
                "a line of standard input is not UTF-8 text", exitCode: ExitStatus.unreadableInput)
        }
        return text
    }

    /// What is there; nothing at the end. A pipe may keep a reader waiting: not on a thread of the cooperative pool.
    private func read() async -> [UInt8] {
        await withCheckedContinuation { continuation in
            reading.async {
                var bytes = [UInt8](repeating: 0, count: 1 << 16)
                var count = Foundation.read(STDIN_FILENO, &bytes, bytes.count)
                while count < 0, errno == EINTR { count = Foundation.read(STDIN_FILENO, &bytes, bytes.count) }
                continuation.resume(returning: Array(bytes.prefix(max(0, count))))
            }
        }
    }
}
