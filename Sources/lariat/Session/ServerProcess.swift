// How the long-running commands live: until a signal, or until the process that started them is gone.

import Dispatch
import Foundation

/// Runs a server for the life of this process.
enum ServerProcess {
    /// How long an orderly end may take when nobody is left to press Ctrl-C again.
    static let graceSeconds: UInt32 = 15

    /// Runs `serve` until it returns, or cancels it on SIGINT or SIGTERM and waits for its orderly end; a second signal
    /// ends the process at once.
    static func run(exitWithParent: Bool, _ serve: @escaping @Sendable () async throws -> Void) async throws {
        let interrupts = Interrupts(secondEnds: true)
        if exitWithParent { watchParent() }
        let server = Task { try await serve() }
        let watcher = Task {
            if await interrupts.next() != nil { server.cancel() }
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
