// How long a client may take over its request. Time is a parameter.

/// The deadlines of a request that is being read. They run only while the server waits for the client.
public struct RequestPace: Sendable, Equatable {
    /// From the head to the first message, between messages, and from the last one to the end.
    public var silence: Duration
    /// From a message's first byte to its last.
    public var message: Duration
    /// From the head to the end of the request.
    public var request: Duration

    public init(silence: Duration, message: Duration, request: Duration) {
        self.silence = silence
        self.message = message
        self.request = request
    }

    /// The longest prompt, 256 MiB, arrives in time at 2.4 Mbit/s.
    public static let ordinary = RequestPace(
        silence: .seconds(60), message: .seconds(60), request: .seconds(900))

    var shortest: Duration { min(silence, message, request) }
}

/// Where a request stands, as far as its deadlines go.
package struct RequestProgress: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package let began: Instant
    /// Since when a message is incomplete; nil: none is.
    package var messageSince: Instant?
    /// Since when the server waits for more; nil: it does not.
    package var waitingSince: Instant?

    package init(began: Instant, messageSince: Instant? = nil, waitingSince: Instant? = nil) {
        self.began = began
        self.messageSince = messageSince
        self.waitingSince = waitingSince
    }

    /// Why the call must end; nil: it may go on.
    package func problem(_ pace: RequestPace, at now: Instant) -> RPCStatus? {
        guard let waitingSince else { return nil }
        func late(_ what: String, _ limit: Duration) -> RPCStatus {
            RPCStatus(.deadlineExceeded, "\(what) within \(limit): the call is ended")
        }
        if now - began > pace.request { return late("the request did not end", pace.request) }
        if let messageSince {
            guard now - max(messageSince, waitingSince) > pace.message else { return nil }
            return late("a message of the request was not complete", pace.message)
        }
        guard now - waitingSince > pace.silence else { return nil }
        return late("the client sent no more of its request", pace.silence)
    }
}
