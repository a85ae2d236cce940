// The coordinator's web port: the page, what it asks, and the OpenAI-compatible API.
import Cluster
import CoordinatorPage
import Foundation
import Logging
import Observability
import OpenAI
import RPC

/// Starts a server with all routes.
struct WebFront: Sendable {
    let core: CoordinatorCore
    let intake: PromptIntake
    let access: Access
    let logger: Logger

    /// - Parameters:
    ///   - tls: the certificate shown to browsers; clients show none.
    ///   - modelPath: of the model file, whose name is the model's in the API.
    func start(
        at address: RPCAddress, tls: TLSFiles?, modelPath: String, limits: WebLimits,
        statistics: WebStatistics
    ) async throws(CoordinatorError) -> WebServer {
        let isLoopback = HostPort(host: address.host, port: address.port).isLoopback
        let entrance = Guard(access: access, isLoopback: isLoopback)
        let model = ServedModel(
            id: URL(filePath: modelPath).deletingPathExtension().lastPathComponent,
            created: Int64(wallMicroseconds() / 1_000_000), window: core.model.window)
        let server = WebServer(
            address: WebAddress(host: address.host, port: address.port),
            tls: tls.map { WebTLS(certificate: $0.certificate, key: $0.key) },
            routes: Self.page + OperatorAPI(core: core, entrance: entrance).routes
                + CompletionAPI(core: core, intake: intake, entrance: entrance, served: model).routes,
            limits: limits, statistics: statistics, logger: logger
        ) { path, status, reason in
            guard path.hasPrefix("/v1/") || path.hasPrefix("/api/") else {
                return .text(reason + "\n", status: status)
            }
            let kind: APIError.Kind =
                switch status {
                case 404: .notFound
                case 500...: .server
                default: .invalidRequest
                }
            return Guard.response(APIError(status: status, kind, reason))
        }
        do throws(WebServerError) {
            let bound = try await server.start()
            logger.info(
                "web page and API served",
                metadata: ["address": "\(tls == nil ? "http" : "https")://\(bound)"])
            return server
        } catch { throw CoordinatorError(.unavailable, "the web port: \(error)") }
    }

    /// The page's files; nobody needs a token for them, since they say nothing of the cluster.
    private static var page: [WebRoute] {
        WebPage.assets.map { asset in
            WebRoute(.get, "/\(asset.path)", deadline: .seconds(30)) { request in
                let headers =
                    WebPage.headers.map { WebField($0.name, $0.value) } + [
                        WebField("Content-Type", asset.contentType), WebField("ETag", asset.entityTag),
                    ]
                if request.header("if-none-match") == asset.entityTag {
                    return WebResponse(304, headers: headers)
                }
                return WebResponse(200, headers: headers, body: .bytes(asset.bytes))
            }
        }
    }
}
