// What watches a connection from within its channel: deadlines, and whether the client is there.

import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// What the event loop tells the task that serves a connection: that the client left, or the server is to stop.
final class ConnectionNews: Sendable {
    private struct State {
        var isGone = false
        var isLastRequest = false
        var action: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// Runs `action` once when the client leaves; at once when it has left. One at a time.
    func whenGone(_ action: @escaping @Sendable () -> Void) {
        let isGone = state.withLock {
            if !$0.isGone { $0.action = action }
            return $0.isGone
        }
        if isGone { action() }
    }

    /// The server stops: the request under way is the last.
    var isLastRequest: Bool { state.withLock { $0.isLastRequest } }

    func stop() {
        state.withLock { $0.isLastRequest = true }
    }

    func forget() {
        state.withLock { $0.action = nil }
    }

    func leave() {
        let action = state.withLock {
            $0.isGone = true
            return $0.action.take()
        }
        action?()
    }
}

/// Closes connections whose time is over and tells `ConnectionNews` when the client leaves. Sits behind the HTTP
/// decoder. A client that closes its sending side counts as gone, as in most HTTP servers: the two look the same.
final class ConnectionGuard: ChannelDuplexHandler {
    typealias InboundIn = WebRequestPart
    typealias InboundOut = WebRequestPart
    typealias OutboundIn = WebResponsePart
    typealias OutboundOut = WebResponsePart

    private var deadlines: ConnectionDeadlines
    private let client: ConnectionNews
    private let statistics: WebStatistics
    private let door: ConnectionDoor
    private var timer: (at: ContinuousClock.Instant, task: Scheduled<Void>)?
    private var inputClosed = false
    private var sawHead = false
    private var isOver = false
    /// What arrived is not HTTP, or too large.
    private var isRefused = false

    init(_ service: WebService, client: ConnectionNews) {
        deadlines = ConnectionDeadlines(service.limits, connected: .now)
        self.client = client
        statistics = service.statistics
        door = service.door
    }

    func handlerAdded(context: ChannelHandlerContext) {
        arm(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !deadlines.isFinishing else { return }
        switch Self.unwrapInboundIn(data) {
        case .head:
            sawHead = true
            door.serve(context.channel)
            deadlines.headRead(.now)
        case .body: break
        case .end: deadlines.requestRead()
        }
        arm(context)
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let isEnd = if case .end = Self.unwrapOutboundIn(data) { true } else { false }
        let taken = promise ?? context.eventLoop.makePromise()
        deadlines.writing(.now)
        taken.futureResult.assumeIsolated().whenComplete { _ in
            self.deadlines.written(.now)
            // Its place is somebody else's if need be, now that all it asked for is sent.
            if self.deadlines.isQuiet, !self.isOver { self.door.wait(context.channel) }
            self.arm(context)
        }
        context.write(data, promise: taken)
        if isEnd { deadlines.responseWritten(.now) }
        arm(context)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard case .output = mode else { return context.close(mode: mode, promise: promise) }
        deadlines.finish(.now)
        arm(context)
        let sent = promise ?? context.eventLoop.makePromise()
        sent.futureResult.assumeIsolated().whenComplete { _ in
            self.deadlines.finished(.now)
            self.door.wait(context.channel)
            // Closing while the client still sends would reset the connection, and the client might lose what it
            // was sent last: why its request was refused.
            let isSending = self.isRefused || self.deadlines.hasUnansweredRequests
            if self.inputClosed || !isSending { context.close(promise: nil) } else { self.arm(context) }
        }
        context.close(mode: .output, promise: sent)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            inputClosed = true
            client.leave()
        case is ChannelShouldQuiesceEvent:
            // Not passed on: what else hears of it would close before a response is sent in full.
            client.stop()
            if deadlines.isIdle { context.close(promise: nil) }
            return
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? HTTPParserError {
            if !isRefused { statistics.refused(error == .headerOverflow ? .headSize : .malformed) }
            isRefused = true
        } else if !sawHead, error is NIOSSLError || error is BoringSSLError {
            statistics.refused(.tls)
        }
        context.fireErrorCaught(error)
    }

    private func end() {
        isOver = true
        timer?.task.cancel()
        timer = nil
        client.leave()
    }

    /// Makes sure that a timer goes off at the next deadline or before.
    private func arm(_ context: ChannelHandlerContext) {
        guard !isOver, let next = deadlines.next else { return }
        if let timer, timer.at <= next.at { return }
        timer?.task.cancel()
        let task = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(next.at - .now)) {
            self.timer = nil
            self.expire(context)
        }
        timer = (next.at, task)
    }

    private func expire(_ context: ChannelHandlerContext) {
        guard let deadline = deadlines.next, deadline.at <= .now else { return arm(context) }
        switch deadline.expiry {
        case .head: statistics.refused(.headTime)
        case .body: statistics.refused(.bodyTime)
        case .write: statistics.refused(.writeTime)
        case .idle, .close: break
        }
        client.leave()
        context.close(promise: nil)
    }
}
