// The C callbacks: each finds the session's state, hands it plain values and returns. Nothing is sent from here.

internal import CNGHTTP2

private typealias StatePointer = UnsafeMutablePointer<HTTP2SessionState>

/// The state, or nil when the library calls outside one of our own calls (it does not).
private func state(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<HTTP2SessionState>? {
    unsafe pointer?.assumingMemoryBound(to: HTTP2SessionState.self)
}

private let failed = Int32(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)

/// Asks for body bytes. Used by every request and response that has a body.
let readBody: nghttp2_data_source_read_callback = {
    session, stream, _, length, flags, _, user in
    guard let session = unsafe session, let flags = unsafe flags, let state = unsafe state(user) else {
        return Int(failed)
    }
    guard let part = unsafe state.pointee.read(session, stream: stream, length: length) else {
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    var bits = NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    if part.ends { bits |= NGHTTP2_DATA_FLAG_EOF.rawValue }
    if part.trailersFollow { bits |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
    unsafe flags.pointee = bits
    return part.count
}

func setCallbacks(_ callbacks: OpaquePointer) {
    unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { session, header, user in
        guard let session = unsafe session, let header = unsafe header, let state = unsafe state(user) else {
            return failed
        }
        unsafe state.pointee.frameBegins(session, header.pointee)
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, _, user in
        guard let state = unsafe state(user) else { return failed }
        unsafe state.pointee.headersBegin()
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
        session, frame, name, nameLength, value, valueLength, _, user in
        guard let session = unsafe session, let frame = unsafe frame, let state = unsafe state(user) else {
            return failed
        }
        let name = unsafe String(
            decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
        let value = unsafe String(
            decoding: UnsafeBufferPointer(start: value, count: valueLength), as: UTF8.self)
        let kept = unsafe state.pointee.header(
            session, stream: frame.pointee.hd.stream_id, name: name, value: value)
        return kept ? 0 : Int32(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
    }
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, user in
        guard let session = unsafe session, let frame = unsafe frame, let state = unsafe state(user) else {
            return failed
        }
        unsafe received(session, frame, state)
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
        _, _, stream, data, count, user in
        guard let data = unsafe data, let state = unsafe state(user) else { return failed }
        // The library hands out parts of what it was given, never a copy: that saves ours.
        guard let base = unsafe state.pointee.input.baseAddress else { return failed }
        let start = unsafe data - base
        guard start >= 0, unsafe start + count <= state.pointee.input.count else { return failed }
        if unsafe state.pointee.failure == nil {
            unsafe state.pointee.events.append(.data(stream: stream, range: start..<start + count))
        }
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
        guard let state = unsafe state(user) else { return failed }
        unsafe state.pointee.outgoing.removeValue(forKey: stream)
        unsafe state.pointee.ownResets.remove(stream)
        unsafe state.pointee.events.append(
            .streamClosed(stream: stream, code: HTTP2ErrorCode(rawValue: code)))
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
        guard let frame = unsafe frame, let state = unsafe state(user) else { return failed }
        unsafe state.pointee.frameNotSent(frame.pointee.hd)
        return 0
    }
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, user in
        guard let session = unsafe session, let frame = unsafe frame, let state = unsafe state(user) else {
            return failed
        }
        unsafe state.pointee.frameSent(session, frame.pointee.hd)
        return 0
    }
    unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) {
        _, frame, header, length, _, user in
        guard let frame = unsafe frame, let header = unsafe header, let state = unsafe state(user) else {
            return failed
        }
        let sent = unsafe state.pointee.sendBody(
            stream: frame.pointee.hd.stream_id, header: UnsafeBufferPointer(start: header, count: 9),
            count: length)
        return sent ? 0 : Int32(NGHTTP2_ERR_WOULDBLOCK.rawValue)
    }
    unsafe nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks) {
        _, _, _, connectionWindow, streamWindow, peerFrameSize, user in
        guard let state = unsafe state(user) else { return Int(failed) }
        let ours = unsafe state.pointee.limits.maxFrameSize
        let frame = min(Int(ours), Int(peerFrameSize))
        return max(1, min(frame, Int(connectionWindow), Int(streamWindow)))
    }
}

private func received(
    _ session: OpaquePointer, _ frame: UnsafePointer<nghttp2_frame>, _ state: StatePointer
) {
    let header = unsafe frame.pointee.hd
    let ends = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    let acknowledges = header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
        unsafe state.pointee.headersEnd(stream: header.stream_id)
        if ends { unsafe state.pointee.events.append(.endStream(stream: header.stream_id)) }
    case NGHTTP2_DATA.rawValue:
        let padding = unsafe frame.pointee.data.padlen
        // Padding alone is as empty as nothing.
        if header.length > 0, header.length <= padding, !ends {
            let within = unsafe state.pointee.limits.emptyData.take(now: state.pointee.now)
            if !within { unsafe state.pointee.overLimit(session, "empty DATA frames") }
        }
        if ends { unsafe state.pointee.events.append(.endStream(stream: header.stream_id)) }
    case NGHTTP2_SETTINGS.rawValue:
        if !acknowledges { unsafe state.pointee.events.append(.settings) }
    case NGHTTP2_PING.rawValue:
        guard acknowledges else { return }
        let payload = unsafe frame.pointee.ping.opaque_data
        let bytes = [
            payload.0, payload.1, payload.2, payload.3, payload.4, payload.5, payload.6, payload.7,
        ]
        unsafe state.pointee.events.append(
            .pingAcknowledged(bytes.reduce(0) { $0 << 8 | UInt64($1) }))
    case NGHTTP2_GOAWAY.rawValue:
        let goAway = unsafe frame.pointee.goaway
        let message = unsafe String(
            decoding: UnsafeBufferPointer(
                start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256)),
            as: UTF8.self)
        unsafe state.pointee.events.append(
            .goAway(
                lastStream: goAway.last_stream_id, code: HTTP2ErrorCode(rawValue: goAway.error_code),
                message: message))
    default:
        break
    }
}
