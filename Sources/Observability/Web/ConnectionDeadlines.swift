// How long a connection may stay in each of its states. Time is a parameter.

/// The deadlines of one connection. Each method is an event; `next` is what to wait for then.
///
/// There is always a deadline but while a request is being answered and the client takes what is sent.
package struct ConnectionDeadlines {
    package typealias Instant = ContinuousClock.Instant

    /// What took too long.
    package enum Expiry: Equatable {
        case head, body, idle, write, close
    }

    package struct Deadline: Equatable {
        package let expiry: Expiry
        package let at: Instant
    }

    private let limits: WebLimits
    private var phase: Deadline?
    private var write: Deadline?
    /// Requests whose heads were read and whose responses have not ended. More than one when a client sends
    /// ahead; they are answered one at a time, and what is sent ahead is not hurried.
    private var outstanding = 0
    /// Pieces handed over that the system has not taken.
    private var unsent = 0
    private var readingBody = false
    /// Nothing more will be sent or read.
    package private(set) var isFinishing = false

    package init(_ limits: WebLimits, connected now: Instant) {
        self.limits = limits
        phase = Deadline(expiry: .head, at: now + limits.headTime)
    }

    /// The earliest deadline, if any.
    package var next: Deadline? {
        guard let phase, let write else { return phase ?? write }
        return write.at < phase.at ? write : phase
    }

    /// Requests were sent, in part or in full, that got no response or one before their end.
    package var hasUnansweredRequests: Bool { outstanding > 0 || readingBody }

    /// No request is under way, and the last response has gone.
    package var isQuiet: Bool { isIdle && unsent == 0 }

    /// No request is under way.
    package var isIdle: Bool { outstanding == 0 && !isFinishing }

    package mutating func headRead(_ now: Instant) {
        outstanding += 1
        readingBody = true
        if outstanding == 1 { awaitBody(now) }
    }

    package mutating func requestRead() {
        readingBody = false
        if outstanding == 1, !isFinishing { phase = nil }
    }

    package mutating func responseWritten(_ now: Instant) {
        outstanding = max(0, outstanding - 1)
        guard !isFinishing else { return }
        if outstanding == 0 {
            phase = Deadline(expiry: .idle, at: now + limits.idleTime)
        } else if outstanding == 1, readingBody {
            awaitBody(now)
        } else {
            phase = nil
        }
    }

    /// Something was handed over to be sent.
    package mutating func writing(_ now: Instant) {
        unsent += 1
        if unsent == 1 { write = Deadline(expiry: .write, at: now + limits.writeTime) }
    }

    /// The system took what was handed over first.
    package mutating func written(_ now: Instant) {
        unsent = max(0, unsent - 1)
        write = unsent == 0 ? nil : Deadline(expiry: .write, at: now + limits.writeTime)
    }

    /// The last response was handed over, perhaps not yet sent.
    package mutating func finish(_ now: Instant) {
        isFinishing = true
        phase = Deadline(expiry: .write, at: now + limits.writeTime)
    }

    /// All was sent; the client is to close its side.
    package mutating func finished(_ now: Instant) {
        phase = Deadline(expiry: .close, at: now + limits.closeTime)
    }

    private mutating func awaitBody(_ now: Instant) {
        phase = Deadline(expiry: .body, at: now + limits.bodyTime)
    }
}
