// The ring's transport on gRPC: one outbound call for each worker that this one sends to, the inbox for what comes in.
package import Kernels
package import Logging
import Messages
import NIOCore
import Protobuf
package import RPC
package import RingAttention
import Synchronization

/// The connections of one session.
package final class RingLinks: RingPeer {
    private let session: RingSession
    private let inbox: RingInbox
    private let element: UInt32
    private let outbound: Mutex<[Int: Outbound]>
    private let sent = Atomic<Int>(0)

    private struct Outbound: Sendable {
        let client: RPCClient
        let call: RPCCall<RingHeader, RingReply>
    }

    package init(_ session: RingSession, inbox: RingInbox, element: KVElement) {
        self.session = session
        self.inbox = inbox
        self.element = element.code
        outbound = Mutex([:])
    }

    /// Tensor bytes handed to the transport so far.
    package var bytesSent: Int { sent.load(ordering: .relaxed) }

    /// Tensor bytes that came in so far.
    package var bytesReceived: Int { inbox.bytesReceived }

    /// Opens the stream of blocks to a rank that this one will send to: the next one, and for decode the leader or its
    /// followers.
    package func connect(to rank: Int, tls: TLSFiles?, timeout: Duration, logger: Logger)
        async throws(RPCStatus)
    {
        let client = try await Self.dial(rank, of: session, tls: tls, timeout: timeout, logger: logger)
        var metadata = RPCMetadata()
        metadata.add(RunKey.metadata, session.key)
        let call = client.call(RingService.exchange, metadata: metadata)
        outbound.withLock { $0[rank] = Outbound(client: client, call: call) }
    }

    /// A connection to where a rank takes blocks.
    package static func dial(
        _ rank: Int, of session: RingSession, tls: TLSFiles?, timeout: Duration, logger: Logger
    )
        async throws(RPCStatus) -> RPCClient
    {
        let address = session.peers[rank].address
        do throws(RPCStatus) {
            return try await RPCClient.connect(
                to: address, tls: tls, timeout: timeout,
                logger: logger)
        } catch {
            throw RPCStatus(
                .unavailable,
                "cannot reach \(session.name(of: rank)) at \(address) for blocks: \(error.message)")
        }
    }

    /// Ends the streams. Orderly: waits, for the run's stall limit at most, until the others have taken everything.
    package func close(orderly: Bool) async {
        let links = outbound.withLock { links in
            defer { links = [:] }
            return Array(links.values)
        }
        let limit = session.stall
        for link in links {
            if orderly {
                link.call.finishSending()
                await withTaskGroup { group in
                    group.addTask { _ = try? await link.call.next() }
                    group.addTask { try? await Task.sleep(for: limit) }
                    await group.next()
                    group.cancelAll()
                }
            } else {
                link.call.cancel()
            }
            await link.client.close()
        }
    }

    package func send(
        _ message: RingMessage, to rank: Int, deadline: ContinuousClock.Instant
    ) throws(RingError) {
        guard let link = outbound.withLock({ $0[rank] }) else {
            throw .peer(rank: rank, what: "there is no connection to it")
        }
        var header = RingHeader()
        header.job = session.job
        header.attempt = session.attempt
        header.epoch = session.epoch
        header.fromRank = UInt32(session.rank)
        header.profile = session.profileIdentity
        let tensor: any RingPayload
        switch message {
        case .keyValues(let piece):
            header.kind = .keyValues
            header.originRank = UInt32(piece.origin)
            header.layer = UInt32(piece.layer)
            header.stripe = UInt32(piece.stripe)
            header.element = element
            tensor = piece.payload
        case .query(let layer, let position, let payload):
            header.kind = .query
            header.layer = UInt32(layer)
            header.position = UInt64(position)
            tensor = payload
        case .partial(let layer, _, let payload):
            header.kind = .partial
            header.layer = UInt32(layer)
            tensor = payload
        case .end:
            header.kind = .end
            tensor = BytesPayload([])
        }
        try send(header, tensor, on: link, to: rank, deadline: deadline)
    }

    /// Sends a tensor in as many messages as the size limit asks for.
    private func send(
        _ template: RingHeader, _ payload: any RingPayload, on link: Outbound, to rank: Int,
        deadline: ContinuousClock.Instant
    ) throws(RingError) {
        var header = template
        let limit = RingHeader.tensorLimit
        header.parts = UInt32(max(1, (payload.count + limit - 1) / limit))
        for part in 0..<header.parts {
            let range = Int(part) * limit..<min((Int(part) + 1) * limit, payload.count)
            let tensor = Self.part(range, of: payload)
            header.part = part
            header.checksum = tensor.withUnsafeReadableBytes { crc32c($0) }
            do {
                let prefix = ByteBuffer(bytes: try header.encodedPrefix(tensorBytes: tensor.readableBytes))
                try link.call.sendBlocking(raw: [prefix, tensor], deadline: deadline)
            } catch let error as RPCStatus where error.code == .deadlineExceeded {
                throw .stalled(rank: rank, seconds: session.stall.seconds)
            } catch let error as RPCStatus {
                throw RingError(error, from: rank)
            } catch {
                throw .peer(rank: rank, what: "\(error)")
            }
            sent.add(tensor.readableBytes, ordering: .relaxed)
        }
    }

    /// Some bytes of a payload, to be sent: of a forwarded piece the buffer that it arrived in, not a copy.
    private static func part(_ range: Range<Int>, of payload: any RingPayload) -> ByteBuffer {
        if let received = payload as? ReceivedTensor,
            let slice = received.bytes.getSlice(
                at: received.bytes.readerIndex + range.lowerBound, length: range.count)
        {
            return slice
        }
        return payload.withUnsafeBytes { ByteBuffer(bytes: $0[range]) }
    }

    package func receive(
        from rank: Int, deadline: ContinuousClock.Instant
    ) throws(RingError) -> RingMessage {
        try inbox.take(from: rank, deadline: deadline)
    }

    package func abandon() {
        inbox.close(.cancelled)
        outbound.withLock { links in links.values.forEach { $0.call.cancel() } }
    }
}

extension RingError {
    /// How a stream of blocks with another rank ended. A connection that broke is that rank's loss; a stream that it
    /// ended while the connection lives is its answer to something else.
    init(_ status: RPCStatus, from rank: Int) {
        let words = status.message.isEmpty ? status.code.name : status.message
        self = status.code == .unavailable ? .peer(rank: rank, what: words) : .gaveUp(rank: rank, what: words)
    }
}
