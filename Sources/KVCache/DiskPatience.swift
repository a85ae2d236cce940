// When a disk that is full is tried again.

/// After a full disk: not before something has gone, or a minute has passed.
package struct DiskPatience: Sendable, Equatable {
    static let wait: Duration = .seconds(60)
    private var fullSince: ContinuousClock.Instant?

    package init() {}

    package func mayWrite(at now: ContinuousClock.Instant) -> Bool {
        fullSince.map { now - $0 >= Self.wait } ?? true
    }

    package mutating func failed(_ error: DiskError, at now: ContinuousClock.Instant) {
        if error.isFull { fullSince = now }
    }

    package mutating func roomWasMade() { fullSince = nil }
}
