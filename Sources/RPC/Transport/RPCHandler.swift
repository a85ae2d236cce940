// What a server offers: one handler per method, in any of the four call shapes, or raw.

public import NIOCore
import Numerals
public import Protobuf

/// What a handler knows about its call.
///
/// The handler's task is cancelled when the client resets the call, the connection is lost or the deadline passes.
public struct RPCContext: Sendable {
    let stream: RPCStream
    /// The client's address.
    public let peer: String
    /// Subject alternative names of the client's certificate (DNS names and IP addresses); empty without TLS.
    public let peerNames: [String]
    public let metadata: RPCMetadata

    init(stream: RPCStream, peer: String, peerNames: [String], metadata: RPCMetadata) {
        self.stream = stream
        self.peer = peer
        self.peerNames = peerNames
        self.metadata = metadata
    }

    /// When the client's patience ends; pass on what remains to calls made for this one.
    public var deadline: ContinuousClock.Instant? { stream.deadline }

    /// The client is gone or the deadline has passed: nobody reads the reply.
    public var isCancelled: Bool { stream.isClosed }

    /// Runs `body` once when the call is cancelled, on any thread; at once if it already is. Keep it short.
    public func onCancel(_ body: @escaping @Sendable () -> Void) { stream.onCancel(body) }
}

/// The messages of a streaming request, in order. One task reads.
public struct RPCReader<Message: WireMessage>: Sendable {
    let stream: RPCStream

    /// The next message; nil when the client has sent all. Throws `RPCStatus` when the call is cancelled.
    /// The client may send more only as messages are taken.
    public func next() async throws(RPCStatus) -> Message? {
        guard let bytes = try await stream.next() else { return nil }
        return try Message.decode(bytes, fault: .invalidArgument)
    }
}

/// Takes the messages of a streaming reply.
public struct RPCWriter<Message: WireMessage>: Sendable {
    let stream: RPCStream

    /// Waits while too much of this call is unsent. Throws `RPCStatus` when the call is over.
    public func write(_ message: Message) async throws(RPCStatus) {
        try await stream.write([message.frame()])
    }
}

/// A raw message as it arrived.
public struct ReceivedMessage: Sendable {
    public let bytes: ByteBuffer
    /// Between the arrival of its first and of its last bytes.
    public let transfer: Duration

    package init(bytes: ByteBuffer, transfer: Duration) {
        self.bytes = bytes
        self.transfer = transfer
    }
}

/// Raw messages of a request.
public struct RawReader: Sendable {
    let stream: RPCStream

    /// The next message in one buffer; nil at the end.
    public func next() async throws(RPCStatus) -> ReceivedMessage? {
        guard let bytes = try await stream.next() else { return nil }
        return ReceivedMessage(bytes: bytes, transfer: stream.lastTransfer)
    }
}

/// Takes raw messages of a reply.
public struct RawWriter: Sendable {
    let stream: RPCStream
    let limit: Int

    /// Sends the buffers as *one* message, without joining them.
    public func write(_ message: [ByteBuffer]) async throws(RPCStatus) {
        try await stream.write(rawFrame(message, limit: limit))
    }
}

/// One method and what it does.
public struct RPCHandler: Sendable {
    /// "/package.Service/Method"
    public let path: String
    let requestLimit: Int
    let requestName: String
    /// The request is one message.
    let isSingle: Bool
    /// How long a client may take over its request; nil where it lasts by design.
    private(set) var pace: RequestPace?
    /// Returns: OK. Throws: `RPCStatus`, or another error, which becomes UNKNOWN and is logged.
    private(set) var run: @Sendable (RPCStream, RPCContext) async throws -> Void

    /// The same method for those callers that `check` lets in. It is asked before any of the request is read, and
    /// throws the status of those it refuses.
    public func asking(
        _ check: @escaping @Sendable (RPCContext) throws(RPCStatus) -> Void
    ) -> RPCHandler {
        var asking = self
        let run = run
        asking.run = { stream, context in
            try check(context)
            try await run(stream, context)
        }
        return asking
    }

    /// The same method with other deadlines for its requests; nil: none.
    public func paced(_ pace: RequestPace?) -> RPCHandler {
        var paced = self
        paced.pace = pace
        return paced
    }

    public static func unary<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ body: @escaping @Sendable (Request, RPCContext) async throws -> Reply
    ) -> RPCHandler {
        RPCHandler(method, isSingle: true) { stream, context in
            let request: Request = try await onlyMessage(of: stream)
            let reply = try await body(request, context)
            try await stream.write([reply.frame()])
        }
    }

    public static func serverStreaming<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ body: @escaping @Sendable (Request, RPCContext, RPCWriter<Reply>) async throws -> Void
    ) -> RPCHandler {
        RPCHandler(method, isSingle: true) { stream, context in
            let request: Request = try await onlyMessage(of: stream)
            try await body(request, context, RPCWriter(stream: stream))
        }
    }

    public static func clientStreaming<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ body: @escaping @Sendable (RPCReader<Request>, RPCContext) async throws -> Reply
    ) -> RPCHandler {
        RPCHandler(method) { stream, context in
            let reply = try await body(RPCReader(stream: stream), context)
            try await stream.write([reply.frame()])
        }
    }

    /// Its requests last as long as the client likes: `paced` gives them deadlines.
    public static func bidirectional<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ body: @escaping @Sendable (RPCReader<Request>, RPCContext, RPCWriter<Reply>) async throws -> Void
    ) -> RPCHandler {
        RPCHandler(method, pace: nil) { stream, context in
            try await body(RPCReader(stream: stream), context, RPCWriter(stream: stream))
        }
    }

    /// Messages as buffers, neither parsed nor copied: for blocks. `byteLimit` is the longest message accepted. Its
    /// requests last as long as the client likes.
    public static func raw<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, byteLimit: Int, replyLimit: Int = 64 << 20,
        _ body: @escaping @Sendable (RawReader, RPCContext, RawWriter) async throws -> Void
    ) -> RPCHandler {
        RPCHandler(
            path: method.path, requestLimit: byteLimit, requestName: "\(Request.self)", isSingle: false,
            pace: nil
        ) { stream, context in
            try await body(RawReader(stream: stream), context, RawWriter(stream: stream, limit: replyLimit))
        }
    }

    private init<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, isSingle: Bool = false, pace: RequestPace? = .ordinary,
        _ run: @escaping @Sendable (RPCStream, RPCContext) async throws -> Void
    ) {
        self.init(
            path: method.path, requestLimit: Request.byteLimit, requestName: "\(Request.self)",
            isSingle: isSingle, pace: pace, run: run)
    }

    private init(
        path: String, requestLimit: Int, requestName: String, isSingle: Bool, pace: RequestPace?,
        run: @escaping @Sendable (RPCStream, RPCContext) async throws -> Void
    ) {
        self.path = path
        self.requestLimit = requestLimit
        self.requestName = requestName
        self.isSingle = isSingle
        self.pace = pace
        self.run = run
    }
}

/// The one message of a request that is not a stream.
private func onlyMessage<Message: WireMessage>(of stream: RPCStream) async throws(RPCStatus) -> Message {
    guard let bytes = try await stream.next() else {
        throw RPCStatus(.internal, "the call carries no request message")
    }
    guard try await stream.next() == nil else {
        throw RPCStatus(.internal, "the call carries more than one request message")
    }
    return try Message.decode(bytes, fault: .invalidArgument)
}

extension WireMessage {
    /// `fault`: whose it is when the bytes are no such message.
    static func decode(_ bytes: ByteBuffer, fault: RPCStatus.Code) throws(RPCStatus) -> Self {
        let result = unsafe bytes.withUnsafeReadableBytes { buffer -> Result<Self, MessageError> in
            do throws(MessageError) { return .success(unsafe try Self(decoding: buffer)) } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let message): return message
        case .failure(let error): throw RPCStatus(fault, "\(error)")
        }
    }

    /// Prefix and bytes, ready to send.
    func frame() throws(RPCStatus) -> ByteBuffer {
        let bytes: [UInt8]
        do { bytes = try encoded() } catch { throw RPCStatus(.internal, "\(error)") }
        guard bytes.count <= Self.byteLimit else {
            throw RPCStatus(
                .resourceExhausted,
                "\(Self.self) of \(bytes.count.grouped) bytes is over the limit of \(Self.byteLimit.grouped) bytes: send it in smaller parts"
            )
        }
        return try MessageFraming.frame(bytes)
    }
}

/// The prefix for buffers that are one message, and the buffers.
func rawFrame(_ message: [ByteBuffer], limit: Int) throws(RPCStatus) -> [ByteBuffer] {
    let length = message.reduce(0) { $0 + $1.readableBytes }
    guard length <= limit else {
        throw RPCStatus(
            .resourceExhausted,
            "a message of \(length.grouped) bytes is over the limit of \(limit.grouped) bytes")
    }
    return [ByteBuffer(bytes: try MessageFraming.prefix(length: length))] + message
}
