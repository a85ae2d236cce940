// What a client does on its connection: opens streams, reads heads and trailers, keeps deadlines.

import HTTP2
import NIOCore
import Numerals

/// What a call needs to be opened.
struct ClientRequest: Sendable {
    let path: String
    let metadata: RPCMetadata
    let replyLimit: Int
    let replyName: String
}

extension RPCConnection {
    func open(_ rpc: RPCStream, _ request: ClientRequest) {
        func refuse(_ status: RPCStatus) {
            rpc.end(status)
            rpc.close(status)
        }
        if let closeReason {
            return refuse(
                closeReason.code == .unavailable ? closeReason : RPCStatus(.unavailable, closeReason.message))
        }
        guard !draining else {
            return refuse(RPCStatus(.unavailable, "\(peer) is shutting down: connect again later"))
        }
        guard entries.count < limits.maxWaitingCalls else {
            return refuse(
                RPCStatus(
                    .resourceExhausted,
                    "\(entries.count.grouped) calls are already under way on this connection: wait for some to end"
                ))
        }
        guard !rpc.isClosed else { return }
        var fields = [
            HTTP2Field(":method", "POST"), HTTP2Field(":scheme", secure ? "https" : "http"),
            HTTP2Field(":path", request.path), HTTP2Field(":authority", peer), HTTP2Field("te", "trailers"),
            HTTP2Field("content-type", "application/grpc"), HTTP2Field("user-agent", "lariat"),
        ]
        if let deadline = rpc.deadline {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return refuse(.deadlineExpired) }
            fields.append(HTTP2Field("grpc-timeout", RPCTimeout.format(left)))
        }
        for field in request.metadata.fields { fields.append(HTTP2Field(field.name, field.value)) }
        let id: Int32
        do { id = try session.submitRequest(fields, now: now) } catch {
            return refuse(RPCStatus(.unavailable, "\(peer): \(error.message)"))
        }
        rpc.set(id: id)
        let entry = StreamEntry(
            id: id, rpc: rpc,
            deframer: MessageDeframer(limit: request.replyLimit, what: request.replyName))
        entry.opened = true
        entries[id] = entry
        if let deadline = rpc.deadline {
            let handle = handle
            entry.timer = loop.scheduleTask(in: ContinuousClock.now.duration(to: deadline).timeAmount) {
                guard let entry = handle.value.entries[id] else { return }
                handle.value.fail(entry, .deadlineExpired)
            }
        }
        pumpSoon()
    }

    func replyArrived(_ stream: Int32, _ fields: [HTTP2Field]) {
        guard role == .client, let entry = entries[stream], let rpc = entry.rpc, !entry.received else {
            return
        }
        switch ReplyHead(fields) {
        case .accepted: entry.accepted = true
        case .ended(let status): endCall(entry, rpc, status)
        }
    }

    func trailersArrived(_ stream: Int32, _ fields: [HTTP2Field]) {
        // A server reads no trailers; a client's carry the outcome.
        guard role == .client, let entry = entries[stream], let rpc = entry.rpc, !entry.received else {
            return
        }
        do throws(RPCStatus) {
            try entry.deframer.finish()
            endCall(
                entry, rpc, RPCStatus(trailers: fields) ?? RPCStatus(.unknown, "the reply has no grpc-status")
            )
        } catch {
            endCall(entry, rpc, error)
        }
    }

    private func endCall(_ entry: StreamEntry, _ rpc: RPCStream, _ status: RPCStatus) {
        entry.received = true
        entry.timer?.cancel()
        // In this order: who has read the end must not be able to write on.
        rpc.close(status.isOK ? RPCStatus(.cancelled, "the server has already ended the call") : status)
        rpc.end(status)
        if !entry.finished {
            // We are still sending: nobody listens any more.
            entry.finished = true
            try? session.reset(stream: entry.id, code: .cancel)
            pumpSoon()
        }
    }

    /// END_STREAM from the peer.
    func peerFinished(_ entry: StreamEntry) {
        guard let rpc = entry.rpc else { return }
        switch role {
        case .server: rpc.end(.ok)
        case .client: endCall(entry, rpc, RPCStatus(.unknown, "the reply has no grpc-status"))
        }
    }
}
