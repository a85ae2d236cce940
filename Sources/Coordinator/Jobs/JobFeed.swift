// News of a running job for those who follow it. Only the fact that there is news is kept in memory: everybody
// reads the events themselves from the journal, at their own pace.
import Messages
import Synchronization

/// What is new in one job: the number of the last journalled event, and a snapshot for progress.
final class JobFeed: Sendable {
    struct News: Sendable {
        /// The last event in the journal.
        var lastEvent: UInt64
        /// Counts snapshots, so that a follower sees whether it has the newest.
        var version: UInt64 = 0
        var record: JobRecord
        var ended = false
    }
    private struct State: Sendable {
        var news: News
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
    }
    private let state: Mutex<State>

    init(_ record: JobRecord, lastEvent: UInt64) {
        state = Mutex(State(news: News(lastEvent: lastEvent, record: record)))
    }

    var news: News { state.withLock { $0.news } }

    func update(_ change: (inout News) -> Void) {
        let waiting = state.withLock { state in
            change(&state.news)
            state.news.version += 1
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Waits for news beyond this version, the end, or the cancelling of the task.
    func wait(beyond version: UInt64) async -> News {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wait = state.withLock { state in
                    guard state.news.version <= version, !state.news.ended, !Task.isCancelled else {
                        return false
                    }
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
}
