// A connection to one server, and the calls on it.

import HTTP2
public import Logging
public import NIOCore
public import NIOPosix
import NIOSSL
public import Protobuf

/// One connection to a server. Calls share it. It does not reconnect: when `isConnected` turns false, connect anew.
public final class RPCClient: Sendable {
    public let address: RPCAddress
    private let channel: any Channel
    private let handle: NIOLoopBound<RPCConnection>
    private let open: ConnectionSwitch
    private let limits: RPCLimits

    private init(
        address: RPCAddress, channel: any Channel, handle: NIOLoopBound<RPCConnection>,
        open: ConnectionSwitch,
        limits: RPCLimits
    ) {
        self.open = open
        self.address = address
        self.channel = channel
        self.handle = handle
        self.limits = limits
    }

    /// Connects and waits until the server has shown that it speaks HTTP/2, `timeout` at most.
    public static func connect(
        to address: RPCAddress, tls: TLSFiles? = nil, timeout: Duration, limits: RPCLimits = RPCLimits(),
        logger: Logger, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) async throws(RPCStatus) -> RPCClient {
        let security = try tls.map { files throws(RPCStatus) in try files.clientContext() }
        let loop = group.next()
        let began = ContinuousClock.now
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout.timeAmount)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelOption(.recvAllocator, value: .blocks)
        let made: (any Channel, NIOLoopBound<RPCConnection>, ConnectionSwitch)
        do {
            made = try await bootstrap.connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = try RPCConnection(
                        role: .client, loop: channel.eventLoop, peer: address.description,
                        secure: security != nil, services: [:], limits: limits, logger: logger, onClose: {})
                    if let security {
                        // An IP address is not a server name (RFC 6066); it is checked all the same.
                        let isIP = (try? SocketAddress(ipAddress: address.host, port: 0)) != nil
                        let name = isIP ? nil : address.host
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: security, serverHostname: name))
                    }
                    try channel.pipeline.syncOperations.addHandler(connection)
                    return (channel, connection.handle, connection.open)
                }
            }
        } catch {
            throw explain(error, address)
        }
        // Only now: with several addresses for a host there are several attempts, and one connection that counts.
        let handle = made.1
        let ready = loop.makePromise(of: Void.self)
        loop.execute { handle.value.whenReady(ready) }
        let left = timeout - began.duration(to: .now)
        let timer = loop.scheduleTask(in: max(left, .milliseconds(1)).timeAmount) {
            handle.value.end(
                RPCStatus(
                    .deadlineExceeded, "\(address) did not answer as an HTTP/2 server within \(timeout)"),
                linger: false)
        }
        do {
            try await ready.futureResult.get()
        } catch {
            timer.cancel()
            try? await made.0.close().get()
            throw explain(error, address)
        }
        timer.cancel()
        return RPCClient(address: address, channel: made.0, handle: handle, open: made.2, limits: limits)
    }

    private static func explain(_ error: any Error, _ address: RPCAddress) -> RPCStatus {
        if let status = error as? RPCStatus { return status }
        if let error = error as? NIOConnectionError {
            if let cause = error.dnsAError ?? error.dnsAAAAError, error.connectionErrors.isEmpty {
                return RPCStatus(.unavailable, "cannot resolve the host name of \(address): \(words(cause))")
            }
            if let cause = error.connectionErrors.first?.error {
                return RPCStatus(
                    .unavailable,
                    "cannot connect to \(address): \(words(cause)); is it running, and is the port open?")
            }
        }
        return RPCStatus(
            .unavailable,
            "cannot connect to \(address): \(words(error)); is it running, and is the port open?")
    }

    /// The system's own words for an error of a socket.
    private static func words(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return unsafe String(cString: strerror(error.errnoCode)).lowercased()
    }

    /// New calls can be made. Turns false when the connection is lost, or its end has been announced.
    public var isConnected: Bool { open.isOn && channel.isActive }

    /// Starts a call. It is reset when the `RPCCall` is released before its end. With `replyLimit` replies may be
    /// longer than `Reply.byteLimit` (raw ones).
    public func call<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, timeout: Duration? = nil, metadata: RPCMetadata = RPCMetadata(),
        replyLimit: Int? = nil
    ) -> RPCCall<Request, Reply> {
        let deadline = timeout.map { ContinuousClock.now.advanced(by: min($0, RPCTimeout.longest)) }
        let stream = RPCStream(loop: channel.eventLoop, handle: handle, limits: limits, deadline: deadline)
        let request = ClientRequest(
            path: method.path, metadata: metadata, replyLimit: replyLimit ?? Reply.byteLimit,
            replyName: "\(Reply.self)")
        let handle = handle
        channel.eventLoop.execute { handle.value.open(stream, request) }
        return RPCCall(stream: stream, rawLimit: limits.maxRawMessage)
    }

    /// One request, one reply.
    public func unary<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ request: Request, timeout: Duration,
        metadata: RPCMetadata = RPCMetadata()
    ) async throws(RPCStatus) -> Reply {
        let call = call(method, timeout: timeout, metadata: metadata)
        try await call.sendLast(request)
        guard let reply = try await call.next() else {
            throw RPCStatus(.internal, "the call ended without a reply message")
        }
        guard try await call.next() == nil else {
            throw RPCStatus(.internal, "the call brought more than one reply message")
        }
        return reply
    }

    /// Tells the server, ends what is still running and closes. Returns when the socket is closed.
    public func close() async {
        let handle = handle
        channel.eventLoop.execute {
            handle.value.end(RPCStatus(.cancelled, "the connection was closed by this side"), linger: false)
        }
        try? await channel.closeFuture.get()
    }

    /// Waits until the connection is closed, by whomever.
    public func waitForClose() async { try? await channel.closeFuture.get() }
}

/// A call under way. Send and read from different tasks if you like; one reader at a time.
public final class RPCCall<Request: WireMessage, Reply: WireMessage>: Sendable {
    private let stream: RPCStream
    private let rawLimit: Int

    init(stream: RPCStream, rawLimit: Int) {
        self.stream = stream
        self.rawLimit = rawLimit
    }

    deinit { stream.cancel() }

    /// Waits while too much of this call is unsent. Throws the call's status when it is over.
    public func send(_ message: Request) async throws(RPCStatus) { try await stream.write([message.frame()]) }

    /// `send` and `finishSending` in one go. Not throwing for a call that has ended: the status is for `next`.
    func sendLast(_ message: Request) async throws(RPCStatus) {
        let frame = try message.frame()
        do { try await stream.write([frame]) } catch {
            if stream.outcome == nil { throw error }
        }
        stream.finish()
    }

    /// Sends the buffers as *one* message, without joining them.
    public func send(raw message: [ByteBuffer]) async throws(RPCStatus) {
        try await stream.write(rawFrame(message, limit: rawLimit))
    }

    /// The same from a plain thread: returns when the transport has taken the message, throws `deadlineExceeded`
    /// when it could not until `deadline`. Never call it from a task.
    public func sendBlocking(raw message: [ByteBuffer], deadline: ContinuousClock.Instant) throws(RPCStatus) {
        try stream.writeBlocking(rawFrame(message, limit: rawLimit), deadline: deadline)
    }

    /// Bytes that are frames or parts of frames: for tests of servers.
    package func send(frames: [ByteBuffer]) async throws(RPCStatus) { try await stream.write(frames) }

    /// The request is complete.
    public func finishSending() { stream.finish() }

    /// The next reply; nil when the call has ended well. Throws the call's status otherwise.
    public func next() async throws(RPCStatus) -> Reply? {
        guard let bytes = try await stream.next() else { return nil }
        return try Reply.decode(bytes, fault: .internal)
    }

    /// The next reply in one buffer.
    public func receiveRaw() async throws(RPCStatus) -> ByteBuffer? { try await stream.next() }

    /// Gives the call up.
    public func cancel() { stream.cancel() }

    /// How the call ended; nil while it runs.
    public var status: RPCStatus? { stream.outcome }
}
