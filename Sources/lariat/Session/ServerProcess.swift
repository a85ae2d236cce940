// How the long-running commands live: until a signal, or until the process that started them is gone.

import Dispatch
import Foundation
import Synchronization

/// Runs a server for the life of this process.
enum ServerProcess {
    /// How long an orderly end may take when nobody is left to press Ctrl-C again.
    static let graceSeconds: UInt32 = 15

    /// Runs `serve` until it returns, and tells the service manager that started this process when it is ready, that it
    /// lives, and that it ends. SIGTERM drains: jobs that run may end, `drainSeconds` at most; then, and at once on
    /// SIGINT, `serve` is cancelled and its orderly end awaited. A second signal ends the process at once.
    /// - Parameters:
    ///   - drain: begins to drain; `serve` returns when it has.
    ///   - serve: calls `ready` when it serves; the second call and those after it do nothing.
    static func run(
        exitWithParent: Bool, drainSeconds: Double, drain: @escaping @Sendable () -> Void,
        _ serve: @escaping @Sendable (_ ready: @escaping @Sendable () -> Void) async throws -> Void
    ) async throws {
        let interrupts = Interrupts(secondEnds: true)
        if exitWithParent { watchParent() }
        let manager = ServiceNotification()
        let isReady = Atomic(false)
        let server = Task {
            try await serve {
                guard !isReady.exchange(true, ordering: .relaxed) else { return }
                tell(manager, .ready)
            }
        }
        // Until the very end: draining is work, too.
        let lives = Task { await manager?.keepAlive() }
        defer { lives.cancel() }
        let watcher = Task {
            guard let signal = await interrupts.next() else { return }
            tell(manager, .stopping)
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

    /// A manager that cannot be told will not wait for ever, but its log should say why.
    private static func tell(_ manager: ServiceNotification?, _ message: ServiceNotification.Message) {
        do throws(ServiceNotification.SendError) { try manager?.send(message) } catch {
            Terminal.note("\(error)")
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
