// What arrives from the other workers of a run: checked, put together from its parts, and handed to the ring's threads.
package import Kernels
import Messages
import NIOCore
import Numerals
import RPC
package import RingAttention
import Synchronization

/// The inbound side of one run: a bounded queue for each other rank.
package final class RingInbox: Sendable {
    let session: RingSession
    private let links: [HandOff<RingMessage, RingError>]
    private let kvRowBytes: Int
    private let element: UInt32
    private let received = Atomic<Int>(0)
    /// Ranks whose stream has come.
    private let claimed = Mutex<Set<Int>>([])

    /// Stripes that wait in a queue before the sender is held back by flow control.
    private static let queueLength = 2

    package init(_ session: RingSession, kvRowBytes: Int, element: KVElement) {
        self.session = session
        self.kvRowBytes = kvRowBytes
        self.element = element.code
        links = session.peers.map { _ in HandOff(capacity: Self.queueLength) }
    }

    /// Tensor bytes received so far.
    package var bytesReceived: Int { received.load(ordering: .relaxed) }

    /// The next message of a rank; called by the ring's threads.
    func take(from rank: Int, deadline: ContinuousClock.Instant) throws(RingError) -> RingMessage {
        guard links.indices.contains(rank) else { throw .invalidPlan("rank \(rank) of \(links.count)") }
        switch try links[rank].takeBlocking(deadline: deadline) {
        case .element(let message): return message
        case .end: throw .gaveUp(rank: rank, what: "it sends no more blocks")
        case .timeout: throw .stalled(rank: rank, seconds: session.stall.seconds)
        }
    }

    /// Ends all queues: whoever waits gets this error.
    package func close(_ error: RingError) { links.forEach { $0.close(error) } }

    /// Takes all messages of one rank's stream, in order.
    /// - Parameter next: the next message of the stream as received, nil at its end.
    func receive(
        from rank: Int, first: ReceivedMessage, next: () async throws -> ReceivedMessage?
    ) async throws {
        guard links.indices.contains(rank), rank != session.rank else {
            throw RPCStatus(.invalidArgument, "rank \(rank) is not another rank of job \(session.job)")
        }
        // A stream that is not this run's must not be able to end it: it gets no link.
        try check(first.bytes.withUnsafeReadableBytes { try RingHeader.split($0) }.header, from: rank)
        guard claimed.withLock({ $0.insert(rank).inserted }) else {
            throw RPCStatus(
                .alreadyExists, "\(session.name(of: rank)) sends blocks of job \(session.job) already")
        }
        let link = links[rank]
        var frame: ReceivedMessage? = first
        var assembly = Assembly()
        while let received = frame {
            let message: RingMessage?
            do { message = try accept(received, from: rank, into: &assembly) } catch {
                let what = (error as? RPCStatus)?.message ?? "\(error)"
                link.close(.protocolViolation(rank: rank, what: what))
                throw error
            }
            if let message {
                guard await link.put(message) else { return }
            }
            do { frame = try await next() } catch {
                link.close(RingError(error as? RPCStatus ?? RPCStatus(.cancelled, "\(error)"), from: rank))
                throw error
            }
        }
        link.close()
    }

    /// A stripe of which not all parts are here.
    private struct Assembly {
        var header = RingHeader()
        var positions = 0..<0
        var tensor = ByteBuffer()
        var expected = 0
        /// What its parts took to arrive.
        var transfer = Duration.zero
    }

    /// Checks one wire message; returns a ring message when it is complete.
    private func accept(
        _ message: ReceivedMessage, from rank: Int, into assembly: inout Assembly
    ) throws -> RingMessage? {
        let frame = message.bytes
        let (header, range) = try frame.withUnsafeReadableBytes { try RingHeader.split($0) }
        try check(header, from: rank)
        guard let part = frame.getSlice(at: frame.readerIndex + range.lowerBound, length: range.count) else {
            throw RPCStatus(.internal, "a ring message ends before its tensor")
        }
        guard part.withUnsafeReadableBytes({ crc32c($0) }) == header.checksum else {
            throw RPCStatus(.dataLoss, "a tensor from \(session.name(of: rank)) arrived damaged (checksum)")
        }
        received.add(part.readableBytes, ordering: .relaxed)
        switch header.kind {
        case .end:
            return .end
        case .query, .partial:
            let payload = ReceivedTensor(bytes: part)
            let layer = Int(header.layer)
            guard header.kind == .query else {
                return .partial(layer: layer, from: rank, payload: payload)
            }
            guard header.position <= UInt64(Layout.maximumTokens) else {
                throw RPCStatus(.invalidArgument, "a query at position \(header.position)")
            }
            return .query(layer: layer, position: Int(header.position), payload: payload)
        case .keyValues:
            return try assemble(header, part, transfer: message.transfer, &assembly)
        case .unspecified:
            throw RPCStatus(.invalidArgument, "a ring message of unknown kind")
        }
    }

    private func check(_ header: RingHeader, from rank: Int) throws {
        guard header.job == session.job, header.attempt == session.attempt, Int(header.fromRank) == rank
        else {
            throw RPCStatus(
                .invalidArgument,
                "a ring message of job \(header.job), attempt \(header.attempt), rank \(header.fromRank) on a stream of job \(session.job), attempt \(session.attempt), rank \(rank)"
            )
        }
        guard header.epoch == session.epoch else {
            throw RPCStatus(
                .failedPrecondition,
                "a ring message of epoch \(header.epoch); this run belongs to epoch \(session.epoch)")
        }
        guard header.profile == session.profileIdentity else {
            throw RPCStatus(
                .failedPrecondition, "a ring message of another rotary profile (\(header.profile))")
        }
    }

    /// Joins the parts of a stripe. Memory is taken once, after its size has been checked against the plan.
    private func assemble(
        _ header: RingHeader, _ part: ByteBuffer, transfer: Duration, _ assembly: inout Assembly
    ) throws -> RingMessage? {
        guard header.element == element else {
            throw RPCStatus(.invalidArgument, "keys and values in another precision than this worker's")
        }
        if header.part == 0 {
            let layout = session.layout
            let stripe = Int(header.stripe)
            guard stripe < layout.stripes(in: session.tokens), header.parts >= 1 else {
                throw RPCStatus(.invalidArgument, "stripe \(stripe) in \(header.parts) parts")
            }
            let positions = layout.positions(ofStripe: stripe, in: session.tokens)
            assembly = Assembly(
                header: header, positions: positions, expected: positions.count * kvRowBytes)
            if header.parts > 1 { assembly.tensor.reserveCapacity(assembly.expected) }
        } else {
            let open = assembly.header
            guard header.part == open.part + 1, header.layer == open.layer, header.stripe == open.stripe,
                header.originRank == open.originRank
            else { throw RPCStatus(.invalidArgument, "the parts of a stripe came in the wrong order") }
            assembly.header.part = header.part
        }
        guard assembly.tensor.readableBytes + part.readableBytes <= assembly.expected else {
            throw RPCStatus(
                .invalidArgument, "a stripe is longer than its \(assembly.expected.grouped) bytes")
        }
        assembly.transfer += transfer
        // A stripe of one part stays in the buffer it arrived in.
        if header.parts == 1 { assembly.tensor = part } else { assembly.tensor.writeImmutableBuffer(part) }
        guard header.part + 1 == header.parts else { return nil }
        guard assembly.tensor.readableBytes == assembly.expected else {
            throw RPCStatus(
                .invalidArgument, "a stripe is shorter than its \(assembly.expected.grouped) bytes")
        }
        defer { assembly = Assembly() }
        return .keyValues(
            RingPiece(
                layer: Int(assembly.header.layer), origin: Int(assembly.header.originRank),
                stripe: Int(assembly.header.stripe), positions: assembly.positions,
                payload: ReceivedTensor(bytes: assembly.tensor), transfer: assembly.transfer, arrived: .now))
    }
}

/// A tensor in the buffer it was received in.
struct ReceivedTensor: RingPayload {
    let bytes: ByteBuffer

    var count: Int { bytes.readableBytes }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.withUnsafeReadableBytes(body)
    }
}

extension KVElement {
    /// As `RingMessage.element` says it.
    var code: UInt32 {
        switch self {
        case .f32: 0
        case .bf16: 1
        }
    }
}

extension Duration {
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
