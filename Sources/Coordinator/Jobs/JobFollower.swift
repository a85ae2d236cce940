// Following a job: first what the journal holds, then what comes, each event once and in order.
package import Messages
import Protobuf

/// Replays and follows one job for one client. Nothing is buffered for a slow client: it reads the journal at its
/// own pace, and only the newest progress is shown to it.
package struct JobFollower {
    package let core: CoordinatorCore
    package let id: String

    /// Every layer of every worker is news, more than anybody can read.
    private static let progressInterval: Duration = .milliseconds(100)

    package init(core: CoordinatorCore, id: String) {
        self.core = core
        self.id = id
    }

    /// Gives every event from a number on to `write`, until the job's end. A cancelled task ends it early.
    package func follow(
        from first: UInt64, write: (JobEvent) async throws -> Void
    ) async throws {
        let feed = await core.feed(id)
        let journal = core.journal
        var next = max(1, first)
        var shown: UInt64 = 0
        var lastProgress = ContinuousClock.now - Self.progressInterval
        while !Task.isCancelled {
            // News first, then the journal: what is in the news is in the journal already.
            let news = feed?.news
            while true {
                let events = try await journal.events(id, from: next)
                if events.isEmpty { break }
                for event in events {
                    try await write(event)
                    next = event.number + 1
                    if event.isEnd { return }
                }
            }
            guard let feed, let news, !news.value.ended else { return try await writeEnd(next, write) }
            let now = ContinuousClock.now
            if news.version > shown, news.value.record.state == .prefill,
                now - lastProgress >= Self.progressInterval
            {
                lastProgress = now
                var record = news.value.record
                record.profile?.factors = []
                try await write(JobEvent(number: next - 1, .progress(record)))
            }
            shown = news.version
            _ = await feed.wait(beyond: shown)
        }
    }

    /// The end of a job whose last event lies before `next`, or could not be journalled.
    private func writeEnd(
        _ next: UInt64, _ write: (JobEvent) async throws -> Void
    ) async throws {
        var record = try await core.job(id)
        record.text = []
        // It may have been written since.
        for event in try await core.journal.events(id, from: next) {
            try await write(event)
            if event.isEnd { return }
        }
        try await write(JobEvent(number: next, .end(record)))
    }
}
