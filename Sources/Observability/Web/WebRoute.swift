// Which handler answers which request.

/// A handler with the requests it is for.
public struct WebRoute: Sendable {
    public typealias Handler = @Sendable (WebRequest) async throws -> WebResponse

    public let method: WebMethod
    /// A path such as "/jobs/{id}/events": a part in braces stands for any one part that is not empty.
    public let pattern: String
    /// A longer body is refused (413), before it is read when its length was announced.
    public let maximumBodyBytes: Int
    /// Time from the end of the request to the end of the response; nil: as long as it takes.
    public let deadline: Duration?
    /// Asked before a request's body is read; nil: it may go on.
    let admit: (@Sendable (WebRequest) -> WebResponse?)?
    let handler: Handler

    /// `admit` is given the request without its body, and may answer in the handler's place; a connection whose
    /// client would still send a body is closed then.
    ///
    /// `handler` runs in a task that is cancelled when the client goes away, also while nothing is being sent. What
    /// it throws is logged and answered with 500, without details.
    public init(
        _ method: WebMethod, _ pattern: String, maximumBodyBytes: Int = 0, deadline: Duration? = nil,
        admit: (@Sendable (WebRequest) -> WebResponse?)? = nil, handler: @escaping Handler
    ) {
        self.method = method
        self.pattern = pattern
        self.maximumBodyBytes = maximumBodyBytes
        self.deadline = deadline
        self.admit = admit
        self.handler = handler
    }
}

/// All routes of a server.
package struct WebRouteTable: Sendable {
    package enum Match: Sendable {
        case found(WebRoute, captures: [String: String])
        /// The path exists, for the methods listed.
        case wrongMethod(allow: String)
        case unknownPath
    }

    private enum Segment: Hashable {
        case literal(String)
        case capture(String)
    }

    private struct Entry {
        let segments: [Segment]
        let route: WebRoute

        func captures(_ path: [String]) -> [String: String]? {
            guard path.count == segments.count else { return nil }
            var captures: [String: String] = [:]
            for (segment, part) in zip(segments, path) {
                switch segment {
                case .literal(let text): guard text == part else { return nil }
                case .capture(let name):
                    guard !part.isEmpty else { return nil }
                    captures[name] = part
                }
            }
            return captures
        }
    }

    /// Those that name a part exactly come before those that capture it.
    private let entries: [Entry]

    package init(_ routes: [WebRoute]) throws(WebServerError) {
        var entries: [Entry] = []
        var seen: Set<String> = []
        for route in routes {
            let segments = try Self.segments(route)
            let shape = segments.map { if case .literal(let text) = $0 { text } else { "{}" } }
            guard seen.insert("\(route.method) /\(shape.joined(separator: "/"))").inserted else {
                throw .route(
                    "\(route.method.rawValue) \(route.pattern): there are two routes for the same paths")
            }
            entries.append(Entry(segments: segments, route: route))
        }
        self.entries = entries.sorted { one, other in
            one.segments.lexicographicallyPrecedes(other.segments) {
                if case (.literal, .capture) = ($0, $1) { true } else { false }
            }
        }
    }

    private static func segments(_ route: WebRoute) throws(WebServerError) -> [Segment] {
        guard route.method != .head else { throw .route("HEAD \(route.pattern): GET routes answer HEAD") }
        guard route.maximumBodyBytes >= 0 else {
            throw .route("\(route.pattern): the largest body cannot be negative")
        }
        guard route.pattern.hasPrefix("/") else { throw .route("\(route.pattern): a path starts with /") }
        guard route.pattern != "/" else { return [] }
        var names: Set<Substring> = []
        var segments: [Segment] = []
        for part in route.pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            if part.hasPrefix("{"), part.hasSuffix("}"), part.count > 2 {
                let name = part.dropFirst().dropLast()
                guard names.insert(name).inserted else {
                    throw .route("\(route.pattern): two captures named \(name)")
                }
                segments.append(.capture(String(name)))
            } else if part.contains(where: { "{}%?#".contains($0) }) {
                throw .route("\(route.pattern): \(part) is neither plain text nor one {name}")
            } else {
                segments.append(.literal(String(part)))
            }
        }
        return segments
    }

    /// `method`: as sent; it may be none that routes know.
    package func match(_ method: String, _ path: [String]) -> Match {
        let wanted = WebMethod(rawValue: method)
        var allowed: Set<String> = []
        for entry in entries {
            guard let captures = entry.captures(path) else { continue }
            let offered = entry.route.method
            if offered == wanted || (offered == .get && wanted == .head) {
                return .found(entry.route, captures: captures)
            }
            allowed.insert(offered.rawValue)
            if offered == .get { allowed.insert(WebMethod.head.rawValue) }
        }
        return allowed.isEmpty ? .unknownPath : .wrongMethod(allow: allowed.sorted().joined(separator: ", "))
    }
}
