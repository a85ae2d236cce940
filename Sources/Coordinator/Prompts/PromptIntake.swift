// The way of every prompt into the coordinator, by gRPC or HTTP: held within a budget, made tokens on threads of its own.
import Dispatch
import RingAttention
import Synchronization

/// Holds prompts and runs what takes time in proportion to their length. One for a coordinator.
package final class PromptIntake: Sendable {
    private struct State: Sendable {
        var budget: PromptBudget
        var queue: TokenisingQueue
        var waiters: [TokenisingQueue.Ticket: CheckedContinuation<Int, any Error>] = [:]
    }

    /// Longest wait for a thread.
    private static let patience: Duration = .seconds(300)
    private let state: Mutex<State>
    /// One for each thread. Serial queues: Dispatch gives them threads beyond those of the pool that serves the
    /// network, which a concurrent queue would take away.
    private let threads: [DispatchQueue]

    /// - Parameters:
    ///   - longest: bytes of the longest prompt.
    ///   - threads: prompts that become tokens at once, at least 2.
    package init(longest: Int, threads: Int) {
        let count = max(2, threads)
        state = Mutex(
            State(budget: PromptBudget(longest: longest), queue: TokenisingQueue(threads: count, at: .now)))
        self.threads = (0..<count).map { DispatchQueue(label: "lariat.tokenise.\($0)") }
    }

    // MARK: the budget

    /// What one request holds.
    package final class Hold: Sendable {
        private let intake: PromptIntake
        private let caller: String
        private let purpose: PromptBudget.Purpose
        private let bytes = Mutex(0)

        fileprivate init(_ intake: PromptIntake, _ caller: String, _ purpose: PromptBudget.Purpose) {
            self.intake = intake
            self.caller = caller
            self.purpose = purpose
        }

        package func add(bytes more: Int) throws(CoordinatorError) {
            try intake.state.withLock { state throws(CoordinatorError) in
                try state.budget.hold(more, for: caller, purpose)
            }
            bytes.withLock { $0 += more }
        }

        fileprivate func release() {
            let held = bytes.withLock { held in
                defer { held = 0 }
                return held
            }
            intake.state.withLock { $0.budget.release(held, of: caller, purpose) }
        }
    }

    /// Gives back what `body` holds when it ends, however it ends.
    package func holding<T: Sendable>(
        for caller: String, _ purpose: PromptBudget.Purpose, _ body: (Hold) async throws -> T
    ) async throws -> T {
        let hold = Hold(self, caller, purpose)
        defer { hold.release() }
        return try await body(hold)
    }

    /// Bytes that the prompt of somebody alone may have.
    package func longest(_ purpose: PromptBudget.Purpose) -> Int {
        state.withLock { $0.budget.longest(purpose) }
    }

    /// Bytes that are held now.
    package var bytesHeld: Int { state.withLock { $0.budget.held } }

    // MARK: the threads

    /// Runs `work` on a thread when its turn comes. It should look at `isAbandoned` now and then.
    /// - Parameter bytes: in proportion to the time it takes.
    /// - Throws: `CancellationError` when the task is cancelled, waiting or at work.
    package func run<T: Sendable>(
        bytes: Int, _ work: @escaping @Sendable (_ isAbandoned: @escaping @Sendable () -> Bool) throws -> T
    ) async throws -> T {
        let thread = try await turn(bytes: bytes)
        defer { finish(thread) }
        let abandoned = Flag()
        let queue = threads[thread]
        let result = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                queue.async { continuation.resume(with: Result { try work { abandoned.isSet } }) }
            }
        } onCancel: {
            abandoned.set()
        }
        // What was abandoned has no meaning.
        try Task.checkCancellation()
        return result
    }

    /// Reads a prompt and makes it tokens, for a coordinator as it is now; counts submissions that are refused.
    package func tokens<T: Sendable>(
        for core: CoordinatorCore, _ purpose: PromptBudget.Purpose, bytes: Int,
        _ read: @escaping @Sendable (PromptEncoder, _ isAbandoned: @escaping @Sendable () -> Bool) throws -> T
    ) async throws -> T {
        let encoder = await core.encoder
        do {
            return try await run(bytes: bytes) { isAbandoned in try read(encoder, isAbandoned) }
        } catch let error as CoordinatorError {
            if purpose == .submission { await core.count(refused: error) }
            throw error
        }
    }

    /// Waits for a thread.
    private func turn(bytes: Int) async throws -> Int {
        let ticket = state.withLock { $0.queue.ticket() }
        let alarm = Task {
            try await Task.sleep(for: Self.patience)
            leave(
                ticket,
                CoordinatorError(
                    .unavailable,
                    "the prompt waited \(Self.patience.components.seconds) s for others to become tokens; submit "
                        + "again later"))
        }
        defer { alarm.cancel() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let problem = state.withLock { state -> (any Error)? in
                    if Task.isCancelled { return CancellationError() }
                    do throws(CoordinatorError) {
                        try state.queue.add(ticket, bytes: bytes, at: .now)
                    } catch { return error }
                    state.waiters[ticket] = continuation
                    return nil
                }
                if let problem { continuation.resume(throwing: problem) } else { startSome() }
            }
        } onCancel: {
            leave(ticket, CancellationError())
        }
    }

    private func leave(_ ticket: TokenisingQueue.Ticket, _ why: any Error) {
        let waiter = state.withLock { state in
            // Who has not come to wait yet sees for itself that its task is cancelled.
            guard let waiter = state.waiters.removeValue(forKey: ticket) else {
                return CheckedContinuation<Int, any Error>?.none
            }
            state.queue.leave(ticket)
            return waiter
        }
        waiter?.resume(throwing: why)
    }

    private func finish(_ thread: Int) {
        state.withLock { $0.queue.finish(thread: thread) }
        startSome()
    }

    private func startSome() {
        let starting = state.withLock { state in
            state.queue.start().map { ($0.thread, state.waiters.removeValue(forKey: $0.ticket)) }
        }
        for (thread, waiter) in starting {
            if let waiter { waiter.resume(returning: thread) } else { finish(thread) }
        }
    }
}
