// How the long-running commands live: until a signal, or until the process that started them is gone.

import Dispatch
import Foundation

/// Runs a server for the life of this process.
enum ServerProcess {
    /// How long an orderly end may take when nobody is left to press Ctrl-C again.
    static let graceSeconds: UInt32 = 15

    /// Runs `serve` until it returns. SIGTERM drains: jobs that run may end, `drainSeconds` at most; then, and at once on
    /// SIGINT, `serve` is cancelled and its orderly end awaited. A second signal ends the process at once.
    /// - Parameter drain: begins to drain; `serve` returns when it has.
    static func run(
        exitWithParent: Bool, drainSeconds: Double, drain: @escaping @Sendable () -> Void,
        _ serve: @escaping @Sendable () async throws -> Void
    ) async throws {
        let interrupts = Interrupts(secondEnds: true)
        if exitWithParent { watchParent() }
        let server = Task { try await serve() }
        let watcher = Task {
            guard let signal = await interrupts.next() else { return }
            // Who is started by a command ends with it.
            if signal == SIGTERM, !exitWithParent, drainSeconds > 0 {
                drain()
                try? await Task.sleep(for: .seconds(drainSeconds))
                guard !Task.isCancelled else { return }
            }
            server.cancel()
        }
        defer { watcher.cancel() }
        do { try await server.value } catch {
            // The end that was asked for is no failure.
            guard server.isCancelled else { throw error }
        }
    }

    /// Standard input is a pipe that the parent holds open and never writes to: its end is the parent's end, however that
    /// came about. Then this process stops in order, and at last without it.
    private static func watchParent() {
        let thread = Thread {
            var byte: UInt8 = 0
            while true {
                let count = read(STDIN_FILENO, &byte, 1)
                if count == 0 || (count < 0 && errno != EINTR) { break }
            }
            kill(getpid(), SIGTERM)
            sleep(graceSeconds)
            _exit(ExitStatus.failure)
        }
        thread.name = "parent watch"
        thread.start()
    }
}
