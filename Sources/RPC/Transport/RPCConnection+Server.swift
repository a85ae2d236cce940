// What a server does on its connections: starts handlers, sends replies and outcomes, stops at deadlines.

import HTTP2
import Logging
import NIOCore

extension RPCConnection {
    func requestArrived(_ stream: Int32, _ fields: [HTTP2Field]) {
        guard role == .server, entries[stream] == nil else { return }
        let entry = StreamEntry(id: stream, rpc: nil, deframer: MessageDeframer(limit: 0, what: "message"))
        entries[stream] = entry
        switch RequestHead(fields) {
        case .http(let status, let text):
            answer(entry, http: status, text)
        case .refuse(let status):
            finishRefused(entry, status)
        case .call(let path, let timeout, let metadata):
            guard let handler = services[path] else {
                finishRefused(
                    entry, RPCStatus(.unimplemented, "there is no method \(path.prefix(256)) on this port"))
                return
            }
            // Handlers that outlive their reset streams count too: resets must not buy more work.
            guard handlersRunning < limits.maxConcurrentCalls, !draining else {
                entry.received = true
                statistics?.count(.calls)
                try? session.reset(stream: stream, code: .refusedStream)
                return
            }
            start(handler, entry, timeout: timeout, metadata: metadata)
        }
    }

    private func start(
        _ handler: RPCHandler, _ entry: StreamEntry, timeout: Duration?, metadata: RPCMetadata
    ) {
        let rpc = RPCStream(
            loop: loop, handle: handle, limits: limits, deadline: timeout.map { .now.advanced(by: $0) })
        rpc.set(id: entry.id)
        rpc.set(metadata: metadata)
        entry.rpc = rpc
        entry.deframer = MessageDeframer(limit: handler.requestLimit, what: handler.requestName)
        entry.pace = handler.pace
        entry.isSingle = handler.isSingle
        let handle = handle
        if let timeout {
            let id = entry.id
            entry.timer = loop.scheduleTask(in: timeout.timeAmount) {
                guard let entry = handle.value.entries[id] else { return }
                // With an empty queue the trailers can go at once; else only a reset gets through.
                let queued = handle.value.session.queued(stream: id) > 0
                handle.value.fail(entry, .deadlineExpired, code: queued ? .cancel : nil)
            }
        }
        let context = RPCContext(stream: rpc, peer: peer, peerNames: peerNames, metadata: metadata)
        handlersRunning += 1
        let statistics = statistics
        let logger = logger
        entry.task = Task {
            let status: RPCStatus
            do {
                try await handler.run(rpc, context)
                status = .ok
            } catch {
                // What ended the call counts, not what its handler made of that.
                status = rpc.isClosed ? rpc.ending : RPCStatus(error: error)
                // The client is told no details.
                if status == .unforeseen {
                    logger.error(
                        "a handler failed", metadata: ["method": "\(handler.path)", "error": "\(error)"])
                }
            }
            statistics?.count(call: status.code)
            // Before the outcome: the client's next call must find the place free.
            handle.eventLoop.execute { handle.value.handlersRunning -= 1 }
            rpc.finish(status)
        }
    }

    /// The header block of the reply, once. A client's is sent when the stream is opened.
    func openReply(_ entry: StreamEntry) throws(HTTP2Error) {
        guard role == .server, !entry.opened else { return }
        entry.opened = true
        try session.submitResponse(stream: entry.id, fields: Self.replyFields, endStream: false, now: now)
    }

    private static let replyFields = [
        HTTP2Field(":status", "200"), HTTP2Field("content-type", "application/grpc"),
        HTTP2Field("grpc-accept-encoding", RequestHead.acceptedEncoding),
    ]

    /// Ends our side: a client's request, or a server's reply with its outcome.
    func finish(_ entry: StreamEntry, _ status: RPCStatus) throws(HTTP2Error) {
        guard !entry.finished else { return }
        entry.finished = true
        guard role == .server else {
            try session.finish(stream: entry.id)
            return
        }
        entry.timer?.cancel()
        if !entry.opened, !status.isOK {
            entry.opened = true
            try session.submitResponse(
                stream: entry.id, fields: Self.replyFields + status.trailers, endStream: true, now: now)
        } else {
            try openReply(entry)
            try session.finish(stream: entry.id, trailers: status.trailers)
        }
        entry.received = true
    }

    private func finishRefused(_ entry: StreamEntry, _ status: RPCStatus) {
        statistics?.count(call: status.code)
        try? finish(entry, status)
        pumpSoon()
    }

    private func answer(_ entry: StreamEntry, http status: String, _ text: String) {
        entry.finished = true
        entry.opened = true
        entry.received = true
        do throws(HTTP2Error) {
            try session.submitResponse(
                stream: entry.id,
                fields: [HTTP2Field(":status", status), HTTP2Field("content-type", "text/plain")],
                endStream: false, now: now)
            entry.outbound.append(ByteBuffer(string: text))
            try session.submitBody(stream: entry.id, count: text.utf8.count, now: now)
            try session.finish(stream: entry.id)
        } catch {
            logger.trace("stream \(entry.id): \(error)")
        }
    }

    // MARK: What a request may take

    /// Counts what a request holds that its handler cannot use yet, `count` bytes of it new.
    /// - Parameter began: a message has become complete, so that what is incomplete is a new one.
    func hold(_ entry: StreamEntry, _ count: Int, began: Bool) throws(RPCStatus) {
        let partial = entry.deframer.partial
        if partial == 0 {
            entry.messageSince = nil
        } else if began || entry.messageSince == nil {
            entry.messageSince = .now
        }
        guard role == .server else { return }
        entry.requestBytes += count
        let held = entry.isSingle ? entry.requestBytes : partial
        try memory.change(from: entry.counted, to: held)
        entry.counted = held
    }

    /// A request is complete, or of no interest any more.
    func giveBack(_ entry: StreamEntry) {
        // Giving back is never refused.
        try? memory.change(from: entry.counted, to: 0)
        entry.counted = 0
    }

    /// Ends the calls whose clients take too long over their requests.
    func endSlowRequests() {
        guard role == .server else { return }
        for entry in entries.values where !entry.received {
            guard let pace = entry.pace, let rpc = entry.rpc else { continue }
            let progress = RequestProgress(
                began: entry.began, messageSince: entry.messageSince, waitingSince: rpc.waitingSince)
            guard let problem = progress.problem(pace, at: .now) else { continue }
            statistics?.count(.requestTime)
            fail(entry, problem)
        }
    }

    /// Ends a call from our side, against its will: deadline, oversized message, broken framing.
    func fail(_ entry: StreamEntry, _ status: RPCStatus, code: HTTP2ErrorCode? = nil) {
        let sendsOutcome = role == .server && code == nil
        do throws(HTTP2Error) {
            if sendsOutcome {
                try finish(entry, status)
            } else {
                entry.finished = true
                try session.reset(stream: entry.id, code: code ?? .cancel)
            }
        } catch {
            logger.trace("stream \(entry.id): \(error)")
        }
        entry.received = true
        entry.deframer = MessageDeframer(limit: 0, what: "message")
        giveBack(entry)
        entry.rpc?.end(status)
        entry.rpc?.close(status)
        if let rpc = entry.rpc { consume(entry.id, rpc.releaseCredit()) }
        entry.task?.cancel()
        pumpSoon()
    }
}
