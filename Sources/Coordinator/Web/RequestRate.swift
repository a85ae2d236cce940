// How often one client may ask: a bucket of requests for each, that fills again with time. A value.

/// Limits requests by client. At most `mostClients` are remembered: of more, those that asked longest ago start anew.
package struct RequestRate: Sendable {
    package static let mostClients = 4096

    private struct Bucket: Sendable {
        var level: Double
        var filled: ContinuousClock.Instant
    }
    private let perSecond: Double
    private let burst: Double
    private var buckets: [String: Bucket] = [:]

    /// - Parameters:
    ///   - perSecond: how fast a client's bucket fills.
    ///   - burst: how much it holds.
    package init(perSecond: Double, burst: Double) {
        self.perSecond = perSecond
        self.burst = burst
    }

    /// Takes one request of this client.
    /// - Returns: nil when it may go on; otherwise how long it is to wait.
    package mutating func take(_ client: String, at now: ContinuousClock.Instant) -> Duration? {
        var bucket = buckets[client] ?? Bucket(level: burst, filled: now)
        bucket.level = min(burst, bucket.level + perSecond * ((now - bucket.filled) / .seconds(1)))
        bucket.filled = now
        let allowed = bucket.level >= 1
        if allowed { bucket.level -= 1 }
        buckets[client] = bucket
        if buckets.count > Self.mostClients {
            let oldest = buckets.sorted { $0.value.filled < $1.value.filled }.prefix(Self.mostClients / 4)
            for client in oldest { buckets[client.key] = nil }
        }
        return allowed ? nil : .seconds((1 - bucket.level) / perSecond)
    }
}
