// Blocking work that somebody waits for only so long: a disk that hangs must not hold its caller.
import Dispatch
import RingAttention
import Synchronization

/// Runs work on threads of its own, a few at a time; what is late ends by itself, unheard.
final class BoundedWork: Sendable {
    enum Outcome<Value> {
        case done(Value)
        case late
        /// As many as may be are under way, late ones among them.
        case busy
    }

    private let most: Int
    private let running = Mutex(0)

    init(most: Int) { self.most = most }

    func run<Value: Sendable>(
        _ name: String, within limit: Duration, _ body: @escaping @Sendable () -> Value
    ) -> Outcome<Value> {
        guard
            running.withLock({ running in
                guard running < most else { return false }
                running += 1
                return true
            })
        else { return .busy }
        let result = Result<Value>()
        RingThread.start(name) {
            result.set(body())
            self.running.withLock { $0 -= 1 }
        }
        return result.get(within: limit).map { .done($0) } ?? .late
    }

    private final class Result<Value: Sendable>: Sendable {
        private let value = Mutex<Value?>(nil)
        private let isThere = DispatchSemaphore(value: 0)

        func set(_ new: Value) {
            value.withLock { $0 = new }
            isThere.signal()
        }

        func get(within limit: Duration) -> Value? {
            let nanoseconds = limit / .nanoseconds(1)
            guard isThere.wait(timeout: .now() + .nanoseconds(Int(min(nanoseconds, 1e17)))) == .success
            else { return nil }
            return value.withLock { $0 }
        }
    }
}
