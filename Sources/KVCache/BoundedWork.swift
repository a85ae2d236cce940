// Blocking work that somebody waits for only so long: a disk that hangs must not hold its caller.
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
        let result = Monitor<Value?>(nil)
        RingThread.start(name) {
            let value = body()
            result.update { $0 = value }
            self.running.withLock { $0 -= 1 }
        }
        return result.wait(until: .now + limit) { $0 }.map { .done($0) } ?? .late
    }
}
