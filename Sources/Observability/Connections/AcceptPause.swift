// When a listening port takes the next connection, after the system could not give it one. A value: no sockets; time is a
// parameter.

import Foundation
package import NIOCore

/// The pauses of one port.
///
/// A process without descriptors (EMFILE, ENFILE) or memory (ENOBUFS, ENOMEM) is told at once that there is a connection,
/// again and again, and can take none: it would use a whole core for that. So it waits, and those who connect wait in the
/// system's queue.
package struct AcceptPause: Sendable, Equatable {
    /// After each failure.
    package static let length = TimeAmount.milliseconds(200)

    private var until: NIODeadline?

    package init() {}

    /// The system gave no connection.
    /// - Parameter code: its errno. ECONNABORTED is no reason to wait: who asked has gone, and the next may be there.
    package mutating func fail(_ code: CInt, at now: NIODeadline) {
        if code != ECONNABORTED { until = now + Self.length }
    }

    /// How long to wait until the next is taken; nil: it may be taken now.
    package func rest(at now: NIODeadline) -> TimeAmount? {
        guard let until, now < until else { return nil }
        return until - now
    }
}
