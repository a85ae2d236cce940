// Carries out one job at a time for the coordinator: `lariat.v1.Worker/Run`.
package import KVCache
package import Kernels
package import Logging
package import Messages
import Observability
import Protobuf
package import RPC
import RingAttention
package import RingTransport
import Sampling
import Synchronization
import Tokenizer
package import Transformer

/// The worker's side of a job. One job runs at a time; a second one is refused until the first has let go.
package final class RunService: Sendable {
    let engine: LayerEngine
    /// Keys and values that stay beyond their runs.
    package let store: KVStore
    let configuration: WorkerConfiguration
    private let hub: RingHub
    let logger: Logger
    let statistics = WorkerStatistics()
    /// What computes now; the job is empty during a measurement.
    private let current = Mutex<Occupant?>(nil)
    /// The newest epoch that the coordinator has told.
    private let epoch = Atomic<UInt64>(0)

    /// What holds this worker.
    struct Occupant: Sendable {
        /// Empty: a measurement.
        var job: String
        /// Once it computes.
        var progress: (@Sendable () -> RunProgress)?
    }

    /// How long a new job waits for the previous one to let go of its memory.
    private static let handover: Duration = .seconds(10)
    /// For a second look at a worker that was lost; shorter than the coordinator waits for what all have to say.
    private static let checkTimeout: Duration = .seconds(1)
    /// Events that may wait for the coordinator to read them.
    static let eventQueue = 1024
    /// Parts of the timeline that are sent together: about 50 KiB.
    static let spansPerEvent = 2048
    /// Scores in one event: 256 KiB.
    static let scoresPerEvent = 65_536

    /// - Throws: a status that says what is wrong with the model, or with the folder of kept sequences.
    package init(
        model: Model, compute: Compute, configuration: WorkerConfiguration, hub: RingHub, logger: Logger
    ) throws(RPCStatus) {
        do throws(ModelError) { engine = try LayerEngine(model: model, compute: compute) } catch {
            throw RPCStatus(.failedPrecondition, "\(error)")
        }
        store = try Self.store(configuration, engine: engine, logger: logger)
        self.configuration = configuration
        self.hub = hub
        self.logger = logger
    }

    var model: Model { engine.model }

    /// What runs now.
    var running: Occupant? { current.withLock { $0 } }

    /// The newest epoch that this worker knows.
    var knownEpoch: UInt64 { epoch.load(ordering: .relaxed) }

    /// Tells the epoch that heartbeats bring.
    func learn(epoch newer: UInt64) { epoch.max(newer, ordering: .relaxed) }

    /// One call of the coordinator. A worker that gives up says why, in a value, before the call ends.
    package func handle(_ commands: RPCReader<RunCommand>, _ events: RPCWriter<RunEvent>) async throws {
        do { try await carryOut(commands, events) } catch let fault as RunFault {
            if fault.message.kind != .unspecified {
                try? await events.write(.fault(fault.message))
            }
            throw fault.status
        }
    }

    private func carryOut(_ commands: RPCReader<RunCommand>, _ events: RPCWriter<RunEvent>) async throws {
        guard case .plan(let plan)? = try await commands.next() else {
            throw RPCStatus(.invalidArgument, "the first command must carry the plan")
        }
        do throws(RPCStatus) { try check(epoch: plan.epoch, of: "the plan") } catch {
            throw RunFault(.stale, of: plan, error)
        }
        let kvTokenBytes = engine.kvShape.tokenBytes
        let run: Run
        do throws(RPCStatus) {
            run = try Run(
                plan, model: model, kvTokenBytes: kvTokenBytes, memoryBytes: configuration.memoryBytes)
        } catch { throw RunFault(.refused, of: plan, error) }
        try await occupy(run)
        defer { current.withLock { $0 = nil } }
        let sequence = try await sequence(for: run)
        let shard = try await readShard(commands, run)

        let element = engine.kvShape.element
        let session = run.session
        let inbox = RingInbox(session, kvRowBytes: engine.kvShape.rowBytes, element: element)
        hub.open(inbox)
        defer {
            hub.close(inbox)
            inbox.close(.cancelled)
        }
        let links = RingLinks(session, inbox: inbox, element: element)
        let work = RunWork(run, sequence, engine: engine, links: links)
        show(work, links)
        try await events.write(.accepted)

        do {
            try await waitForStart(commands)
            try await connect(run, links)
            try await compute(work, shard, links, commands, events)
            await links.close(orderly: true)
            statistics.count(run: true)
        } catch {
            statistics.count(run: false)
            work.cancel()
            await links.close(orderly: false)
            guard let fault = error as? RunFault, fault.isWorthACheck else { throw error }
            throw await checked(fault, run)
        }
    }

    private func connect(_ run: Run, _ links: RingLinks) async throws(RunFault) {
        for rank in run.peersSentTo.sorted() {
            do throws(RPCStatus) {
                try await links.connect(
                    to: rank, tls: configuration.tls, timeout: .seconds(10), logger: logger)
            } catch { throw RunFault(.unreachable, accused: rank, error) }
        }
    }

    /// Both ends of a connection that broke, or that nothing passes, have the same to say of each other. One of them
    /// can be dialled and the other cannot, which tells who is at fault.
    private func checked(_ fault: RunFault, _ run: Run) async -> RunFault {
        let rank = Int(fault.message.accused)
        guard run.members.indices.contains(rank) else { return fault }
        do throws(RPCStatus) {
            try await RingLinks.dial(
                rank, of: run.session, tls: configuration.tls, timeout: Self.checkTimeout, logger: logger
            ).close()
        } catch {
            return RunFault(
                .unreachable, accused: rank,
                RPCStatus(fault.status.code, "\(fault.status.message); \(error.message)"))
        }
        return fault
    }

    /// Refuses what the coordinator wants when the cluster has changed since.
    func check(epoch told: UInt64, of what: String) throws(RPCStatus) {
        let known = epoch.load(ordering: .relaxed)
        guard told >= known else {
            throw RPCStatus(
                .failedPrecondition, "\(what) is of epoch \(told); the cluster is in epoch \(known) already")
        }
    }

    /// Runs `body` with no job beside it; refuses when one is there. A job that comes meanwhile waits for its end.
    func whileIdle<Value>(_ body: () async throws -> Value) async throws -> Value {
        let other = current.withLock { current -> String? in
            if let current { return current.job }
            current = Occupant(job: "")
            return nil
        }
        if let other {
            throw RPCStatus(
                .failedPrecondition,
                other.isEmpty ? "it is being measured already" : "it runs job \(other)")
        }
        defer { current.withLock { $0 = nil } }
        return try await body()
    }

    /// Puts the calling thread where this worker computes.
    func pinCaller() throws(ModelError) {
        do throws(KernelError) { try engine.compute.pinCaller() } catch { throw .kernel(error) }
    }

    /// Waits its turn, for a bounded time.
    private func occupy(_ run: Run) async throws {
        let deadline = ContinuousClock.now + Self.handover
        while true {
            let other = current.withLock { current -> String? in
                if let current { return current.job }
                current = Occupant(job: run.job)
                return nil
            }
            guard let other else { return }
            guard ContinuousClock.now < deadline else {
                throw RunFault(
                    .busy, accused: run.rank,
                    RPCStatus(
                        .resourceExhausted,
                        "\(other.isEmpty ? "a measurement" : "job \(other)") still runs on worker "
                            + configuration.name))
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Lets heartbeats tell where the job stands.
    private func show(_ work: RunWork, _ links: RingLinks) {
        let (meter, steps) = (work.meter, work.run.members.count)
        let layers = model.shape.layers * work.run.assignment.slabs.count
        current.withLock {
            $0?.progress = {
                .with {
                    $0.layer = UInt32(meter.layersDone)
                    $0.layers = UInt32(layers)
                    $0.step = UInt32(meter.step)
                    $0.steps = UInt32(steps)
                    $0.ringBytesSent = UInt64(links.bytesSent)
                    $0.ringBytesReceived = UInt64(links.bytesReceived)
                    $0.computeSeconds = meter.computeTime.seconds
                    $0.waitSeconds = meter.waitTime.seconds
                    $0.wireSeconds = meter.wireTime.seconds
                    $0.waitsFor = meter.waitsFor.map { UInt32($0 + 1) } ?? 0
                }
            }
        }
    }

    struct Shard: Sendable {
        var tokens: [Int32] = []
        var next: [Int32] = []
    }

    /// Reads this rank's tokens, checking each.
    private func readShard(_ commands: RPCReader<RunCommand>, _ run: Run) async throws -> Shard {
        let count = run.assignment.tokens
        let wantsNext = run.kind == .score
        var shard = Shard()
        while shard.tokens.count < count || wantsNext && shard.next.count < count {
            guard let command = try await commands.next() else {
                throw RPCStatus(.cancelled, "the coordinator ended the call before the tokens were complete")
            }
            guard case .tokens(let part) = command else {
                throw RPCStatus(.invalidArgument, "the plan must be followed by the tokens that it announces")
            }
            for (source, target) in [(part.tokens, \Shard.tokens), (part.next, \Shard.next)] {
                guard shard[keyPath: target].count + source.count <= count else {
                    throw RPCStatus(.invalidArgument, "more than the \(count) tokens that were announced")
                }
                for token in source {
                    guard token < UInt32(model.shape.vocabulary) else {
                        throw RPCStatus(
                            .invalidArgument,
                            "token id \(token) is out of range; the vocabulary has \(model.shape.vocabulary)")
                    }
                    shard[keyPath: target].append(Int32(token))
                }
            }
        }
        if wantsNext, run.assignment.isLeader, count > 0 { shard.next[count - 1] = -1 }
        return shard
    }

    private func waitForStart(_ commands: RPCReader<RunCommand>) async throws {
        guard case .start? = try await commands.next() else {
            throw RPCStatus(.cancelled, "the coordinator ended the call before the start")
        }
    }
}
