// How long a worker that took no job gets none: a back-off that grows and is bounded, with the time as an input.

/// What is held against one worker that lives but could not do what it was asked to.
package struct SetAside: Sendable, Equatable {
    package typealias Instant = ContinuousClock.Instant

    package static let shortest: Duration = .seconds(10)
    package static let longest: Duration = .seconds(600)
    /// So long after a worker was let back in, its earlier failures count no more.
    package static let forgiven: Duration = .seconds(1800)

    private var times = 0
    private var until: Instant?
    /// In words, while it is set aside.
    package private(set) var reason = ""

    package init() {}

    /// Another failure: ten seconds the first time, twice as long each time after that.
    package mutating func fail(_ why: String, at now: Instant) {
        if let until, now - until > Self.forgiven { times = 0 }
        let length = min(Self.longest, Self.shortest * (1 << min(times, 10)))
        times += 1
        until = now + length
        reason = "set aside for \(Int(length / .seconds(1))) s: \(why)"
    }

    /// It has done a job.
    package mutating func succeed() { self = SetAside() }

    package func holds(at now: Instant) -> Bool { until.map { now < $0 } ?? false }
}
