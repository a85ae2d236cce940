// What goes into and comes out of an HTTP/2 session: header fields, events, output, errors.

/// One header or trailer field. Names are lower case; pseudo fields start with a colon.
public struct HTTP2Field: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Which end of the connection this session is.
public enum HTTP2Role: Sendable, Equatable {
    case client
    case server
}

/// Error codes of RFC 9113, section 7. Other values are possible on the wire.
public struct HTTP2ErrorCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public var rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let noError = HTTP2ErrorCode(rawValue: 0x0)
    public static let protocolError = HTTP2ErrorCode(rawValue: 0x1)
    public static let internalError = HTTP2ErrorCode(rawValue: 0x2)
    public static let flowControlError = HTTP2ErrorCode(rawValue: 0x3)
    public static let settingsTimeout = HTTP2ErrorCode(rawValue: 0x4)
    public static let streamClosed = HTTP2ErrorCode(rawValue: 0x5)
    public static let frameSizeError = HTTP2ErrorCode(rawValue: 0x6)
    public static let refusedStream = HTTP2ErrorCode(rawValue: 0x7)
    public static let cancel = HTTP2ErrorCode(rawValue: 0x8)
    public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 0xb)
    public static let inadequateSecurity = HTTP2ErrorCode(rawValue: 0xc)

    public var description: String {
        switch self {
        case .noError: "NO_ERROR"
        case .protocolError: "PROTOCOL_ERROR"
        case .internalError: "INTERNAL_ERROR"
        case .flowControlError: "FLOW_CONTROL_ERROR"
        case .settingsTimeout: "SETTINGS_TIMEOUT"
        case .streamClosed: "STREAM_CLOSED"
        case .frameSizeError: "FRAME_SIZE_ERROR"
        case .refusedStream: "REFUSED_STREAM"
        case .cancel: "CANCEL"
        case .enhanceYourCalm: "ENHANCE_YOUR_CALM"
        case .inadequateSecurity: "INADEQUATE_SECURITY"
        default: "error code \(rawValue)"
        }
    }
}

/// What a header block is.
public enum HTTP2HeaderKind: Sendable, Equatable {
    case request
    /// A 1xx response: the real one follows.
    case informational
    case response
    case trailers
}

/// Something the peer did, or something that became of a stream.
public enum HTTP2Event: Sendable, Equatable {
    case headers(stream: Int32, kind: HTTP2HeaderKind, fields: [HTTP2Field])
    /// Body bytes: `range` counts from the start of the bytes given to the `receive` call that made this event.
    /// They are held against the flow-control windows until `consume` gives them back.
    case data(stream: Int32, range: Range<Int>)
    /// The peer's side of the stream is complete.
    case endStream(stream: Int32)
    /// The stream is gone, in both directions. The id may be one that no other event has named.
    case streamClosed(stream: Int32, code: HTTP2ErrorCode)
    /// The peer's settings have arrived (not its acknowledgement of ours).
    case settings
    case pingAcknowledged(UInt64)
    case goAway(lastStream: Int32, code: HTTP2ErrorCode, message: String)
}

/// Bytes to send. Bodies stay with the caller: a `body` segment says how many bytes of a stream's queue go here.
public struct HTTP2Output: Sendable, Equatable {
    public enum Segment: Sendable, Equatable {
        /// This part of `bytes`.
        case frames(Range<Int>)
        /// The next `count` bytes of the body queue of `stream`.
        case body(stream: Int32, count: Int)
    }

    /// Frame headers and whole control frames, in order.
    public internal(set) var bytes: [UInt8] = []
    public internal(set) var segments: [Segment] = []
    /// Bytes on the wire: frames and bodies.
    public internal(set) var count = 0

    public init() {}

    public var isEmpty: Bool { count == 0 }

    /// Forgets everything, keeps the memory.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        segments.removeAll(keepingCapacity: true)
        count = 0
    }

    mutating func append(frames pointer: UnsafeBufferPointer<UInt8>) {
        let start = bytes.count
        unsafe bytes.append(contentsOf: pointer)
        count += pointer.count
        if case .frames(let range)? = segments.last {
            segments[segments.count - 1] = .frames(range.lowerBound..<bytes.count)
        } else {
            segments.append(.frames(start..<bytes.count))
        }
    }

    mutating func append(body length: Int, of stream: Int32) {
        guard length > 0 else { return }
        segments.append(.body(stream: stream, count: length))
        count += length
    }
}

/// Why a session ended or refused a call.
public struct HTTP2Error: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// The first bytes are not HTTP/2.
        case notHTTP2
        /// The peer broke the protocol.
        case protocolViolation
        /// The peer went past a limit.
        case limit
        /// This stream does not exist, or can no longer do this.
        case noSuchStream
        /// The stream's body queue is full: wait for `pump` to empty it.
        case queueFull
        /// The session is over.
        case closed
        /// A call that this end may not make.
        case misuse
        /// The library failed, for instance for want of memory.
        case internalFailure
    }

    public var code: Code
    public var message: String

    public init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
