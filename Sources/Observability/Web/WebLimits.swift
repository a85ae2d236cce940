// What one client, or all together, may take of a server.

/// Limits of a server. Every one has a working default and none can be switched off.
public struct WebLimits: Sendable, Equatable {
    /// Connections at once. One whose client has asked for nothing gives way to those who come later; while there is
    /// none, they wait to be accepted, up to `waitingConnections`; the system refuses the rest.
    public var connections = 256
    /// Of these, for one address; nil: three quarters.
    public var connectionsPerAddress: Int?
    public var waitingConnections = 128
    /// From connecting to the end of the first request's head; a TLS handshake is part of it.
    public var headTime: Duration = .seconds(10)
    /// From the head to the end of a request's body.
    public var bodyTime: Duration = .seconds(60)
    /// From a response to the end of the next request's head.
    public var idleTime: Duration = .seconds(60)
    /// For a client to take about 128 KiB that wait to be sent: slower ones are cut off.
    public var writeTime: Duration = .seconds(30)
    /// For a client to close its side after the last response.
    public var closeTime: Duration = .seconds(2)
    /// Bytes of a request line with all headers.
    public var headBytes = 32 << 10
    public var headers = 100
    /// Bytes of all request bodies held at once; a request that would need more is answered with 503.
    public var bodyBytesInFlight = 256 << 20

    public init() {}
}

/// Why a server cannot start.
public enum WebServerError: Error, Equatable, CustomStringConvertible {
    /// A route that can never work.
    case route(String)
    /// The certificate or key cannot be used.
    case certificate(String)
    case cannotListen(String)
    case startedTwice

    public var description: String {
        switch self {
        case .route(let text): "a route of the web server is wrong: \(text)"
        case .certificate(let text): text
        case .cannotListen(let text): text
        case .startedTwice: "a web server can be started once only"
        }
    }
}
