// Every limit of a session in one place, and the token bucket that counts what libnghttp2 does not.

/// So many at once, then so many a second. Time is a parameter: nanoseconds from any fixed origin.
public struct RateBudget: Sendable, Equatable {
    public var burst: Double
    public var perSecond: Double
    private var left: Double
    private var updated: UInt64 = 0

    public init(burst: Int, perSecond: Int) {
        self.burst = Double(burst)
        self.perSecond = Double(perSecond)
        left = Double(burst)
    }

    /// Takes one. False: nothing was left.
    public mutating func take(now: UInt64) -> Bool {
        if now > updated {
            left = min(burst, left + Double(now - updated) / 1e9 * perSecond)
            updated = now
        }
        guard left >= 1 else { return false }
        left -= 1
        return true
    }

    /// Gives some back, because something was done that explains them. Never above the burst.
    public mutating func credit(_ count: Int) { left = min(burst, left + Double(count)) }
}

/// Limits of one session. The defaults let every ordinary client pass.
public struct HTTP2Limits: Sendable {
    /// Streams the peer may have open at once.
    public var maxConcurrentStreams: Int32 = 256
    /// Bytes a peer may send ahead on one stream.
    public var streamWindow: Int32 = 8 << 20
    /// Bytes a peer may send ahead on all streams together.
    public var connectionWindow: Int32 = 32 << 20
    /// Largest frame accepted, and largest body frame sent if the peer allows it. Larger frames delay PING.
    public var maxFrameSize: Int32 = 256 << 10
    /// Names, values and 32 bytes for each field (RFC 9113, section 6.5.2).
    public var maxHeaderListSize: Int = 16 << 10
    /// Bytes of one stream's body that may wait in the session.
    public var streamQueue: Int = 32 << 20
    /// Frames that may wait in the library.
    public var maxQueuedFrames: Int = 4096
    public var maxContinuations: Int = 8
    public var maxSettingsEntries: Int = 32
    public var maxOutboundAcknowledgements: Int = 1000
    /// RST_STREAM by the peer ("rapid reset").
    public var streamResets = (burst: 200, perSecond: 20)
    /// RST_STREAM that the peer provoked us to send.
    public var provokedResets = RateBudget(burst: 200, perSecond: 20)
    public var pings = RateBudget(burst: 200, perSecond: 50)
    public var settings = RateBudget(burst: 50, perSecond: 5)
    /// PRIORITY. (Frames of unknown type are skipped by the library and cost nothing.)
    public var priorities = RateBudget(burst: 500, perSecond: 100)
    /// Beyond those that our own body frames explain.
    public var windowUpdates = RateBudget(burst: 4000, perSecond: 1000)
    /// DATA frames that carry nothing and end nothing.
    public var emptyData = RateBudget(burst: 100, perSecond: 20)

    public init() {}
}
