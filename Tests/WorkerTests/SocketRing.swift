// A ring of workers' transports in one process, over real sockets on loopback.
import KVCache
import Kernels
import Logging
import LongRoPE
import Messages
import Protobuf
import RPC
import RingAttention
import RingTransport
import TestSupport
import Testing
import Transformer
import Worker

/// Runs a model's prefill over `workers` ring servers that talk HTTP/2 to each other.
struct SocketRing {
    let model: Model
    let workers: Int
    var precision: Precision = .f32
    var isa: ISA = .best
    var speeds: [Double]?
    var widest = 16
    var tls: TLSFiles?

    var kvElement: KVElement { precision == .bf16 ? .bf16 : .f32 }

    /// Runs `body` on each rank's pass, prefilled; results by rank.
    func run<R: Sendable>(
        _ tokens: [Int32], _ body: @escaping @Sendable (PrefillPass, ShardAssignment) throws -> R
    ) async throws -> [R] {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let hubs = (0..<workers).map { _ in RingHub() }
        var servers: [RPCServer] = []
        var addresses: [RPCAddress] = []
        for hub in hubs {
            let server = RPCServer(
                address: RPCAddress(host: "127.0.0.1", port: 0), tls: tls,
                services: [
                    .raw(RingService.exchange, byteLimit: RingHeader.frameLimit) { blocks, context, _ in
                        try await hub.exchange(key: context.metadata[RunKey.metadata]) {
                            try await blocks.next()
                        }
                    }
                ], logger: logger)
            addresses.append(try await server.start())
            servers.append(server)
        }
        let results: Result<[R], any Error>
        do {
            results = .success(try await compute(tokens, hubs, addresses, logger, body))
        } catch { results = .failure(error) }
        for server in servers { await server.shutdown(grace: .zero) }
        return try results.get()
    }

    private func compute<R: Sendable>(
        _ tokens: [Int32], _ hubs: [RingHub], _ addresses: [RPCAddress], _ logger: Logger,
        _ body: @escaping @Sendable (PrefillPass, ShardAssignment) throws -> R
    ) async throws -> [R] {
        let kvTokenBytes = model.shape.kvBytesPerToken(kvElement)
        var parts: [(run: Run, links: RingLinks)] = []
        for rank in 0..<workers {
            let run = try Run(
                plan(tokens: tokens.count, rank: rank, addresses), model: model,
                kvTokenBytes: kvTokenBytes, memoryBytes: 1 << 32)
            let inbox = RingInbox(
                run.session, kvRowBytes: kvTokenBytes / model.shape.layers, element: kvElement)
            hubs[rank].open(inbox)
            parts.append((run, RingLinks(run.session, inbox: inbox, element: kvElement)))
        }
        for (run, links) in parts where workers > 1 {
            try await links.connect(
                to: (run.assignment.rank + 1) % workers, tls: tls, timeout: .seconds(10), logger: logger)
        }
        let (model, isa, precision) = (model, isa, precision)
        let ready = parts
        let outcome = try await offThePool {
            onThreads(ready.count, within: .seconds(120)) { rank in
                let (run, links) = ready[rank]
                let compute = try Compute(threads: 1, isa: isa, precision: precision)
                let engine = try LayerEngine(model: model, compute: compute)
                let sequence = try KVSequence(
                    shape: engine.kvShape, capacity: run.assignment.capacity,
                    memory: KVMemory(limit: 1 << 32))
                let pass = PrefillPass(
                    engine: engine, assignment: run.assignment, profile: run.profile, sequence: sequence,
                    peer: links, stall: run.stall, recorder: PassRecorder())
                try pass.prefill(
                    slab: 0..<tokens.count, tokens: run.assignment.runs.flatMap { tokens[$0] }
                ) { _ in }
                return try body(pass, run.assignment)
            }
        }
        for (_, links) in parts { await links.close(orderly: true) }
        return try outcome.map { try #require($0, "a rank did not finish").get() }
    }

    /// The plan as a coordinator would send it.
    func plan(tokens: Int, rank: Int, _ addresses: [RPCAddress]) throws -> RunPlan {
        let layout = try Layout(
            tokens: tokens, speeds: speeds ?? Array(repeating: 1, count: workers), widest: widest)
        let profile = try model.scaling.profile(promptTokens: tokens, reservedTokens: 0)
        return .with {
            $0.job = "test"
            $0.attempt = 1
            $0.epoch = 7
            $0.protocol = LariatProtocol.current
            $0.rank = UInt32(rank)
            $0.kind = .score
            $0.promptTokens = UInt64(tokens)
            $0.stripeTokens = UInt32(layout.stripeTokens)
            $0.stallSeconds = 60
            $0.runKey = "0123456789abcdef"
            $0.fingerprint = model.fingerprint
            $0.tokenCount = UInt64(layout.count(of: rank, in: tokens))
            $0.profile = ProfileMessage(profile)
            $0.members = addresses.enumerated().map { other, address in
                .with {
                    $0.rank = UInt32(other)
                    $0.name = "worker-\(other)"
                    $0.ringAddress = "\(address)"
                    $0.weight = UInt32(layout.weights[other])
                }
            }
        }
    }
}

extension ProfileMessage {
    /// As a coordinator sends it.
    init(_ profile: RotaryProfile) {
        self = .with {
            $0.name = profile.name
            $0.theta = profile.theta
            $0.rotaryDimension = UInt32(profile.rotaryDimension)
            $0.factors = profile.factors
            $0.startTokens = UInt64(profile.startTokens)
            $0.attentionFactor = profile.attentionFactor
            $0.window = UInt64(profile.window)
            $0.identity = profile.identity
        }
    }
}
