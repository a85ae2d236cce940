// One end of an HTTP/2 connection: bytes in, events out, bytes out. No sockets, no clock, no threads.

internal import CNGHTTP2
internal import Numerals

/// One end of an HTTP/2 connection over libnghttp2 (RFC 9113).
///
/// The session does no I/O. Give it what arrived (`receive`), take what happened (`takeEvents`), send what it wants
/// to say (`pump`). `now` is in nanoseconds from any fixed origin. One thread at a time.
///
/// Bodies are never copied: received ones are named as ranges of the bytes given in, outgoing ones as counts of a
/// queue that the caller keeps for each stream.
///
/// After any call has thrown an error other than `noSuchStream`, `queueFull` or `misuse`, pump once more (this sends
/// GOAWAY) and close the connection.
@safe
public struct HTTP2Session: ~Copyable {
    private let session: OpaquePointer
    private var state: HTTP2SessionState
    /// After a fatal error the library may only be deleted: GOAWAY is then ours to write.
    private var dead = false
    private var lastWords: [UInt8] = []
    public let role: HTTP2Role

    /// Throws only when the library cannot allocate.
    public init(role: HTTP2Role, limits: HTTP2Limits = HTTP2Limits()) throws(HTTP2Error) {
        let session = unsafe try Self.makeSession(role: role, limits: limits)
        unsafe self.init(session, role: role, limits: limits)
    }

    private init(_ session: OpaquePointer, role: HTTP2Role, limits: HTTP2Limits) {
        self.role = role
        unsafe self.session = session
        state = HTTP2SessionState(role: role, limits: limits)
    }

    deinit { unsafe nghttp2_session_del(session) }

    private static func makeSession(
        role: HTTP2Role, limits: HTTP2Limits
    ) throws(HTTP2Error) -> OpaquePointer {
        let noMemory = HTTP2Error(code: .internalFailure, message: "no memory for an HTTP/2 session")
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks = unsafe callbacks else {
            throw noMemory
        }
        defer { unsafe nghttp2_session_callbacks_del(callbacks) }
        guard unsafe nghttp2_option_new(&options) == 0, let options = unsafe options else { throw noMemory }
        defer { unsafe nghttp2_option_del(options) }
        unsafe setCallbacks(callbacks)
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        unsafe nghttp2_option_set_max_outbound_ack(options, max(1, limits.maxOutboundAcknowledgements))
        unsafe nghttp2_option_set_max_settings(options, max(1, limits.maxSettingsEntries))
        unsafe nghttp2_option_set_max_continuations(options, max(1, limits.maxContinuations))
        unsafe nghttp2_option_set_stream_reset_rate_limit(
            options, UInt64(max(1, limits.streamResets.burst)), UInt64(max(1, limits.streamResets.perSecond)))
        var made: OpaquePointer?
        let rc =
            switch role {
            case .client: unsafe nghttp2_session_client_new2(&made, callbacks, nil, options)
            case .server: unsafe nghttp2_session_server_new2(&made, callbacks, nil, options)
            }
        guard rc == 0, let made = unsafe made else { throw noMemory }
        guard unsafe submitSettings(made, role: role, limits: limits) else {
            unsafe nghttp2_session_del(made)
            throw noMemory
        }
        return unsafe made
    }

    /// The first frame of either side, and the connection's window.
    private static func submitSettings(_ session: OpaquePointer, role: HTTP2Role, limits: HTTP2Limits) -> Bool
    {
        var entries: [nghttp2_settings_entry] = []
        func set(_ id: nghttp2_settings_id, _ value: Int) {
            entries.append(
                nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value)))
        }
        set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Int(limits.streamWindow))
        set(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, min(max(16_384, Int(limits.maxFrameSize)), 16_777_215))
        set(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.maxHeaderListSize)
        switch role {
        case .server: set(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, Int(limits.maxConcurrentStreams))
        case .client: set(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)
        }
        let flag = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        let window = max(65_535, limits.connectionWindow)
        return unsafe nghttp2_submit_settings(session, flag, entries, entries.count) == 0
            && nghttp2_session_set_local_window_size(session, flag, 0, window) == 0
    }

    // MARK: Bytes

    /// Takes bytes from the peer. Take the events before the bytes go away: `data` events are ranges of them.
    public mutating func receive(_ bytes: Span<UInt8>, now: UInt64) throws(HTTP2Error) {
        try live()
        guard !bytes.isEmpty else { return }
        state.now = now
        let session = unsafe session
        let taken = unsafe withUnsafeMutablePointer(to: &state) { state in
            unsafe bytes.withUnsafeBufferPointer { buffer in
                unsafe state.pointee.input = buffer
                unsafe nghttp2_session_set_user_data(session, state)
                defer {
                    unsafe nghttp2_session_set_user_data(session, nil)
                    unsafe state.pointee.input = UnsafeBufferPointer(start: nil, count: 0)
                }
                return unsafe nghttp2_session_mem_recv(session, buffer.baseAddress, buffer.count)
            }
        }
        if taken < 0 { throw die(Int32(clamping: taken)) }
        if let failure = state.failure { throw failure }
        if unsafe nghttp2_session_get_outbound_queue_size(session) > state.limits.maxQueuedFrames {
            unsafe state.overLimit(session, "requests for answers without reading them")
            if let failure = state.failure { throw failure }
        }
    }

    /// What has happened since the last time, oldest first.
    public mutating func takeEvents() -> [HTTP2Event] {
        defer { state.events.removeAll(keepingCapacity: true) }
        return state.events
    }

    /// Adds to `output` what wants to be sent, until it holds about `limit` bytes (one frame more at most).
    public mutating func pump(into output: inout HTTP2Output, limit: Int, now: UInt64) throws(HTTP2Error) {
        if dead {
            unsafe lastWords.withUnsafeBufferPointer { unsafe output.append(frames: $0) }
            lastWords = []
            return
        }
        state.now = now
        state.outputLimit = limit
        swap(&output, &state.output)
        let session = unsafe session
        let rc: Int = unsafe withUnsafeMutablePointer(to: &state) { state in
            unsafe nghttp2_session_set_user_data(session, state)
            defer { unsafe nghttp2_session_set_user_data(session, nil) }
            while unsafe state.pointee.output.count < limit {
                var data: UnsafePointer<UInt8>?
                let count = unsafe nghttp2_session_mem_send(session, &data)
                guard count > 0 else { return count }
                // Body frames of the next round are appended from inside the next call: these bytes go first.
                unsafe state.pointee.output.append(frames: UnsafeBufferPointer(start: data, count: count))
            }
            return 0
        }
        swap(&output, &state.output)
        if rc < 0 {
            let error = die(Int32(clamping: rc))
            unsafe lastWords.withUnsafeBufferPointer { unsafe output.append(frames: $0) }
            lastWords = []
            throw error
        }
    }

    /// Nothing is left to say or to hear: the connection can be closed.
    public var isFinished: Bool {
        if dead { return true }
        let reads = unsafe nghttp2_session_want_read(session)
        return reads == 0 && !wantsWrite
    }

    /// The session has something to send (which flow control may hold back).
    public var wantsWrite: Bool {
        dead ? !lastWords.isEmpty : unsafe nghttp2_session_want_write(session) != 0
    }

    // MARK: Streams

    /// Opens a stream (client). The body follows by `submitBody` and `finish`.
    public mutating func submitRequest(_ fields: [HTTP2Field], now: UInt64) throws(HTTP2Error) -> Int32 {
        try live()
        guard role == .client else {
            throw HTTP2Error(code: .misuse, message: "only a client can make a request")
        }
        guard unsafe nghttp2_session_check_request_allowed(session) != 0 else {
            throw HTTP2Error(code: .closed, message: "the connection is closing and takes no new calls")
        }
        var source = unsafe nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readBody)
        let session = unsafe session
        let stream = unsafe withNameValues(fields) { nv, count in
            unsafe nghttp2_submit_request(session, nil, nv, count, &source, nil)
        }
        if stream == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE.rawValue {
            throw HTTP2Error(
                code: .closed, message: "this connection has used up its stream numbers: open a new one")
        }
        try check(stream)
        state.outgoing[stream] = OutgoingBody(progressed: now)
        return stream
    }

    /// Answers a request (server). With `endStream` these fields are all of the answer.
    public mutating func submitResponse(
        stream: Int32, fields: [HTTP2Field], endStream: Bool, now: UInt64
    ) throws(HTTP2Error) {
        try live()
        guard role == .server else {
            throw HTTP2Error(code: .misuse, message: "only a server can answer a request")
        }
        guard fields.contains(where: { $0.name == ":status" && !$0.value.hasPrefix("1") }) else {
            throw HTTP2Error(code: .misuse, message: "an answer needs a final status (200 to 599)")
        }
        guard state.outgoing[stream] == nil,
            unsafe nghttp2_session_get_stream_local_close(session, stream) == 0
        else {
            throw HTTP2Error(code: .noSuchStream, message: "stream \(stream) cannot be answered any more")
        }
        var source = unsafe nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readBody)
        let session = unsafe session
        let rc = unsafe withNameValues(fields) { nv, count in
            endStream
                ? unsafe nghttp2_submit_response(session, stream, nv, count, nil)
                : unsafe nghttp2_submit_response(session, stream, nv, count, &source)
        }
        try check(rc)
        if !endStream { state.outgoing[stream] = OutgoingBody(progressed: now) }
    }

    /// Says that `count` more body bytes of `stream` are in the caller's queue.
    public mutating func submitBody(stream: Int32, count: Int, now: UInt64) throws(HTTP2Error) {
        try live()
        guard var body = state.outgoing[stream], !body.ended, count >= 0 else {
            throw HTTP2Error(code: .noSuchStream, message: "stream \(stream) takes no more body")
        }
        guard count <= state.limits.streamQueue - body.queued else {
            throw HTTP2Error(
                code: .queueFull,
                message:
                    "stream \(stream) has \(body.queued.grouped) bytes waiting; the limit is \(state.limits.streamQueue.grouped)"
            )
        }
        if body.queued == 0 { body.progressed = now }
        body.queued += count
        try resume(stream, &body)
    }

    /// Ends our side of `stream`, after what is queued, with trailers if there are any.
    public mutating func finish(stream: Int32, trailers: [HTTP2Field] = []) throws(HTTP2Error) {
        try live()
        guard var body = state.outgoing[stream], !body.ended else {
            throw HTTP2Error(code: .noSuchStream, message: "stream \(stream) has already ended")
        }
        body.ended = true
        body.trailers = trailers.isEmpty ? nil : trailers
        try resume(stream, &body)
    }

    private mutating func resume(_ stream: Int32, _ body: inout OutgoingBody) throws(HTTP2Error) {
        let wake = body.deferred && (body.queued > 0 || body.ended)
        if wake { body.deferred = false }
        state.outgoing[stream] = body
        guard wake else { return }
        let rc = unsafe nghttp2_session_resume_data(session, stream)
        // INVALID_ARGUMENT: the stream closed or is not deferred; its close event says the rest.
        if rc != NGHTTP2_ERR_INVALID_ARGUMENT.rawValue { try check(rc) }
    }

    /// Body bytes of `stream` that wait.
    public func queued(stream: Int32) -> Int { state.outgoing[stream]?.queued ?? 0 }

    /// Resets `stream`: what is queued for it is dropped.
    public mutating func reset(stream: Int32, code: HTTP2ErrorCode) throws(HTTP2Error) {
        try live()
        guard stream > 0 else { return }
        let known = unsafe nghttp2_session_get_stream_remote_close(session, stream) >= 0
        if role == .client || known { state.ownResets.insert(stream) }
        try check(unsafe nghttp2_submit_rst_stream(session, 0, stream, code.rawValue))
    }

    /// Gives `count` received body bytes of `stream` back to the peer's window. Also after the stream has closed.
    public mutating func consume(stream: Int32, count: Int) throws(HTTP2Error) {
        try live()
        guard stream > 0, count > 0 else { return }
        try check(unsafe nghttp2_session_consume(session, stream, count))
    }

    /// Streams whose queue has not moved for `age` nanoseconds: their reader has stopped.
    public func stalledStreams(now: UInt64, age: UInt64) -> [Int32] {
        state.outgoing.filter { $0.value.queued > 0 && now > $0.value.progressed &+ age }.map(\.key).sorted()
    }

    /// Streams with an outgoing body that is not finished.
    public var openBodies: Int { state.outgoing.count }

    // MARK: Connection

    public mutating func ping(_ payload: UInt64) throws(HTTP2Error) {
        try live()
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: payload >> (56 - 8 * UInt64($0))) }
        try check(unsafe nghttp2_submit_ping(session, 0, bytes))
    }

    /// First half of a graceful end: no new streams, please. Ends with `finishDrain` when `pingAcknowledged(payload)`
    /// has shown that the peer knows. A client's GOAWAY is complete at once.
    public mutating func beginDrain(ping payload: UInt64) throws(HTTP2Error) {
        try live()
        if role == .server {
            try check(unsafe nghttp2_submit_shutdown_notice(session))
            try ping(payload)
        } else {
            try finishDrain()
        }
    }

    /// Second half: the final GOAWAY. The session `isFinished` when its streams are.
    public mutating func finishDrain() throws(HTTP2Error) {
        try live()
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        try check(
            unsafe nghttp2_submit_goaway(session, 0, last, HTTP2ErrorCode.noError.rawValue, nil, 0))
    }

    /// Ends the connection with GOAWAY: pump once more and close.
    public mutating func terminate(_ code: HTTP2ErrorCode) throws(HTTP2Error) {
        try live()
        try check(unsafe nghttp2_session_terminate_session(session, code.rawValue))
    }

    // MARK: Errors

    private func live() throws(HTTP2Error) {
        if dead { throw HTTP2Error(code: .closed, message: "the HTTP/2 session has ended") }
    }

    private mutating func check(_ rc: Int32) throws(HTTP2Error) {
        guard rc < 0 else { return }
        if nghttp2_is_fatal(rc) != 0 { throw die(rc) }
        let text = unsafe String(cString: nghttp2_strerror(rc))
        switch nghttp2_error(rc) {
        case NGHTTP2_ERR_STREAM_CLOSED, NGHTTP2_ERR_STREAM_CLOSING, NGHTTP2_ERR_STREAM_SHUT_WR,
            NGHTTP2_ERR_INVALID_STREAM_ID, NGHTTP2_ERR_INVALID_STREAM_STATE:
            throw HTTP2Error(code: .noSuchStream, message: "HTTP/2: \(text)")
        case NGHTTP2_ERR_START_STREAM_NOT_ALLOWED, NGHTTP2_ERR_SESSION_CLOSING,
            NGHTTP2_ERR_GOAWAY_ALREADY_SENT:
            throw HTTP2Error(code: .closed, message: "the HTTP/2 connection is closing")
        default:
            throw HTTP2Error(code: .misuse, message: "HTTP/2: \(text)")
        }
    }

    /// Marks the session dead and prepares GOAWAY, which the library can no longer write.
    private mutating func die(_ rc: Int32) -> HTTP2Error {
        dead = true
        let error: HTTP2Error
        let code: HTTP2ErrorCode
        switch nghttp2_error(rc) {
        case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
            error = HTTP2Error(code: .notHTTP2, message: "the peer does not speak HTTP/2")
            code = .protocolError
        case NGHTTP2_ERR_FLOODED:
            error = HTTP2Error(code: .limit, message: "the peer flooded the connection; it is closed")
            code = .enhanceYourCalm
        case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
            error = HTTP2Error(
                code: .limit, message: "the peer sent too many CONTINUATION frames; the connection is closed")
            code = .enhanceYourCalm
        default:
            let text = unsafe String(cString: nghttp2_strerror(rc))
            error = HTTP2Error(code: .internalFailure, message: "HTTP/2 failed: \(text)")
            code = .internalError
        }
        var frame: [UInt8] = [0, 0, 8, UInt8(NGHTTP2_GOAWAY.rawValue), 0, 0, 0, 0, 0]
        for value in [UInt32(bitPattern: state.lastPeerStream), code.rawValue] {
            for shift in [24, 16, 8, 0] as [UInt32] {
                frame.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        lastWords = frame
        return error
    }
}
