// The timers and the end of a connection: keep-alive, stalled readers, graceful drain, closing.

import HTTP2
import Logging
import NIOCore

extension RPCConnection {
    // MARK: Time

    func tick() {
        let now = NIODeadline.now()
        if !handshaken, now - started > limits.handshake.timeAmount {
            statistics?.count(.notHTTP2)
            end(RPCStatus(.unavailable, "\(peer) did not begin to speak HTTP/2 in time"), linger: false)
            return
        }
        if inFlight > 0, limits.stall > .zero, now - lastWrite > limits.stall.timeAmount {
            statistics?.count(.stalled)
            end(
                RPCStatus(.unavailable, "\(peer) has stopped reading: the connection is closed"),
                linger: false)
            return
        }
        if let pingSent {
            if now - max(pingSent, lastRead) > limits.keepAliveTimeout.timeAmount {
                statistics?.count(.unresponsive)
                end(
                    RPCStatus(
                        .unavailable,
                        "\(peer) has not answered for \(limits.keepAliveTimeout): it or the network is down"),
                    linger: false)
                return
            }
        } else if limits.keepAlive > .zero, handshaken, now - lastRead > limits.keepAlive.timeAmount {
            pingNumber += 1
            pingSent = now
            try? session.ping(pingNumber)
            pump()
        }
        if role == .server, limits.stall > .zero {
            let age = UInt64(limits.stall.timeAmount.nanoseconds)
            for stream in session.stalledStreams(now: now.uptimeNanoseconds, age: age) {
                guard let entry = entries[stream] else { continue }
                statistics?.count(.stalled)
                fail(
                    entry,
                    RPCStatus(.resourceExhausted, "the reader took nothing for \(limits.stall): call ended"),
                    code: .enhanceYourCalm)
            }
        }
        endSlowRequests()
        if let drainBegan, now - drainBegan > .seconds(1) { finishDrain() }
    }

    // MARK: The end

    /// Graceful end: GOAWAY, then the running calls until `grace` is over.
    func drain(grace: Duration) {
        guard closeReason == nil, !draining || role == .client else { return }
        draining = true
        drainBegan = .now()
        try? session.beginDrain(ping: Self.drainPing)
        pump()
        let handle = handle
        loop.scheduleTask(in: grace.timeAmount) {
            handle.value.end(RPCStatus(.unavailable, "the other side is shutting down"), linger: false)
        }
    }

    /// Tells when the peer's SETTINGS have arrived, or that they never will.
    func whenReady(_ promise: EventLoopPromise<Void>) {
        if let closeReason {
            promise.fail(closeReason)
        } else if handshaken {
            promise.succeed(())
        } else {
            ready = promise
        }
    }

    func finishDrain() {
        guard drainBegan != nil else { return }
        drainBegan = nil
        try? session.finishDrain()
        pump()
    }

    /// Ends the connection now, with GOAWAY. `linger`: the peer is still sending; let it read why.
    func end(_ reason: RPCStatus, linger: Bool) {
        guard closeReason == nil else { return }
        closeReason = reason
        logger.debug("connection with \(peer) ends: \(reason.message)")
        failAll(reason)
        if !session.isFinished { try? session.terminate(.noError) }
        pump()
        if linger { lingerAndClose() } else { context?.close(promise: nil) }
    }

    /// A close with unread input would reset the socket, and the peer would lose our last words.
    func lingerAndClose() {
        guard let context else { return }
        context.close(mode: .output, promise: nil)
        let handle = handle
        loop.scheduleTask(in: .milliseconds(500)) { handle.value.context?.close(promise: nil) }
    }

    func over(_ reason: RPCStatus) {
        if closeReason == nil { closeReason = reason }
        ticker?.cancel()
        ready?.fail(closeReason ?? reason)
        ready = nil
        for entry in entries.values { giveBack(entry) }
        failAll(closeReason ?? reason)
        onClose()
    }

    func failAll(_ reason: RPCStatus) {
        let all = entries
        if context?.channel.isActive != true { entries = [:] }
        for entry in all.values {
            entry.timer?.cancel()
            entry.rpc?.end(reason)
            entry.rpc?.close(reason)
            entry.task?.cancel()
        }
    }
}

extension RPCStatus {
    static let deadlineExpired = RPCStatus(.deadlineExceeded, "the call took longer than its deadline allows")
}
