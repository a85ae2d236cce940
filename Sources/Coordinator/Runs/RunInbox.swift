// What arrives for a running job from many sides, in one order for the one task that handles it.
import Synchronization

/// A bounded queue with several producers and one consumer. What must not wait (cancelling, losing a worker, the
/// clock) is posted beside the limit; there is a bounded number of such things.
package final class RunInbox<Element: Sendable>: Sendable {
    private struct State: Sendable {
        var elements: [Element] = []
        var ticked = false
        var closed = false
        var consumer: CheckedContinuation<Void, Never>?
        var producers: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())
    private let limit: Int

    package init(limit: Int = 64) { self.limit = limit }

    /// Adds an element and waits while the queue is full. False when nobody listens any more.
    package func put(_ element: Element) async -> Bool {
        while true {
            let added: Bool? = state.withLock { state in
                if state.closed { return false }
                guard state.elements.count < limit else { return nil }
                state.elements.append(element)
                return true
            }
            if let added {
                wake()
                return added
            }
            await withCheckedContinuation { continuation in
                let full = state.withLock { state in
                    guard !state.closed, state.elements.count >= limit else { return false }
                    state.producers.append(continuation)
                    return true
                }
                if !full { continuation.resume() }
            }
        }
    }

    /// Adds an element without waiting.
    package func post(_ element: Element) {
        state.withLock { if !$0.closed { $0.elements.append(element) } }
        wake()
    }

    /// Lets `take` return, with nothing if there is nothing.
    package func tick() {
        state.withLock { $0.ticked = true }
        wake()
    }

    /// Waits until there is something or a tick; everything that is there.
    package func take() async -> [Element] {
        while true {
            let (taken, waiting): ([Element]?, [CheckedContinuation<Void, Never>]) = state.withLock { state in
                guard !state.elements.isEmpty || state.ticked || state.closed else { return (nil, []) }
                defer {
                    state.elements = []
                    state.ticked = false
                    state.producers = []
                }
                return (state.elements, state.producers)
            }
            for producer in waiting { producer.resume() }
            if let taken { return taken }
            await withCheckedContinuation { continuation in
                let wait = state.withLock { state in
                    guard state.elements.isEmpty, !state.ticked, !state.closed else { return false }
                    state.consumer = continuation
                    return true
                }
                if !wait { continuation.resume() }
            }
        }
    }

    /// Nobody listens any more: producers are let go.
    package func close() {
        let waiting = state.withLock { state in
            state.closed = true
            state.elements = []
            defer { state.producers = [] }
            return state.producers
        }
        for producer in waiting { producer.resume() }
        wake()
    }

    private func wake() {
        let consumer = state.withLock { state in
            defer { state.consumer = nil }
            return state.consumer
        }
        consumer?.resume()
    }
}
