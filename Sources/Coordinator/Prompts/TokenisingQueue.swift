// Whose prompt becomes tokens next. A value: who waits and what time it is goes in, who starts comes out.

import Numerals

/// Prompts that wait for one of a few threads.
///
/// The shortest goes first, but every second of waiting counts like some length less, so that a long one is not passed
/// for ever. Long ones never take the last thread: a short one never waits for a long one to end.
package struct TokenisingQueue: Sendable {
    /// A prompt in the queue or at work.
    package struct Ticket: Hashable, Sendable { fileprivate let number: UInt64 }
    package struct Start: Equatable, Sendable {
        package let ticket: Ticket
        /// Which thread it has, from 0.
        package let thread: Int

        package init(ticket: Ticket, thread: Int) {
            self.ticket = ticket
            self.thread = thread
        }
    }

    private enum Work: Sendable { case none, short, long }
    private struct Waiting: Sendable {
        let ticket: Ticket
        let isLong: Bool
        /// When it would be done if it had its thread for itself from the start on, in seconds of `origin`.
        let due: Double
    }

    /// From here on a prompt is long: below it takes a few milliseconds.
    package static let longFrom = 64 << 10
    /// Bytes that count like a second of waiting: about what a thread does in that time.
    private static let bytesPerSecond = 4e6
    private let most: Int
    private let origin: ContinuousClock.Instant
    private var next: UInt64 = 0
    /// The soonest due first.
    private var waiting: [Waiting] = []
    /// What each thread is at.
    private var threads: [Work]

    /// - Parameters:
    ///   - threads: at least 2.
    ///   - most: prompts that may wait.
    package init(threads: Int, most: Int = 4096, at now: ContinuousClock.Instant) {
        self.most = most
        origin = now
        self.threads = Array(repeating: .none, count: max(2, threads))
    }

    package var count: Int { waiting.count }

    /// For a prompt that is about to come.
    package mutating func ticket() -> Ticket {
        next += 1
        return Ticket(number: next)
    }

    /// A prompt of so many bytes comes. It waits for a `start()`.
    package mutating func add(
        _ ticket: Ticket, bytes: Int, at now: ContinuousClock.Instant
    ) throws(CoordinatorError) {
        guard waiting.count < most else {
            throw CoordinatorError(
                .exhausted,
                "\(most.grouped) prompts wait to become tokens, which is the limit; submit again in a moment")
        }
        let entry = Waiting(
            ticket: ticket, isLong: bytes >= Self.longFrom,
            due: (now - origin) / .seconds(1) + Double(bytes) / Self.bytesPerSecond)
        waiting.insert(entry, at: waiting.firstIndex { $0.due > entry.due } ?? waiting.endIndex)
    }

    /// Those that start now.
    package mutating func start() -> [Start] {
        var starts: [Start] = []
        while let thread = threads.firstIndex(of: .none) {
            let longOnesMay = threads.count { $0 == .long } < threads.count - 1
            guard let index = waiting.firstIndex(where: { longOnesMay || !$0.isLong }) else { break }
            let entry = waiting.remove(at: index)
            threads[thread] = entry.isLong ? .long : .short
            starts.append(Start(ticket: entry.ticket, thread: thread))
        }
        return starts
    }

    /// Who waited for these tokens has gone. One that has started stays until its thread has finished.
    package mutating func leave(_ ticket: Ticket) { waiting.removeAll { $0.ticket == ticket } }

    /// A thread has done its work.
    package mutating func finish(thread: Int) { threads[thread] = .none }
}
