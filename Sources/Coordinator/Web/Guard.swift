// What stands before every route of the web port: where a request comes from, who asks, and how often.
import Cluster
import Foundation
import Observability
import OpenAI
import Synchronization

/// Lets a request through to its handler, or answers it.
struct Guard: Sendable {
    let access: Access
    /// Whether the port can be reached from this host only.
    let isLoopback: Bool
    private let rate = Rate()

    private final class Rate: Sendable {
        let state = Mutex(RequestRate(perSecond: 50, burst: 200))
    }

    init(access: Access, isLoopback: Bool) {
        self.access = access
        self.isLoopback = isLoopback
    }

    /// A route for owners of a role.
    /// - Parameter form: how refusals are worded.
    func route(
        _ method: WebMethod, _ pattern: String, needs role: TokenStore.Role, maximumBodyBytes: Int = 0,
        deadline: Duration? = nil, handler: @escaping WebRoute.Handler
    ) -> WebRoute {
        WebRoute(
            method, pattern, maximumBodyBytes: maximumBodyBytes, deadline: deadline,
            admit: { problem($0, role) }, handler: handler)
    }

    /// Who asks, for limits of each caller.
    func caller(_ request: WebRequest) -> String {
        access.caller(request.bearerToken, at: request.remoteAddress)
    }

    /// The name of the token that a request shows; empty where nobody needs one.
    func owner(_ request: WebRequest) -> String { access.owner(request.bearerToken) }

    private func problem(_ request: WebRequest, _ role: TokenStore.Role) -> WebResponse? {
        if let foreign = foreign(request) { return Self.response(foreign) }
        let decision = access.decide(request.bearerToken, needs: role)
        switch decision {
        case .allowed: break
        case .unknown:
            var response = Self.response(.unauthenticated(decision.refusal ?? ""))
            response.headers.append(WebField("WWW-Authenticate", "Bearer"))
            return response
        case .forbidden: return Self.response(.forbidden(decision.refusal ?? ""))
        }
        if let type = request.header("content-type"), request.announcesBody, !Self.isJSON(type) {
            return Self.response(
                APIError(
                    status: 415, .invalidRequest,
                    "the request's body is \"\(type.prefix(80))\": send JSON, with \"content-type: application/json\"",
                    code: "unsupported_content_type"))
        }
        guard let wait = rate.state.withLock({ $0.take(caller(request), at: .now) }) else { return nil }
        var response = Self.response(
            APIError(
                status: 429, .rateLimit, "too many requests in a short time; try again in a moment",
                code: "rate_limit_exceeded"))
        response.headers.append(WebField("Retry-After", "\(Int((wait / .seconds(1)).rounded(.up)))"))
        return response
    }

    /// JSON, in UTF-8 where the encoding is said at all.
    static func isJSON(_ contentType: String) -> Bool {
        let parts = contentType.lowercased().split(separator: ";", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }
        return parts[0] == "application/json"
            && parts.dropFirst().allSatisfy {
                !$0.hasPrefix("charset=") || ["charset=utf-8", "charset=\"utf-8\""].contains($0)
            }
    }

    /// Pages of other sites must not use a browser to talk to this port: neither across origins, nor, where nobody
    /// needs a token, under a name of their own that leads here.
    private func foreign(_ request: WebRequest) -> APIError? {
        let host = request.header("host") ?? ""
        if let origin = request.header("origin"), origin != "\(request.isTLS ? "https" : "http")://\(host)" {
            return .forbidden("requests from pages of other sites are refused")
        }
        if isLoopback, !access.isGuarded {
            let name = (try? HostPort(parsing: host))?.host ?? host
            guard ["localhost", "127.0.0.1", "::1", "[::1]"].contains(name.lowercased()) else {
                return .forbidden(
                    "this port is for this host only, as localhost or 127.0.0.1; the request names \"\(name.prefix(80))\""
                )
            }
        }
        return nil
    }

    /// Errors have OpenAI's form everywhere: its clients need it, and others can read it.
    static func response(_ error: APIError) -> WebResponse {
        let reply = error.reply
        return .json(reply.body, status: reply.status)
    }
}

extension CoordinatorError {
    /// As clients of the web port are told.
    /// - Parameter form: of the request that was refused.
    func apiError(_ form: CompletionRequest.Form = .text) -> APIError {
        switch cause {
        case .excess(let excess):
            return .contextLength(
                promptTokens: excess.prompt.tokens, isAtLeast: excess.prompt.isAtLeast,
                reserved: excess.reserved, window: excess.window, form: form)
        case .template(let problem): return .conversation(problem)
        case nil: break
        }
        let refusal: Refusal =
            switch kind {
            case .invalid: .invalid
            case .beyondWindow: .beyondWindow
            case .notFound: .notFound
            case .notPossible: .notPossible
            case .exhausted: .exhausted
            case .unavailable: .unavailable
            case .internalFault: .internalFault
            }
        return APIError(refusal, message)
    }
}
