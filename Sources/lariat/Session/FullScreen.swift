// The whole terminal for one command: its second screen, no cursor, keys without a line end; and back to what it was.

import Foundation
import Synchronization

/// The terminal on standard output, and on standard input where that is one. Any thread may leave.
package final class FullScreen: Sendable {
    private struct State {
        var isEntered = false
        /// Of standard input, before.
        var settings: termios?
    }
    private let state = Mutex(State())

    // DEC private modes of xterm and all that follow it: the second screen, the cursor, wrapping of long lines.
    private static let begin = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J"
    private static let end = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"

    func enter() {
        state.withLock { state in
            guard !state.isEntered else { return }
            state.isEntered = true
            var settings = termios()
            if Terminal.inputIsTerminal, tcgetattr(STDIN_FILENO, &settings) == 0 {
                state.settings = settings
                // Keys at once and unseen; Ctrl-C and Ctrl-Z stay signals.
                settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
                tcsetattr(STDIN_FILENO, TCSANOW, &settings)
            }
            Self.write(Self.begin)
        }
    }

    /// Does nothing when it was left before.
    func leave() {
        state.withLock { state in
            guard state.isEntered else { return }
            state.isEntered = false
            Self.write(Self.end)
            if var settings = state.settings { tcsetattr(STDIN_FILENO, TCSANOW, &settings) }
            state.settings = nil
        }
    }

    /// What draws a frame over the one before. A line that is too long is cut by the terminal.
    ///
    /// Each line is wiped before it is written: behind a line that fills the terminal the cursor stands on its last
    /// column, and wiping from there on would take that column away.
    package static func frame(_ lines: [String]) -> [UInt8] {
        let drawn = lines.enumerated().map { index, line in
            (index == lines.count - 1 ? "\u{1b}[J" : "\u{1b}[K") + line
        }
        return Array(("\u{1b}[H" + drawn.joined(separator: "\r\n")).utf8)
    }

    /// A terminal that takes nothing is not waited for.
    private static func write(_ text: String) {
        var poll = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
        guard Foundation.poll(&poll, 1, 500) == 1, poll.revents & Int16(POLLOUT) != 0 else { return }
        let bytes = Array(text.utf8)
        _ = Foundation.write(STDOUT_FILENO, bytes, bytes.count)
    }
}
