// Listens, accepts, and ends gracefully.

import HTTP2
public import Logging
public import NIOCore
public import NIOPosix
import NIOSSL
import Observability
import Synchronization

/// A gRPC server on one port.
public final class RPCServer: Sendable {
    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: (channel: any Channel, handle: NIOLoopBound<RPCConnection>)] = [:]
        var stopping = false
        var certificateEnds: CertificateEnds?
    }

    private let address: RPCAddress
    private let tls: TLSFiles?
    private let services: [String: RPCHandler]
    private let limits: RPCLimits
    private let logger: Logger
    private let group: any EventLoopGroup
    private let door: ConnectionDoor
    private let state = Mutex(State())
    let statistics: RPCStatistics

    /// `services`: every method offered; of two with the same path the later counts.
    public init(
        address: RPCAddress, tls: TLSFiles? = nil, services: [RPCHandler], limits: RPCLimits = RPCLimits(),
        logger: Logger, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.address = address
        self.tls = tls
        self.services = Dictionary(services.map { ($0.path, $0) }) { _, later in later }
        self.limits = limits
        self.logger = logger
        self.group = group
        let statistics = RPCStatistics()
        self.statistics = statistics
        door = ConnectionDoor(total: limits.maxConnections, perAddress: limits.maxConnectionsPerAddress) {
            switch $0 {
            case .refused: statistics.count(.connections)
            case .gaveWay: statistics.count(.silent)
            case .open: break
            }
        }
    }

    /// Starts to listen. Returns the bound address (the port is the real one).
    public func start() async throws(RPCStatus) -> RPCAddress {
        let security = try tls.map { files throws(RPCStatus) in try files.serverContext() }
        let ends = try tls.map { files throws(RPCStatus) in try files.ends() }
        let door = door
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { door.guardListener($0) }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.recvAllocator, value: .blocks)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.accept(channel, security) }
            }
        let channel: any Channel
        do {
            channel = try await bootstrap.bind(host: address.host, port: address.port).get()
        } catch {
            throw Self.explain(error, address)
        }
        let raced = state.withLock { state -> Bool in
            if state.stopping || state.listener != nil { return true }
            state.listener = channel
            state.certificateEnds = ends
            return false
        }
        if raced {
            try? await channel.close().get()
            throw RPCStatus(.failedPrecondition, "a server can be started once only")
        }
        let bound = RPCAddress(host: address.host, port: channel.localAddress?.port ?? address.port)
        logger.debug("listening on \(bound)")
        return bound
    }

    private static func explain(_ error: any Error, _ address: RPCAddress) -> RPCStatus {
        guard let error = error as? IOError else {
            return RPCStatus(.unavailable, "cannot listen on \(address): \(error)")
        }
        switch error.errnoCode {
        case EADDRINUSE:
            return RPCStatus(
                .failedPrecondition,
                "cannot listen on \(address): the port is in use; stop what uses it (ss -ltnp shows it) or choose another port"
            )
        case EACCES:
            return RPCStatus(
                .permissionDenied, "cannot listen on \(address): not permitted; ports below 1024 need root")
        case EADDRNOTAVAIL:
            return RPCStatus(
                .failedPrecondition,
                "cannot listen on \(address): this host has no such address; use 0.0.0.0 for all")
        default:
            return RPCStatus(.unavailable, "cannot listen on \(address): \(error)")
        }
    }

    private func accept(_ channel: any Channel, _ security: NIOSSLContext?) throws {
        let id = ObjectIdentifier(channel)
        let connection = try RPCConnection(
            role: .server, loop: channel.eventLoop,
            peer: channel.remoteAddress?.plainDescription ?? "a client",
            secure: security != nil, services: services, limits: limits, logger: logger,
            statistics: statistics, onReady: { [door] in door.serve(channel) },
            onClose: { self.state.withLock { _ = $0.connections.removeValue(forKey: id) } })
        let handle = connection.handle
        let admitted = state.withLock { state -> Bool in
            guard !state.stopping else { return false }
            state.connections[id] = (channel, handle)
            return true
        }
        guard admitted else { throw RPCStatus(.unavailable, "the server stops") }
        if let security {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: security))
        }
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    /// Stops listening, tells the clients, lets running calls end within `grace`, then cuts what is left.
    public func shutdown(grace: Duration) async {
        let (listener, connections) = state.withLock { state in
            state.stopping = true
            return (state.listener.take(), Array(state.connections.values))
        }
        try? await listener?.close().get()
        for connection in connections {
            connection.handle.eventLoop.execute { connection.handle.value.drain(grace: grace) }
        }
        for connection in connections { try? await connection.channel.closeFuture.get() }
    }

    /// Connections open now.
    public var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Of the certificates that it started with; nil without TLS.
    var certificateEnds: CertificateEnds? { state.withLock { $0.certificateEnds } }
}

extension RecvByteBufferAllocator where Self == AdaptiveRecvByteBufferAllocator {
    /// Reads grow to 256 KiB, so that a block of 1 MiB is few reads.
    static var blocks: Self {
        AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 262_144)
    }
}

extension SocketAddress {
    /// "10.0.0.1:1234", for people.
    var plainDescription: String {
        guard let ip = ipAddress, let port else { return description }
        return RPCAddress(host: ip, port: port).description
    }
}
