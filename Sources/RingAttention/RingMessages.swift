// What travels between ranks, and the transport the loops are written against.

/// Bytes of a tensor, kept wherever the transport has them.
public protocol RingPayload: Sendable {
    /// Number of bytes.
    var count: Int { get }
    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R
}

/// A payload in an array of its own.
public struct BytesPayload: RingPayload, Equatable {
    public let bytes: [UInt8]
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
    public var count: Int { bytes.count }
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.withUnsafeBytes(body)
    }
}

/// One stripe of one layer's keys and values.
public struct RingPiece: Sendable {
    public let layer: Int
    /// The rank it comes from.
    public let origin: Int
    /// Its number in the sequence, from 0.
    public let stripe: Int
    public let positions: Range<Int>
    public let payload: any RingPayload
    /// Between the arrival of its first and of its last bytes; zero for a rank's own.
    public let transfer: Duration
    /// When its last byte had arrived; nil for a rank's own.
    public let arrived: ContinuousClock.Instant?

    public init(
        layer: Int, origin: Int, stripe: Int, positions: Range<Int>, payload: any RingPayload,
        transfer: Duration = .zero, arrived: ContinuousClock.Instant? = nil
    ) {
        self.layer = layer
        self.origin = origin
        self.stripe = stripe
        self.positions = positions
        self.payload = payload
        self.transfer = transfer
        self.arrived = arrived
    }
}

public enum RingMessage: Sendable {
    /// Prefill: a stripe on its way round.
    case keyValues(RingPiece)
    /// Decode, from the leader: the query of one token, and for the owner of that token its key and value as well.
    case query(layer: Int, position: Int, payload: any RingPayload)
    /// Decode, to the leader: attention over this rank's KV (`AttentionPartial`).
    case partial(layer: Int, from: Int, payload: any RingPayload)
    /// Decode is over.
    case end

    /// For error messages.
    var summary: String {
        switch self {
        case .keyValues(let piece): "stripe \(piece.stripe) of rank \(piece.origin), layer \(piece.layer)"
        case .query(let layer, let position, _): "a query of layer \(layer), position \(position)"
        case .partial(let layer, let from, _): "a partial of layer \(layer) from rank \(from)"
        case .end: "the end"
        }
    }
}

/// One rank's transport to the others. Calls block an ordinary OS thread (never the cooperative pool), from several
/// threads at once: at most one sender and one receiver per other rank. Whatever is buffered inside is bounded.
public protocol RingPeer: Sendable {
    /// Hands a message over, waiting while the link is full.
    /// - Throws: `.stalled(rank:)` when the deadline passes, `.peer(rank:)` when that rank is gone, `.gaveUp(rank:)` when
    ///   it ended its part before its time, `.cancelled` after `abandon()`. After an error the link is not used again.
    func send(_ message: RingMessage, to rank: Int, deadline: ContinuousClock.Instant) throws(RingError)

    /// The next message from a rank, in the order it was sent. Throws as `send` does.
    func receive(from rank: Int, deadline: ContinuousClock.Instant) throws(RingError) -> RingMessage

    /// Gives the ring up for this rank: blocked and later calls here throw `.cancelled`, and calls of other ranks
    /// that wait for this one throw `.gaveUp`. May be called from any thread, and twice.
    func abandon()
}

extension RingPeer {
    /// A transport that cannot be interrupted: blocked threads end at their deadline.
    public func abandon() {}
}
