// Standard output and standard error: whole writes, and what is known of the terminal.

import Dispatch
import Foundation
internal import JSONText

/// The two output streams of this process.
enum Terminal {
    /// Blocking writes to standard output happen here, in order: a reader that is slow must hold no thread of the
    /// cooperative pool.
    private static let output = DispatchQueue(label: "standard output")

    static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
    static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// Whether the terminal knows no control functions.
    static var isDumb: Bool {
        let terminal = ProcessInfo.processInfo.environment["TERM"] ?? ""
        return terminal.isEmpty || terminal == "dumb"
    }

    /// Columns of the terminal on standard error; 80 when it does not say.
    static var width: Int { errorSize.columns }

    /// Of the terminal on standard error; 80 by 24 where it does not say.
    static var errorSize: (columns: Int, rows: Int) {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
        return (
            isKnown && size.ws_col >= 20 ? Int(size.ws_col) : 80,
            isKnown && size.ws_row > 0 ? Int(size.ws_row) : 24
        )
    }

    /// Of the terminal on standard output; where it does not say, what the environment says, or 80 by 24.
    static var size: (columns: Int, rows: Int) {
        var size = winsize()
        if ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 {
            return (Int(size.ws_col), Int(size.ws_row))
        }
        let environment = ProcessInfo.processInfo.environment
        func number(_ name: String, _ normal: Int) -> Int {
            environment[name].flatMap(Int.init).flatMap { (1...10_000).contains($0) ? $0 : nil } ?? normal
        }
        return (number("COLUMNS", 80), number("LINES", 24))
    }

    /// Writes all bytes to standard output. Fails when nobody reads it any more.
    static func write(_ bytes: [UInt8]) async throws {
        let failed: Int32 = await withCheckedContinuation { continuation in
            output.async { continuation.resume(returning: writeAll(STDOUT_FILENO, bytes)) }
        }
        guard failed == 0 else {
            throw Failure("cannot write to standard output: \(String(cString: strerror(failed)))")
        }
    }

    /// Writes lines to standard output.
    static func print(_ lines: [String]) async throws {
        guard !lines.isEmpty else { return }
        try await write(Array((lines.joined(separator: "\n") + "\n").utf8))
    }

    static func print(_ line: String) async throws { try await print([line]) }

    static func print(json: JSONValue) async throws { try await print([json.text]) }

    /// Writes to standard error; a failure has nobody to be told to.
    static func writeError(_ text: String) { _ = writeAll(STDERR_FILENO, Array(text.utf8)) }

    /// A line on standard error that begins with the program's name.
    static func note(_ text: String) { writeError("lariat: \(text)\n") }

    /// The same, dim on a terminal: good to know, and nothing to do about.
    static func aside(_ text: String) {
        writeError(errorIsTerminal ? "\u{1b}[2mlariat: \(text)\u{1b}[0m\n" : "lariat: \(text)\n")
    }

    /// 0, or the error's number.
    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Int32 {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let written = Foundation.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if errno != EINTR {
                    return errno
                }
            }
            return 0
        }
    }
}
