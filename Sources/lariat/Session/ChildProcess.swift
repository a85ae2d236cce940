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
        let result = Self.spawn(executable, [executable] + arguments, input: input.read, output: output.write)
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
                return status & 0x7f == 0 ? ChildEnd.exited(status >> 8 & 0xff) : .signalled(status & 0x7f)
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

    private static func spawn(
        _ executable: String, _ arguments: [String], input: Int32, output: Int32
    ) -> Result<pid_t, Failure> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        // Its own group: Ctrl-C reaches this process alone, which then stops the children in order.
        posix_spawnattr_setpgroup(&attributes, 0)
        // What this process ignores, a child would go on ignoring.
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)

        let environment = ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = environment.map { strdup($0) } + [nil]
        defer { for string in argv + envp { free(string) } }
        var pid: pid_t = 0
        let failed = posix_spawn(&pid, executable, &actions, &attributes, &argv, &envp)
        return failed == 0
            ? .success(pid)
            : .failure(Failure("cannot start \(executable): \(String(cString: strerror(failed)))"))
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
