// The paths that monitoring systems ask: metrics, and whether the process lives and is ready.
public import Logging

/// Whether a process can do its work.
public enum Health: Sendable, Equatable {
    case ready
    /// Why not, in plain words: shown to whoever asks.
    case notReady(String)
}

public enum MonitoringRoutes {
    /// GET /metrics: Prometheus text. GET /healthz: 200 "ok" while the process lives. GET /readyz: 200 "ready", or
    /// 503 with the reason.
    ///
    /// A closure that takes longer than ten seconds is cancelled, and 503 answered.
    public static func all(
        metrics: @escaping @Sendable () async -> [MetricFamily],
        health: @escaping @Sendable () async -> Health
    ) -> [WebRoute] {
        let noStore = WebField("Cache-Control", "no-store")
        func route(_ path: String, _ answer: @escaping @Sendable () async -> WebResponse) -> WebRoute {
            WebRoute(.get, path, deadline: .seconds(10)) { _ in
                var response = await answer()
                response.headers.append(noStore)
                return response
            }
        }
        return [
            route("/metrics") {
                .text(PrometheusText.render(await metrics()), type: PrometheusText.contentType)
            },
            route("/healthz") { .text("ok\n") },
            route("/readyz") {
                switch await health() {
                case .ready: .text("ready\n")
                case .notReady(let reason): .text(reason + "\n", status: 503)
                }
            },
        ]
    }

    /// Starts a server of these routes alone, in plain HTTP.
    /// - Parameter statistics: of the server's own requests.
    public static func serve(
        at address: WebAddress, limits: WebLimits = WebLimits(),
        statistics: WebStatistics = WebStatistics(), logger: Logger,
        metrics: @escaping @Sendable () async -> [MetricFamily],
        health: @escaping @Sendable () async -> Health
    ) async throws(WebServerError) -> WebServer {
        let server = WebServer(
            address: address, routes: all(metrics: metrics, health: health), limits: limits,
            statistics: statistics, logger: logger)
        let bound = try await server.start()
        logger.info("metrics served", metadata: ["address": "\(bound)"])
        return server
    }
}
