// A child process whose output is read line by line and whose end is noticed; it ends when this process does.

import Foundation
import Synchronization

/// How a process ended.
package enum ChildEnd: Sendable, Equatable {
    case exited(Int32)
    case signalled(Int32)

    var text: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signalled(let number): "signal \(number) (\(String(cString: strsignal(number))))"
        }
    }
}

/// A running child in a process group of its own.
///
/// Its standard input is a pipe that nobody writes to: when this process is gone, even by SIGKILL, the child reads its
/// end (`--exit-with-parent`). Standard output and error go to one pipe, read by a thread that then waits for the end.
package final class ChildProcess: Sendable {
    package let name: String
    let pid: pid_t
    private let lifeline: Int32
    private let isReaped = Mutex(false)

    /// A longer line is passed on in pieces.
    private static let longestLine = 64 << 10

    /// - Parameters:
    ///   - onLine: Called for every line of output, on the child's own thread.
    ///   - onEnd: Called once, after the last line.
    package init(
        name: String, executable: String, arguments: [String],
        onLine: @escaping @Sendable (String) -> Void, onEnd: @escaping @Sendable (ChildEnd) -> Void
    ) throws(Failure) {
        self.name = name
        let input = try Self.pipe()
        let output: (read: Int32, write: Int32)
        do throws(Failure) { output = try Self.pipe() } catch {
            close(input.read)
            close(input.write)
            throw error
        }
        defer {
            close(input.read)
            close(output.write)
        }
        let result = ProcessSpawn.start(
            [executable] + arguments, input: input.read, output: output.write, errors: output.write)
        switch result {
        case .success(let pid): self.pid = pid
        case .failure(let failure):
            close(input.write)
            close(output.read)
            throw failure
        }
        lifeline = input.write
        let pid = self.pid
        let thread = Thread { [self] in
            Self.readLines(output.read, onLine)
            close(output.read)
            // Waiting without reaping first: until the flag is set, the number belongs to this child and no other.
            var info = siginfo_t()
            while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            let end = isReaped.withLock { isReaped in
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                isReaped = true
                return ChildEnd(status: status)
            }
            close(lifeline)
            onEnd(end)
        }
        thread.name = name
        thread.start()
    }

    /// Sends a signal to the child and what it started, unless it is over.
    package func send(_ signal: Int32) {
        isReaped.withLock { isReaped in
            if !isReaped { kill(-pid, signal) }
        }
    }

    private static func pipe() throws(Failure) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Foundation.pipe(&ends) == 0 else {
            throw Failure("cannot make a pipe: \(String(cString: strerror(errno)))")
        }
        // No other child may hold an end: the lifeline would not break. (Children are started one after another.)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func readLines(_ descriptor: Int32, _ onLine: (String) -> Void) {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        var line: [UInt8] = []
        func flush() {
            onLine(String(decoding: line, as: UTF8.self))
            line.removeAll(keepingCapacity: true)
        }
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            for byte in buffer[..<count] {
                if byte == UInt8(ascii: "\n") {
                    flush()
                } else {
                    line.append(byte)
                    if line.count >= longestLine { flush() }
                }
            }
        }
        if !line.isEmpty { flush() }
    }
}
