// A command such as ssh that is given its input, has a deadline, and whose output is small: run to its end by a thread.

import Foundation
import Synchronization

/// What became of a command.
package struct RemoteResult: Sendable {
    package enum End: Sendable, Equatable {
        case exited(Int32)
        case signalled(Int32)
        /// It was ended because its time was over.
        case timedOut
        /// It was ended because the task was cancelled.
        case cancelled
        /// Why it could not be started.
        case notStarted(String)

        init(_ end: ChildEnd) {
            self =
                switch end {
                case .exited(let code): .exited(code)
                case .signalled(let number): .signalled(number)
                }
        }
    }

    package let end: End
    /// The last 64 KiB of standard output.
    package let output: String
    /// The last 4 KiB of standard error.
    package let errors: String

    /// The last lines of standard error as one, for a message.
    package var lastWords: String {
        let lines = errors.split { $0.isNewline }.map { $0.trimmingCharacters(in: .whitespaces) }
        let last = lines.filter { !$0.isEmpty }.suffix(3).joined(separator: " / ").printable
        return last.count > 400 ? "..." + last.suffix(400) : last
    }
}

package enum RemoteCommand {
    private static let mostOutput = 64 << 10
    private static let mostErrors = 4 << 10
    /// Between SIGTERM and SIGKILL.
    private static let killSeconds = 2.0

    /// Runs a program, found in PATH, in a process group of its own. When the task is cancelled, or the time is over, the
    /// whole group is ended first.
    package static func run(
        _ arguments: [String], input: [UInt8] = [], within limit: Duration
    ) async -> RemoteResult {
        let isCancelled = Flag()
        let deadline = ContinuousClock.now + limit
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let thread = Thread {
                    let run = Run(isCancelled: isCancelled, deadline: deadline)
                    continuation.resume(returning: run.toEnd(arguments, input))
                }
                thread.name = arguments.first
                thread.start()
            }
        } onCancel: {
            isCancelled.value.store(true, ordering: .relaxed)
        }
    }

    /// Other threads start commands meanwhile: from the first moment, no child of theirs may hold an end. (There is no
    /// pipe2 in Swift's Glibc; a socket that goes one way is as good.)
    private static func pipe(_ ends: inout [Int32]) -> Bool {
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0
    }

    private final class Flag: Sendable {
        let value = Atomic(false)
    }

    /// The parent's ends of the three streams; -1: closed.
    private struct Run {
        let isCancelled: Flag
        let deadline: ContinuousClock.Instant
        var output: [UInt8] = []
        var errors: [UInt8] = []

        init(isCancelled: Flag, deadline: ContinuousClock.Instant) {
            self.isCancelled = isCancelled
            self.deadline = deadline
        }

        consuming func toEnd(_ arguments: [String], _ input: [UInt8]) -> RemoteResult {
            // A socket for the input: unlike a pipe, it can be written to without SIGPIPE.
            var (sockets, out, err): ([Int32], [Int32], [Int32]) = ([-1, -1], [-1, -1], [-1, -1])
            defer { for descriptor in sockets + out + err where descriptor >= 0 { close(descriptor) } }
            guard
                RemoteCommand.pipe(&sockets), RemoteCommand.pipe(&out), RemoteCommand.pipe(&err)
            else { return result(.notStarted(String(cString: strerror(errno)))) }
            let pid: pid_t
            switch ProcessSpawn.start(arguments, input: sockets[1], output: out[1], errors: err[1]) {
            case .success(let started): pid = started
            case .failure(let failure): return result(.notStarted(failure.message))
            }
            func shut(_ descriptor: inout Int32) {
                if descriptor >= 0 { close(descriptor) }
                descriptor = -1
            }
            shut(&sockets[1])
            shut(&out[1])
            shut(&err[1])
            for descriptor in [out[0], err[0]] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
            var rest = input[...]
            var forced: RemoteResult.End?
            var killAt = deadline
            while true {
                if rest.isEmpty { shut(&sockets[0]) }
                var polled = [
                    pollfd(fd: sockets[0], events: Int16(POLLOUT), revents: 0),
                    pollfd(fd: out[0], events: Int16(POLLIN), revents: 0),
                    pollfd(fd: err[0], events: Int16(POLLIN), revents: 0),
                ]
                // Now and then the clock, the task and the child are looked at, whatever the streams do.
                _ = poll(&polled, 3, out[0] < 0 && err[0] < 0 ? 20 : 100)
                if polled[0].revents != 0 {
                    let sent = rest.withUnsafeBytes {
                        send(sockets[0], $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                    }
                    if sent > 0 {
                        rest = rest.dropFirst(sent)
                    } else if errno != EAGAIN, errno != EINTR {
                        // Nobody reads any more: the exit code says why.
                        rest = []
                    }
                }
                if polled[1].revents != 0, Self.read(out[0], &output, keep: mostOutput) { shut(&out[0]) }
                if polled[2].revents != 0, Self.read(err[0], &errors, keep: mostErrors) { shut(&err[0]) }

                var status: Int32 = 0
                if waitpid(pid, &status, WNOHANG) == pid {
                    // What it left in the pipes; who else holds their ends is not waited for.
                    if out[0] >= 0 { _ = Self.read(out[0], &output, keep: mostOutput) }
                    if err[0] >= 0 { _ = Self.read(err[0], &errors, keep: mostErrors) }
                    return result(forced ?? .init(ChildEnd(status: status)))
                }
                let now = ContinuousClock.now
                if forced == nil, isCancelled.value.load(ordering: .relaxed) || now >= deadline {
                    forced = isCancelled.value.load(ordering: .relaxed) ? .cancelled : .timedOut
                    kill(-pid, SIGTERM)
                    killAt = now + .seconds(killSeconds)
                } else if forced != nil, now >= killAt {
                    kill(-pid, SIGKILL)
                }
            }
        }

        private func result(_ end: RemoteResult.End) -> RemoteResult {
            RemoteResult(
                end: end, output: String(decoding: output, as: UTF8.self),
                errors: String(decoding: errors, as: UTF8.self))
        }

        /// Reads what is there and keeps the last bytes of all; true at the stream's end.
        private static func read(_ descriptor: Int32, _ bytes: inout [UInt8], keep limit: Int) -> Bool {
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            // A few rounds: a child that never stops writing must not hold the loop.
            for _ in 0..<8 {
                let count = Foundation.read(descriptor, &buffer, buffer.count)
                if count == 0 { return true }
                guard count > 0 else { return errno != EAGAIN && errno != EINTR }
                bytes += buffer[..<count]
                if bytes.count > limit { bytes.removeFirst(bytes.count - limit) }
            }
            return false
        }
    }
}
