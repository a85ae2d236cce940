// One HTTP/2 connection on its event loop: bytes to the session, events to the streams, output to the socket.
// Everything here runs on the loop. RPCConnection+Server and +Client hold what the two ends do differently,
// +Life the timers and the end.

import HTTP2
import Logging
import NIOCore
import NIOSSL
import NIOTLS
import Synchronization

/// The last handler of a channel: HTTP/2 behind it, calls before it.
final class RPCConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let role: HTTP2Role
    let limits: RPCLimits
    let logger: Logger
    let loop: any EventLoop
    let secure: Bool
    /// Server: what is offered. Client: empty.
    let services: [String: RPCHandler]
    /// Client: the server's address as the user gave it. Server: the client's.
    let peer: String

    var session: HTTP2Session
    var entries: [Int32: StreamEntry] = [:]
    var handlersRunning = 0
    /// Subject alternative names of the peer's certificate.
    var peerNames: [String] = []
    var context: ChannelHandlerContext?
    /// Why the connection is over, or will be soon.
    var closeReason: RPCStatus? { didSet { open.turnOff() } }
    /// No new calls.
    var draining = false { didSet { if draining { open.turnOff() } } }
    let open = ConnectionSwitch()
    var ready: EventLoopPromise<Void>?
    /// The peer speaks HTTP/2.
    let onReady: @Sendable () -> Void
    let onClose: @Sendable () -> Void
    /// Server: what requests hold that cannot be used yet.
    var memory: RequestMemory
    /// Server: where refusals are counted.
    let statistics: RPCStatistics?

    private var output = HTTP2Output()
    var inFlight = 0
    private var pumpScheduled = false
    var lastRead: NIODeadline = .now()
    var lastWrite: NIODeadline = .now()
    let started: NIODeadline = .now()
    var handshaken = false
    var pingSent: NIODeadline?
    var pingNumber: UInt64 = 0
    var drainBegan: NIODeadline?
    var ticker: RepeatedTask?
    private var prefaceSeen = 0

    /// Bytes handed to the channel and not yet written. Beyond them the session waits, and with it the writers.
    private static let inFlightLimit = 1 << 20
    static let drainPing: UInt64 = 0x6c61_7269_6174_0001
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    init(
        role: HTTP2Role, loop: any EventLoop, peer: String, secure: Bool, services: [String: RPCHandler],
        limits: RPCLimits, logger: Logger, statistics: RPCStatistics? = nil,
        sharedMemory: SharedByteBudget = .ofThisProcess, onReady: @escaping @Sendable () -> Void = {},
        onClose: @escaping @Sendable () -> Void
    ) throws(RPCStatus) {
        memory = RequestMemory(limit: limits.incompleteRequests, shared: sharedMemory)
        self.onReady = onReady
        self.statistics = statistics
        self.role = role
        self.loop = loop
        self.peer = peer
        self.secure = secure
        self.services = services
        self.limits = limits
        self.logger = logger
        self.onClose = onClose
        var http = HTTP2Limits()
        http.maxConcurrentStreams = Int32(clamping: limits.maxConcurrentCalls)
        http.streamWindow = Int32(clamping: limits.streamWindow)
        http.connectionWindow = Int32(clamping: limits.connectionWindow)
        http.maxFrameSize = Int32(clamping: limits.maxFrameSize)
        http.streamQueue = limits.outboundQueue + limits.maxRawMessage + 64
        do { session = try HTTP2Session(role: role, limits: http) } catch {
            throw RPCStatus(.resourceExhausted, error.message)
        }
    }

    var handle: NIOLoopBound<RPCConnection> { NIOLoopBound(self, eventLoop: loop) }
    var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    func channelActive(context: ChannelHandlerContext) { begin() }

    private func begin() {
        guard ticker == nil else { return }
        var period = Duration.milliseconds(500)
        for limit in [limits.keepAlive, limits.keepAliveTimeout, limits.handshake, limits.stall]
        where limit > .zero {
            period = min(period, limit / 4)
        }
        for handler in services.values {
            if let pace = handler.pace { period = min(period, pace.shortest / 4) }
        }
        period = max(period, .milliseconds(10))
        let amount = period.timeAmount
        let handle = handle
        ticker = loop.scheduleRepeatedTask(initialDelay: amount, delay: amount) { _ in handle.value.tick() }
        pump()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        lastRead = .now()
        guard closeReason == nil else { return }
        if role == .server, prefaceSeen < Self.preface.count, !checkPreface(buffer) { return }
        var failure: HTTP2Error?
        do { try session.receive(buffer.readableBytesUInt8Span, now: now) } catch { failure = error }
        handleEvents(buffer)
        if let failure {
            statistics?.count(failure)
            end(RPCStatus(.unavailable, failure.message), linger: true)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { pump() }

    func channelInactive(context: ChannelHandlerContext) {
        over(closeReason ?? RPCStatus(.unavailable, "the connection to \(peer) was closed by the other side"))
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        over(closeReason ?? RPCStatus(.unavailable, "the connection to \(peer) is closed"))
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isTLS = secure && !handshaken && (error is NIOSSLError || error is BoringSSLError)
        let status =
            isTLS
            ? .handshakeFailed(error, with: peer)
            : RPCStatus(.unavailable, "connection to \(peer) failed: \(error)")
        if closeReason == nil { closeReason = status }
        if isTLS { statistics?.count(.tls) }
        logger.debug("\(status.message)")
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted(let negotiated)? = event as? TLSUserEvent else { return }
        if let tls = try? context.pipeline.syncOperations.handler(type: NIOSSLHandler.self),
            let certificate = tls.peerCertificate
        {
            peerNames = certificate.names
        }
        if negotiated != "h2" {
            statistics?.count(.tls)
            end(
                RPCStatus(.unavailable, "\(peer) did not agree on HTTP/2 (ALPN h2) in the TLS handshake"),
                linger: false)
        }
    }

    /// False: not HTTP/2; it has been answered.
    private func checkPreface(_ buffer: ByteBuffer) -> Bool {
        let bytes = buffer.readableBytesView
        for byte in bytes {
            if prefaceSeen == Self.preface.count { break }
            if byte == Self.preface[prefaceSeen] {
                prefaceSeen += 1
                continue
            }
            let first = prefaceSeen > 0 ? Self.preface[0] : byte
            guard (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) else { return true }
            let text = "this port speaks gRPC over HTTP/2\n"
            let answer =
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: \(text.utf8.count)\r\n"
                + "connection: close\r\n\r\n" + text
            context?.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
            statistics?.count(.notHTTP2)
            closeReason = RPCStatus(.unavailable, "an HTTP/1.1 client")
            lingerAndClose()
            return false
        }
        return true
    }

    // MARK: Output

    /// Pumps after everything else that is queued on the loop right now: several streams share one write.
    func pumpSoon() {
        guard !pumpScheduled else { return }
        pumpScheduled = true
        let handle = handle
        loop.execute {
            handle.value.pumpScheduled = false
            handle.value.pump()
        }
    }

    func pump() {
        guard let context, context.channel.isActive else { return }
        // A server speaks second: an HTTP/1.1 client must not find our SETTINGS in front of its answer.
        guard role == .client || prefaceSeen == Self.preface.count || closeReason != nil else { return }
        var wrote = false
        var failure: HTTP2Error?
        while inFlight < Self.inFlightLimit, failure == nil {
            output.removeAll()
            do {
                try session.pump(into: &output, limit: Self.inFlightLimit - inFlight, now: now)
            } catch { failure = error }
            if output.isEmpty { break }
            wrote = true
            write(output, context: context)
        }
        if wrote { context.flush() }
        handleEvents(nil)
        if let failure, closeReason == nil {
            statistics?.count(failure)
            end(RPCStatus(.unavailable, failure.message), linger: true)
        } else if closeReason == nil, session.isFinished {
            // The library has had enough by itself: a flood of resets. An end that was announced is none of that.
            if !draining { statistics?.count(.protocolViolation) }
            end(RPCStatus(.unavailable, "the connection to \(peer) has ended"), linger: false)
        }
    }

    private func write(_ output: HTTP2Output, context: ChannelHandlerContext) {
        let count = output.count
        if inFlight == 0 { lastWrite = .now() }
        inFlight += count
        var pieces: [ByteBuffer] = []
        for segment in output.segments {
            switch segment {
            case .frames(let range): pieces.append(ByteBuffer(bytes: output.bytes[range]))
            case .body(let stream, let count): takeBody(stream, count, into: &pieces)
            }
        }
        // Small output goes as one piece: one TLS record, one vector.
        if count <= 16 << 10, pieces.count > 1 {
            var joined = context.channel.allocator.buffer(capacity: count)
            for var piece in pieces { joined.writeBuffer(&piece) }
            pieces = [joined]
        }
        guard let last = pieces.popLast() else { return }
        for piece in pieces { context.write(wrapOutboundOut(piece), promise: nil) }
        let promise = loop.makePromise(of: Void.self)
        let handle = handle
        promise.futureResult.whenComplete { _ in
            let connection = handle.value
            let full = connection.inFlight >= Self.inFlightLimit
            connection.inFlight -= count
            connection.lastWrite = .now()
            if full || connection.session.wantsWrite { connection.pumpSoon() }
        }
        context.write(wrapOutboundOut(last), promise: promise)
    }

    private func takeBody(_ stream: Int32, _ count: Int, into pieces: inout [ByteBuffer]) {
        guard let entry = entries[stream] else { return }
        var missing = count
        while missing > 0, var buffer = entry.outbound.popFirst() {
            if buffer.readableBytes > missing, let slice = buffer.readSlice(length: missing) {
                entry.outbound.prepend(buffer)
                pieces.append(slice)
                missing = 0
            } else {
                missing -= buffer.readableBytes
                pieces.append(buffer)
            }
        }
        entry.rpc?.sent(count)
    }

    // MARK: Events

    private func handleEvents(_ buffer: ByteBuffer?) {
        for event in session.takeEvents() {
            switch event {
            case .headers(let stream, let kind, let fields):
                switch kind {
                case .request: requestArrived(stream, fields)
                case .response: replyArrived(stream, fields)
                case .trailers: trailersArrived(stream, fields)
                case .informational: break
                }
            case .data(let stream, let range):
                guard let buffer,
                    let slice = buffer.getSlice(
                        at: buffer.readerIndex + range.lowerBound, length: range.count)
                else { continue }
                dataArrived(stream, slice)
            case .endStream(let stream):
                guard let entry = entries[stream], !entry.received else { continue }
                entry.received = true
                giveBack(entry)
                do throws(RPCStatus) {
                    try entry.deframer.finish()
                    peerFinished(entry)
                } catch {
                    fail(entry, error)
                }
            case .streamClosed(let stream, let code):
                streamClosed(stream, code)
            case .settings:
                if !handshaken { onReady() }
                handshaken = true
                ready?.succeed(())
                ready = nil
            case .pingAcknowledged(let number):
                if number == Self.drainPing {
                    finishDrain()
                } else if number == pingNumber {
                    pingSent = nil
                }
            case .goAway(_, let code, let message):
                draining = true
                if code != .noError {
                    let why = message.isEmpty ? "" : ": \(message)"
                    logger.warning("\(peer) closes the connection with \(code)\(why)")
                }
            }
        }
    }

    private func dataArrived(_ stream: Int32, _ slice: ByteBuffer) {
        var slice = slice
        let count = slice.readableBytes
        guard let entry = entries[stream], let rpc = entry.rpc, !entry.received else {
            consume(stream, count)
            return
        }
        var messages: [ByteBuffer] = []
        if entry.deframer.partial == 0 { entry.messageBegan = .now() }
        do throws(RPCStatus) {
            try entry.deframer.append(&slice, to: &messages)
        } catch {
            statistics?.count(.messageSize)
            consume(stream, count)
            fail(entry, error)
            return
        }
        do throws(RPCStatus) { try hold(entry, count, began: !messages.isEmpty) } catch {
            statistics?.count(.requestMemory)
            consume(stream, count)
            fail(entry, error)
            return
        }
        let transfer = Duration(.now() - entry.messageBegan)
        if !messages.isEmpty { entry.messageBegan = .now() }
        consume(
            stream,
            rpc.deliver(messages, transfer: transfer, partial: entry.deframer.partial, bytes: count))
    }

    func consume(_ stream: Int32, _ count: Int) {
        guard count > 0 else { return }
        // An error means that the connection is over, which shows elsewhere.
        try? session.consume(stream: stream, count: count)
    }

    private func streamClosed(_ stream: Int32, _ code: HTTP2ErrorCode) {
        guard let entry = entries.removeValue(forKey: stream) else { return }
        giveBack(entry)
        entry.timer?.cancel()
        guard let rpc = entry.rpc else { return }
        var status = RPCStatus(reset: code)
        if role == .client, code == .cancel, let deadline = rpc.deadline, deadline <= .now {
            status = .deadlineExpired
        }
        if code == .noError, role == .client {
            status = RPCStatus(.internal, "the server ended the call without a status")
        }
        if role == .server, entry.finished { rpc.completed() }
        rpc.end(status)
        rpc.close(rpc.outcome.flatMap { $0.isOK ? nil : $0 } ?? RPCStatus(.cancelled, "the call has ended"))
        if role == .server, !entry.finished { entry.task?.cancel() }
    }

    /// Does what tasks have asked for.
    func serve(_ rpc: RPCStream) {
        var work = rpc.takeWork()
        let id = rpc.id
        consume(id, work.credit)
        if work.abandon || role == .server && work.finish != nil { consume(id, rpc.releaseCredit()) }
        guard let entry = entries[id], entry.rpc === rpc else {
            pumpSoon()
            return
        }
        do throws(HTTP2Error) {
            if work.abandon {
                entry.received = true
                try session.reset(stream: id, code: .cancel)
            } else if !entry.finished {
                if work.bytes > 0 {
                    try openReply(entry)
                    while let frame = work.frames.popFirst() { entry.outbound.append(frame) }
                    try session.submitBody(stream: id, count: work.bytes, now: now)
                }
                if let status = work.finish { try finish(entry, status) }
            }
        } catch {
            // The stream is going away; its close event tells the rest.
            logger.trace("stream \(id): \(error)")
        }
        pumpSoon()
    }
}
