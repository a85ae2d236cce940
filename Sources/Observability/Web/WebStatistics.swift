// What a server counts.

import Synchronization

/// Requests answered and refused. Made before the server, so that the server's own routes can show it.
public final class WebStatistics: Sendable {
    /// Why something was refused or cut off.
    enum Refusal: String, CaseIterable {
        case headTime = "head_time"
        case headSize = "head_size"
        case malformed
        case bodyTime = "body_time"
        case bodySize = "body_size"
        case bodyMemory = "body_memory"
        case writeTime = "write_time"
        /// More connections of one address than its share.
        case connections
        /// Had asked for nothing when others needed the place.
        case silent
        case deadline
        case tls
    }

    private struct State {
        var requests = CounterVector()
        var durations = HistogramVector(like: .seconds)
        var refused = CounterVector()
        var connections = 0
        var maximumConnections = 0
        var bodyBytes = 0
    }

    private let state = Mutex(State())

    public init() {
        // A reason that never came up reads 0, so that its first time is seen as a rise.
        state.withLock { state in
            for reason in Refusal.allCases { state.refused.add(0, ["reason": reason.rawValue]) }
        }
    }

    /// Labels are routes' patterns, status codes and fixed words only, never text from a client.
    public func families() -> [MetricFamily] {
        let state = state.withLock { $0 }
        return [
            state.requests.family(
                "lariat_http_requests_total",
                "HTTP requests by route and status code; 499 when the client left before the end of the response."
            ),
            state.durations.family(
                "lariat_http_request_duration_seconds",
                "Time from a request's head to the end of its response."),
            state.refused.family(
                "lariat_http_refused_total", "HTTP requests and connections refused or cut off, by reason."),
            .gauge("lariat_http_connections", "Open HTTP connections.", Double(state.connections)),
            .gauge(
                "lariat_http_connections_limit", "HTTP connections that may be open at once.",
                Double(state.maximumConnections)),
            .gauge(
                "lariat_http_body_bytes", "Memory held by bodies of HTTP requests.", Double(state.bodyBytes)),
        ]
    }

    /// `route`: a pattern; nil when none fits.
    func answered(route: String?, status: Int, after duration: Duration) {
        let route = route ?? "none"
        state.withLock {
            $0.requests.add(1, ["route": route, "code": String(status)])
            $0.durations.observe(duration, ["route": route])
        }
    }

    func refused(_ reason: Refusal) {
        state.withLock { $0.refused.add(1, ["reason": reason.rawValue]) }
    }

    func connections(open: Int, maximum: Int) {
        state.withLock {
            $0.connections = open
            $0.maximumConnections = maximum
        }
    }

    /// Counts bytes in if `limit` bears them; false when it does not.
    func reserveBody(_ bytes: Int, limit: Int) -> Bool {
        state.withLock {
            guard bytes <= limit - $0.bodyBytes else { return false }
            $0.bodyBytes += bytes
            return true
        }
    }

    func releaseBody(_ bytes: Int) {
        state.withLock { $0.bodyBytes -= bytes }
    }
}
