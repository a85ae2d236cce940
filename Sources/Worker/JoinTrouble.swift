// How loud a worker says that it is not in the cluster.
package import Logging

/// Decides which attempts to join are logged, and at which level. Coordinator and workers are often started together, and
/// whoever is first waits for the other: that is no trouble yet.
package struct JoinTrouble {
    /// How long a coordinator may take to listen before anybody is told.
    package static let patience = Duration.seconds(1)

    private let start: ContinuousClock.Instant
    private var said: (message: String, level: Logger.Level)?

    /// - Parameter start: When this worker began to look for the coordinator, or found it last.
    package init(since start: ContinuousClock.Instant) { self.start = start }

    /// The level at which a failure is logged; nil: it was said already.
    package mutating func level(for message: String, at now: ContinuousClock.Instant) -> Logger.Level? {
        let level: Logger.Level = now - start < Self.patience ? .info : .warning
        if let said, said.message == message, said.level >= level { return nil }
        said = (message, level)
        return level
    }
}
