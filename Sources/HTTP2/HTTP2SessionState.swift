// What a session knows besides the library: events, output, body queues, counters. The callbacks write here.

internal import CNGHTTP2

/// One stream's outgoing body. The bytes are the caller's; only their number is here.
struct OutgoingBody {
    var queued = 0
    var ended = false
    var trailers: [HTTP2Field]?
    /// The library has stopped asking: it must be woken when there is more.
    var deferred = false
    /// When the queue last got shorter, or began.
    var progressed: UInt64 = 0
}

/// Lives in the session; the library sees its address only while a call of ours is on the stack.
@safe
struct HTTP2SessionState {
    let role: HTTP2Role
    var limits: HTTP2Limits
    var now: UInt64 = 0
    var events: [HTTP2Event] = []
    var output = HTTP2Output()
    /// `output` may grow to this many bytes in the running pump.
    var outputLimit = 0
    var outgoing: [Int32: OutgoingBody] = [:]
    var failure: HTTP2Error?
    /// Streams reset at the caller's wish: these do not count against the peer.
    var ownResets: Set<Int32> = []
    var lastPeerStream: Int32 = 0

    /// The bytes of the running receive.
    var input = unsafe UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    /// The header block being received. Only one can be at a time: HTTP/2 does not interleave them.
    var fields: [HTTP2Field] = []
    var fieldBytes = 0

    init(role: HTTP2Role, limits: HTTP2Limits) {
        self.role = role
        self.limits = limits
    }

    /// Ends the session with GOAWAY because the peer went past one of our own limits.
    mutating func overLimit(_ session: OpaquePointer, _ what: String) {
        guard failure == nil else { return }
        failure = HTTP2Error(
            code: .limit, message: "the peer sent too many \(what); the connection is closed")
        _ = unsafe nghttp2_session_terminate_session(session, HTTP2ErrorCode.enhanceYourCalm.rawValue)
    }

    mutating func frameBegins(_ session: OpaquePointer, _ header: nghttp2_frame_hd) {
        guard failure == nil else { return }
        switch UInt32(header.type) {
        case NGHTTP2_PING.rawValue:
            if !limits.pings.take(now: now) { unsafe overLimit(session, "PING frames") }
        case NGHTTP2_SETTINGS.rawValue:
            if !limits.settings.take(now: now) { unsafe overLimit(session, "SETTINGS frames") }
        case NGHTTP2_WINDOW_UPDATE.rawValue:
            if !limits.windowUpdates.take(now: now) { unsafe overLimit(session, "WINDOW_UPDATE frames") }
        case NGHTTP2_DATA.rawValue:
            let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            if header.length == 0, !ends, !limits.emptyData.take(now: now) {
                unsafe overLimit(session, "empty DATA frames")
            }
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_CONTINUATION.rawValue, NGHTTP2_RST_STREAM.rawValue,
            NGHTTP2_GOAWAY.rawValue, NGHTTP2_PUSH_PROMISE.rawValue:
            break  // limited by the library, or once per connection
        default:
            if !limits.priorities.take(now: now) { unsafe overLimit(session, "PRIORITY or unknown frames") }
        }
    }

    mutating func headersBegin() {
        fields.removeAll(keepingCapacity: true)
        fieldBytes = 0
    }

    /// False: the block is too large, and the stream has been reset.
    mutating func header(_ session: OpaquePointer, stream: Int32, name: String, value: String) -> Bool {
        fieldBytes += name.utf8.count + value.utf8.count + 32
        guard fieldBytes <= limits.maxHeaderListSize else {
            _ = unsafe nghttp2_submit_rst_stream(session, 0, stream, HTTP2ErrorCode.enhanceYourCalm.rawValue)
            return false
        }
        fields.append(HTTP2Field(name, value))
        return true
    }

    mutating func headersEnd(stream: Int32) {
        guard failure == nil else { return }
        var kind = HTTP2HeaderKind.trailers
        if let status = fields.first(where: { $0.name == ":status" }) {
            kind = status.value.hasPrefix("1") ? .informational : .response
        } else if fields.contains(where: { $0.name == ":method" }) {
            kind = .request
            lastPeerStream = max(lastPeerStream, stream)
        }
        events.append(.headers(stream: stream, kind: kind, fields: fields))
        fields.removeAll(keepingCapacity: true)
    }

    /// How much of `stream`'s queue goes into the next frame; nil: nothing yet.
    mutating func read(
        _ session: OpaquePointer, stream: Int32, length: Int
    ) -> (count: Int, ends: Bool, trailersFollow: Bool)? {
        guard var body = outgoing[stream] else { return (0, true, false) }
        let count = min(body.queued, length)
        if count == 0, !body.ended {
            body.deferred = true
            outgoing[stream] = body
            return nil
        }
        guard body.ended, count == body.queued else { return (count, false, false) }
        guard let trailers = body.trailers else { return (count, true, false) }
        // Submitted from here they follow the last body frame, and never wait behind a deferred one.
        let rc = unsafe withNameValues(trailers) { nv, n in
            unsafe nghttp2_submit_trailer(session, stream, nv, n)
        }
        return (count, true, rc == 0)
    }

    /// False: the output is full; the library will come again with the same frame.
    mutating func sendBody(stream: Int32, header: UnsafeBufferPointer<UInt8>, count: Int) -> Bool {
        guard output.isEmpty || output.count + header.count + count <= outputLimit else { return false }
        unsafe output.append(frames: header)
        output.append(body: count, of: stream)
        outgoing[stream]?.queued -= count
        outgoing[stream]?.progressed = now
        limits.windowUpdates.credit(4)
        return true
    }

    /// A request that the connection's end has overtaken: the library knows no stream to close yet.
    mutating func frameNotSent(_ header: nghttp2_frame_hd) {
        guard role == .client, UInt32(header.type) == NGHTTP2_HEADERS.rawValue,
            outgoing.removeValue(forKey: header.stream_id) != nil
        else { return }
        events.append(.streamClosed(stream: header.stream_id, code: .refusedStream))
    }

    mutating func frameSent(_ session: OpaquePointer, _ header: nghttp2_frame_hd) {
        let stream = header.stream_id
        let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(header.type) {
        case NGHTTP2_RST_STREAM.rawValue:
            if ownResets.remove(stream) == nil, role == .server, failure == nil,
                !limits.provokedResets.take(now: now)
            {
                unsafe overLimit(session, "streams that had to be reset")
            }
        case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
            // An answer before the end of the request: tell the client to stop, but only after the answer has
            // gone, for a reset submitted earlier would cancel it.
            if role == .server, ends, unsafe nghttp2_session_get_stream_remote_close(session, stream) == 0 {
                ownResets.insert(stream)
                _ = unsafe nghttp2_submit_rst_stream(session, 0, stream, HTTP2ErrorCode.noError.rawValue)
            }
        default:
            break
        }
    }
}

/// Lends the library an array of fields for one call; it copies what it keeps.
func withNameValues(
    _ fields: [HTTP2Field], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
) -> Int32 {
    var bytes: [UInt8] = []
    for field in fields {
        bytes.append(contentsOf: field.name.utf8)
        bytes.append(contentsOf: field.value.utf8)
    }
    return unsafe bytes.withUnsafeMutableBufferPointer { buffer in
        // An empty array has no address; the library never reads past a length of 0.
        guard var next = buffer.baseAddress else { return body(nil, 0) }
        var nv: [nghttp2_nv] = unsafe []
        for field in fields {
            let (n, v) = (field.name.utf8.count, field.value.utf8.count)
            unsafe nv.append(
                nghttp2_nv(
                    name: next, value: next + n, namelen: n, valuelen: v,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
            unsafe next += n + v
        }
        return unsafe nv.withUnsafeBufferPointer { nv in unsafe body(nv.baseAddress, nv.count) }
    }
}
