// Addresses, TLS files, limits and metadata of clients and servers.

/// Where a server listens. IPv6 hosts are written without brackets.
public struct RPCAddress: Sendable, Hashable, CustomStringConvertible {
    public var host: String
    /// 0 for a server: any free port.
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// "host:port", or "[v6]:port". nil if there is no port between 0 and 65535.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Files (PEM) of mutual TLS: both sides show a certificate and check the other's against `ca`.
public struct TLSFiles: Sendable, Hashable {
    public var ca: String
    public var certificate: String
    public var key: String

    public init(ca: String, certificate: String, key: String) {
        self.ca = ca
        self.certificate = certificate
        self.key = key
    }
}

/// Limits of a client or server. Every one has a working default.
public struct RPCLimits: Sendable {
    /// Connections a server holds at once. One that has not begun to speak HTTP/2 gives way to those who come later;
    /// while none does, they wait to be accepted.
    public var maxConnections = 1024
    /// Of these, for one address; nil: three quarters.
    public var maxConnectionsPerAddress: Int?
    /// Calls at once on one connection.
    public var maxConcurrentCalls = 256
    /// Calls under way or waiting for their turn on one client connection.
    public var maxWaitingCalls = 4096
    /// Bytes a peer may send ahead on one call. At least as large as the largest message is best.
    public var streamWindow = 8 << 20
    public var connectionWindow = 32 << 20
    /// Bytes of one connection's requests that no handler can use yet: incomplete messages, and whole ones of calls
    /// with a single message whose end is missing.
    public var incompleteRequests = 32 << 20
    public var maxFrameSize = 256 << 10
    /// Bytes of one call that may wait before a writer has to.
    public var outboundQueue = 1 << 20
    /// Largest raw message sent.
    public var maxRawMessage = 64 << 20
    /// Quiet time after which the peer is asked whether it lives. Zero: never.
    public var keepAlive = Duration.seconds(10)
    /// How long it may take to answer that.
    public var keepAliveTimeout = Duration.seconds(10)
    /// How long a new connection may take to become HTTP/2.
    public var handshake = Duration.seconds(10)
    /// A server resets a call whose client has taken nothing for this long. Zero: never.
    public var stall = Duration.seconds(120)

    public init() {}
}

/// Extra header fields of a call. Names are lower case.
public struct RPCMetadata: Sendable, Equatable {
    public private(set) var fields: [(name: String, value: String)] = []

    public init() {}

    public subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    public mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    public static func == (a: RPCMetadata, b: RPCMetadata) -> Bool {
        a.fields.elementsEqual(b.fields) { $0.name == $1.name && $0.value == $1.value }
    }
}
