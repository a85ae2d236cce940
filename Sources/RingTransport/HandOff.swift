// A bounded queue between the asynchronous network side and a plain thread that computes.
import RingAttention

/// Elements in order from one side to the other. Either side may be a task (it suspends) or a thread (it blocks); a
/// producer waits while the queue is full, a consumer while it is empty. Closing it, with or without a reason,
/// wakes everybody: elements already in the queue are still taken, then `nil` or the reason comes.
///
/// One producer and one consumer at a time.
package final class HandOff<Element: Sendable, Failure: Error>: Sendable {
    private struct State: Sendable {
        var elements: [Element] = []
        var closed = false
        var failure: Failure?
        var waitingProducer: CheckedContinuation<Void, Never>?
        var waitingConsumer: CheckedContinuation<Void, Never>?
    }

    private enum Taken: Sendable {
        case element(Element)
        case ended(Failure?)
    }

    private let state = Monitor(State())
    private let capacity: Int

    package init(capacity: Int) {
        self.capacity = capacity
    }

    /// Ends the queue: normally, or with a reason. Only the first call counts.
    package func close(_ failure: Failure? = nil) {
        state.update { state in
            guard !state.closed else { return }
            state.closed = true
            state.failure = failure
        }
        resumeTasks()
    }

    // MARK: tasks

    /// Waits for room and adds an element; false when the queue is closed. A cancelled task closes it.
    package func put(_ element: Element) async -> Bool {
        while true {
            if let added = state.update({ self.tryPut(element, &$0) }) {
                resumeTasks()
                return added
            }
            await suspend { continuation, state in
                if state.closed || state.elements.count < self.capacity { return false }
                state.waitingProducer = continuation
                return true
            }
        }
    }

    /// Waits for an element; nil after the end. A cancelled task closes the queue.
    package func take() async throws(Failure) -> Element? {
        while true {
            if let taken = state.update({ self.tryTake(&$0) }) { return try value(of: taken) }
            await suspend { continuation, state in
                if state.closed || !state.elements.isEmpty { return false }
                state.waitingConsumer = continuation
                return true
            }
        }
    }

    // MARK: threads

    /// Blocks until there is room; false when the queue is closed, nil when the deadline has passed.
    package func putBlocking(_ element: Element, deadline: ContinuousClock.Instant) -> Bool? {
        let added = state.wait(until: deadline) { self.tryPut(element, &$0) }
        resumeTasks()
        return added
    }

    /// What a blocking `take` came to.
    package enum Arrival {
        case element(Element)
        case end
        case timeout
    }

    /// Blocks until there is an element or the end.
    package func takeBlocking(deadline: ContinuousClock.Instant) throws(Failure) -> Arrival {
        guard let taken = state.wait(until: deadline, for: { self.tryTake(&$0) }) else { return .timeout }
        guard let element = try value(of: taken) else { return .end }
        return .element(element)
    }

    // MARK: state

    private func tryPut(_ element: Element, _ state: inout State) -> Bool? {
        if state.closed { return false }
        guard state.elements.count < capacity else { return nil }
        state.elements.append(element)
        return true
    }

    private func tryTake(_ state: inout State) -> Taken? {
        if !state.elements.isEmpty { return .element(state.elements.removeFirst()) }
        return state.closed ? .ended(state.failure) : nil
    }

    private func value(of taken: Taken) throws(Failure) -> Element? {
        resumeTasks()
        switch taken {
        case .element(let element): return element
        case .ended(let failure?): throw failure
        case .ended(nil): return nil
        }
    }

    /// Suspends this task until `store` has been resumed; at once when `store` finds that nothing need be awaited.
    private func suspend(
        _ store: @Sendable (CheckedContinuation<Void, Never>, inout State) -> Bool
    ) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let stored = state.update { store(continuation, &$0) }
                if !stored { continuation.resume() }
            }
        } onCancel: {
            close()
        }
    }

    /// Resumes the tasks that may go on now.
    private func resumeTasks() {
        let ready = state.update { state in
            var ready: [CheckedContinuation<Void, Never>] = []
            if state.closed || state.elements.count < capacity, let producer = state.waitingProducer {
                ready.append(producer)
                state.waitingProducer = nil
            }
            if state.closed || !state.elements.isEmpty, let consumer = state.waitingConsumer {
                ready.append(consumer)
                state.waitingConsumer = nil
            }
            return ready
        }
        ready.forEach { $0.resume() }
    }
}
