// Work that Ctrl-C ends in order: its task is cancelled, and its end awaited. A second signal ends the process at once.

import Synchronization

enum InterruptibleWork {
    /// - Parameter after: What a person should know when it was interrupted.
    static func run<Value: Sendable>(
        after: String, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let interrupts = Interrupts(secondEnds: true)
        let work = Task { try await body() }
        let watcher = Task {
            guard await interrupts.next() != nil else { return }
            work.cancel()
        }
        defer { watcher.cancel() }
        do { return try await work.value } catch {
            guard work.isCancelled else { throw error }
            throw Failure("interrupted; \(after)", exitCode: ExitStatus.interrupted)
        }
    }
}
