// What a server counts about its callers: calls by outcome, and what it had to refuse.
public import Observability
import HTTP2
import Synchronization

/// Sums since the server's start. Any thread.
public final class RPCStatistics: Sendable {
    /// Why a caller was refused or cut off.
    enum Refusal: String, CaseIterable {
        /// More connections of one address than its share.
        case connections
        /// Had not begun to speak HTTP/2 when others needed the place.
        case silent
        /// More calls at once on a connection than the limit.
        case calls
        /// No TLS, a certificate that is missing, wrong or expired, or no agreement on HTTP/2.
        case tls
        /// Did not begin to speak HTTP/2, or not in time.
        case notHTTP2 = "not_http2"
        /// Broke the protocol or went past a limit of it: floods of resets, pings, settings, headers.
        case protocolViolation = "protocol"
        /// A message longer than the method takes.
        case messageSize = "message_size"
        /// Incomplete messages that hold too much memory.
        case requestMemory = "request_memory"
        /// Took too long over a request.
        case requestTime = "request_time"
        /// Stopped reading.
        case stalled
        /// Did not answer whether it lives.
        case unresponsive
    }
    private struct State: Sendable {
        var refused: [Refusal: UInt64] = [:]
        var calls: [RPCStatus.Code: UInt64] = [:]
    }
    private let state = Mutex(State())

    init() {}

    func count(_ refusal: Refusal) { state.withLock { $0.refused[refusal, default: 0] += 1 } }

    func count(call code: RPCStatus.Code) { state.withLock { $0.calls[code, default: 0] += 1 } }

    /// What an end of a connection with this error is.
    func count(_ error: HTTP2Error) {
        switch error.code {
        case .notHTTP2: count(.notHTTP2)
        case .protocolViolation, .limit: count(.protocolViolation)
        case .noSuchStream, .queueFull, .closed, .misuse, .internalFailure: break
        }
    }

    /// - Parameters:
    ///   - port: tells the servers of one process apart.
    ///   - connections: open now.
    static func families(_ servers: [(port: String, statistics: RPCStatistics, connections: Int)])
        -> [MetricFamily]
    {
        var refused: [Labelled<Double>] = []
        var calls: [Labelled<Double>] = []
        for (port, statistics, _) in servers {
            let state = statistics.state.withLock { $0 }
            refused += Refusal.allCases.map {
                Labelled(Double(state.refused[$0] ?? 0), ["port": port, "reason": $0.rawValue])
            }
            calls += RPCStatus.Code.allCases.compactMap { code in
                guard code == .ok || state.calls[code] != nil else { return nil }
                return Labelled(Double(state.calls[code] ?? 0), ["port": port, "code": code.name])
            }
        }
        return [
            .counter("lariat_rpc_calls_total", "gRPC calls that are over, by status.", calls),
            .counter(
                "lariat_rpc_refused_total", "Callers of gRPC ports that were refused or cut off, by reason.",
                refused),
            .gauge(
                "lariat_rpc_connections", "Open connections of gRPC ports.",
                servers.map { Labelled(Double($0.connections), ["port": $0.port]) }),
        ]
    }
}

extension RPCServer {
    /// What servers of one process have counted, told apart by names for their ports.
    public static func metrics(_ servers: [(port: String, server: RPCServer)]) -> [MetricFamily] {
        let families = RPCStatistics.families(
            servers.map { ($0.port, $0.server.statistics, $0.server.connectionCount) })
        // All ports of a process show the same certificate.
        guard let ends = servers.first?.server.certificateEnds else { return families }
        return families + [
            .gauge(
                "lariat_certificate_expiry_timestamp_seconds",
                "When the certificate that this process shows, and the authority it trusts, end: seconds since 1970.",
                [("own", ends.own), ("authority", ends.authority)].compactMap { name, end in
                    end.map { Labelled($0, ["certificate": name]) }
                })
        ]
    }
}
