// One unended job outside of the scheduler: those who follow it, and what is to be done for it, in order.
import Messages

/// What followers of a job are shown. They read the events themselves from the journal, at their own pace.
struct JobNotice: Sendable {
    /// The number of the last event in the journal.
    var lastEvent: UInt64
    var record: JobRecord
    var ended = false
}

/// The effects that wait to be carried out for one job. Whoever causes more of them than there is room for waits.
struct JobDesk {
    private static let limit = 64

    let feed: Feed<JobNotice>
    /// Somebody carries out effects.
    var isBusy = false
    /// Its run, once its workers were reached.
    var driver: RunDriver?
    /// The workers were called, and their calls are not over.
    var isRunning = false
    private var effects: [Scheduler.Effect] = []
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ record: JobRecord, lastEvent: UInt64) {
        feed = Feed(JobNotice(lastEvent: lastEvent, record: record))
    }

    var isFull: Bool { effects.count >= Self.limit }

    mutating func add(_ effect: Scheduler.Effect) { effects.append(effect) }

    /// Resumes when there is room.
    mutating func wait(_ continuation: CheckedContinuation<Void, Never>) {
        if isFull { waiting.append(continuation) } else { continuation.resume() }
    }

    /// All that waits.
    mutating func take() -> [Scheduler.Effect] {
        for continuation in waiting { continuation.resume() }
        waiting = []
        defer { effects = [] }
        return effects
    }
}
