// Measures the wire between two workers: blocks through the transport that jobs use, against plain TCP, in turn.
import Kernels
package import Logging
import Messages
import RPC
import RingAttention
import RingTransport
import Synchronization

/// A run of transfers.
package struct WireBenchmark: Sendable {
    /// Bytes of one transfer.
    package let bytes: Int
    /// Bytes of one block: what the ring sends as one piece. A multiple of `rowBytes`.
    package let blockBytes: Int
    package let rounds: Int
    private let logger: Logger

    /// Bytes of a token's row in the blocks.
    package static let rowBytes = 1024
    private static let patience = Duration.seconds(60)

    /// - Throws: `setting` unless every block is a positive whole number of rows and there is at least one round.
    package init(bytes: Int, blockBytes: Int, rounds: Int, logger: Logger) throws(BenchmarkError) {
        guard blockBytes >= Self.rowBytes, blockBytes % Self.rowBytes == 0, blockBytes <= bytes,
            bytes % Self.rowBytes == 0, rounds >= 1
        else {
            throw .setting(
                "\(bytes) bytes in blocks of \(blockBytes): a block is a multiple of \(Self.rowBytes) bytes and no "
                    + "longer than the transfer")
        }
        self.bytes = bytes
        self.blockBytes = blockBytes
        self.rounds = rounds
        self.logger = logger
    }

    /// Bytes a second: of the workers' transport first, of plain TCP second. `progress` is told each finished round.
    package func run(
        progress: @Sendable (_ done: Int) -> Void
    ) async throws(BenchmarkError) -> Paired {
        let pair = try await WorkerPair.start(
            tokens: bytes / Self.rowBytes, blockTokens: blockBytes / Self.rowBytes, rowBytes: Self.rowBytes,
            patience: Self.patience, logger: logger)
        do throws(BenchmarkError) {
            // Buffers grow and the connection's window opens.
            _ = try await pair.seconds(bytes: min(bytes, 32 * blockBytes), blockBytes: blockBytes)
            _ = try await TCPCopy.seconds(bytes: min(bytes, 32 << 20))
            var rates = Paired()
            for round in 0..<rounds {
                let wire = try await pair.seconds(bytes: bytes, blockBytes: blockBytes)
                let plain = try await TCPCopy.seconds(bytes: bytes)
                rates.add(Double(bytes) / wire, Double(bytes) / plain)
                progress(round + 1)
            }
            await pair.stop()
            return rates
        } catch {
            await pair.stop()
            throw error
        }
    }
}

/// The transports of two workers in this process, connected over loopback; the first sends to the second.
private struct WorkerPair {
    private let servers: [RPCServer]
    private let sender: RingLinks
    private let receiver: RingLinks
    private let rowBytes: Int
    private let patience: Duration

    /// - Parameters:
    ///   - tokens: most tokens of one transfer.
    ///   - blockTokens: of a block.
    static func start(
        tokens: Int, blockTokens: Int, rowBytes: Int, patience: Duration, logger: Logger
    ) async throws(BenchmarkError) -> WorkerPair {
        let hubs = [RingHub(), RingHub()]
        let servers = hubs.map { hub in
            RPCServer(
                address: RPCAddress(host: "127.0.0.1", port: 0),
                services: [
                    .raw(RingService.exchange, byteLimit: RingHeader.frameLimit) { blocks, context, _ in
                        try await hub.exchange(key: context.metadata[RunKey.metadata]) {
                            try await blocks.next()
                        }
                    }
                ], logger: logger)
        }
        do {
            var peers: [RingSession.Peer] = []
            for (rank, server) in servers.enumerated() {
                peers.append(
                    RingSession.Peer(name: "worker-\(rank)", address: try await server.start()))
            }
            // The sender holds all stripes.
            let layout = try Layout(stripeTokens: blockTokens, weights: [1, 0])
            var links: [RingLinks] = []
            for rank in 0..<2 {
                let session = RingSession(
                    job: "benchmark", attempt: 1, epoch: 1, rank: rank, peers: peers,
                    key: "blocks of no job", profileIdentity: "", layout: layout, tokens: tokens,
                    stall: patience)
                let inbox = RingInbox(session, kvRowBytes: rowBytes, element: .bf16)
                hubs[rank].open(inbox)
                links.append(RingLinks(session, inbox: inbox, element: .bf16))
            }
            try await links[0].connect(to: 1, tls: nil, timeout: .seconds(10), logger: logger)
            return WorkerPair(
                servers: servers, sender: links[0], receiver: links[1], rowBytes: rowBytes, patience: patience
            )
        } catch {
            for server in servers { await server.shutdown(grace: .zero) }
            switch error {
            case let error as RPCStatus: throw .transport(error)
            case let error as RingError: throw .ring(error)
            default: throw .setting("\(error)")
            }
        }
    }

    /// Seconds from the first block's sending to the last one's arrival, checked and put together.
    func seconds(bytes: Int, blockBytes: Int) async throws(BenchmarkError) -> Double {
        let blocks = stride(from: 0, to: bytes, by: blockBytes).map { min(blockBytes, bytes - $0) }
        let payload = BytesPayload([UInt8](repeating: 0x5a, count: blockBytes))
        let (sender, receiver, rowBytes) = (sender, receiver, rowBytes)
        let patience = patience
        let started = Mutex(ContinuousClock.now)
        async let sent: Result<Void, RingError> = onComputeThread("block sender") {
            do throws(RingError) {
                started.withLock { $0 = ContinuousClock.now }
                for (number, count) in blocks.enumerated() {
                    let body = count == payload.count ? payload : BytesPayload(Array(payload.bytes[..<count]))
                    let piece = RingPiece(
                        layer: 0, origin: 0, stripe: number, positions: 0..<count / rowBytes, payload: body)
                    try sender.send(.keyValues(piece), to: 1, deadline: .now + patience)
                }
                return .success(())
            } catch {
                sender.abandon()
                receiver.abandon()
                return .failure(error)
            }
        }
        let received: Result<ContinuousClock.Instant, RingError> = await onComputeThread("block receiver") {
            do throws(RingError) {
                for _ in blocks { _ = try receiver.receive(from: 0, deadline: .now + patience) }
                return .success(ContinuousClock.now)
            } catch { return .failure(error) }
        }
        do throws(RingError) {
            try await sent.get()
            let end = try received.get()
            return started.withLock { (end - $0) / .seconds(1) }
        } catch { throw .ring(error) }
    }

    func stop() async {
        await sender.close(orderly: false)
        for server in servers { await server.shutdown(grace: .zero) }
    }
}
