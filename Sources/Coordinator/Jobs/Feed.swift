// A value that changes and those who wait for its next change. Only the newest is kept: nobody is told of each.
import Synchronization

/// The newest value of something, with a number that changes with it.
final class Feed<Value: Sendable>: Sendable {
    struct News: Sendable {
        /// Counts changes, so that a follower sees whether it has the newest.
        var version: UInt64 = 0
        var value: Value
    }
    private struct State: Sendable {
        var news: News
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
    }
    private let state: Mutex<State>

    init(_ value: Value) { state = Mutex(State(news: News(value: value))) }

    var news: News { state.withLock { $0.news } }
    var value: Value { news.value }

    func update(_ change: (inout Value) -> Void) {
        let waiting = state.withLock { state in
            change(&state.news.value)
            state.news.version += 1
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits for news beyond this version, or the cancelling of the task.
    func wait(beyond version: UInt64) async -> News {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wait = state.withLock { state in
                    guard state.news.version <= version, !Task.isCancelled else { return false }
                    state.waiting[id] = continuation
                    return true
                }
                if !wait { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        return news
    }

    /// Waits until the value is as wanted, at most so long, or until the task is cancelled.
    func wait(atMost limit: Duration, until holds: @escaping @Sendable (Value) -> Bool) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var news = self.news
                while !holds(news.value), !Task.isCancelled { news = await self.wait(beyond: news.version) }
            }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }
}
