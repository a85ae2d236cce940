// Carries out one job at a time for the coordinator: `lariat.v1.Worker/Run`.
import Kernels
import Logging
import Observability
import RPC
import RingAttention
import Sampling
import Synchronization
import Tokenizer
import Transformer

/// The worker's side of a job. One job runs at a time; a second one is refused until the first has let go.
final class RunService: Sendable {
    let model: Model
    let compute: Compute
    let weights: UnpackedWeights
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
        var kvBytes: Int
        /// Once it computes.
        var progress: (@Sendable () -> RunProgress)?
    }

    /// How long a new job waits for the previous one to let go of its memory.
    private static let handover: Duration = .seconds(10)
    /// Events that may wait for the coordinator to read them.
    private static let eventQueue = 1024
    /// Parts of the timeline that are sent together: about 50 KiB.
    private static let spansPerEvent = 2048
    /// Scores in one event: 256 KiB.
    private static let scoresPerEvent = 65_536

    init(
        model: Model, compute: Compute, configuration: WorkerConfiguration, hub: RingHub, logger: Logger
    ) throws(ModelError) {
        self.model = model
        self.compute = compute
        weights = try UnpackedWeights(model: model, compute: compute)
        self.configuration = configuration
        self.hub = hub
        self.logger = logger
    }

    /// What runs now.
    var running: Occupant? { current.withLock { $0 } }

    /// The newest epoch that this worker knows.
    var knownEpoch: UInt64 { epoch.load(ordering: .relaxed) }

    /// Tells the epoch that heartbeats bring.
    func learn(epoch newer: UInt64) { epoch.max(newer, ordering: .relaxed) }

    private typealias Events = HandOff<RunEvent, Never>

    func handle(_ commands: RPCReader<RunCommand>, _ events: RPCWriter<RunEvent>) async throws {
        guard let first = try await commands.next(), let plan = first.plan else {
            throw RPCStatus(.invalidArgument, "the first command must carry the plan")
        }
        try check(epoch: plan.epoch, of: "the plan")
        let kvTokenBytes = model.shape.kvBytesPerToken(compute.kvElement)
        let run = try Run(
            plan, model: model, kvTokenBytes: kvTokenBytes, memoryBytes: configuration.memoryBytes)
        try await occupy(run, kvBytes: run.assignment.capacity * kvTokenBytes)
        defer { current.withLock { $0 = nil } }
        let shard = try await readShard(first, commands, run)

        let inbox = RingInbox(
            run: run, kvRowBytes: kvTokenBytes / model.shape.layers, element: compute.kvElement)
        hub.open(inbox)
        defer {
            hub.close(inbox)
            inbox.close(.cancelled)
        }
        let links = RingLinks(run: run, inbox: inbox, element: compute.kvElement)
        let engine = try EngineBox(
            model: model, compute: compute, weights: weights, run: run, links: links)
        show(engine, run, links)
        try await events.write(.with { $0.kind = .accepted })

        do {
            try await waitForStart(commands)
            try await links.connect(
                to: engine.peersSentTo, tls: configuration.tls, timeout: .seconds(10), logger: logger)
            try await compute(run, shard, engine, links, commands, events)
            await links.close(orderly: true)
            statistics.count(run: true)
        } catch {
            statistics.count(run: false)
            engine.cancel()
            await links.close(orderly: false)
            throw error
        }
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
            current = Occupant(job: "", kvBytes: 0)
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
        do throws(KernelError) { try compute.pinCaller() } catch { throw .kernel(error) }
    }

    /// Waits its turn, for a bounded time.
    private func occupy(_ run: Run, kvBytes: Int) async throws {
        let deadline = ContinuousClock.now + Self.handover
        while true {
            let other = current.withLock { current -> String? in
                if let current { return current.job }
                current = Occupant(job: run.job, kvBytes: kvBytes)
                return nil
            }
            guard let other else { return }
            guard ContinuousClock.now < deadline else {
                throw RPCStatus(
                    .resourceExhausted,
                    "\(other.isEmpty ? "a measurement" : "job \(other)") still runs on worker \(configuration.name)"
                )
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Lets heartbeats tell where the job stands.
    private func show(_ engine: EngineBox, _ run: Run, _ links: RingLinks) {
        let (meter, layers, steps) = (engine.meter, model.shape.layers, run.members.count)
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
                }
            }
        }
    }

    private struct Shard: Sendable {
        var tokens: [Int32] = []
        var next: [Int32] = []
    }

    /// Reads this rank's tokens, checking each.
    private func readShard(
        _ first: RunCommand, _ commands: RPCReader<RunCommand>, _ run: Run
    ) async throws -> Shard {
        let count = run.assignment.tokens
        let wantsNext = run.kind == .score
        var shard = Shard()
        var command = first
        while true {
            for (source, target) in [(command.tokens, \Shard.tokens), (command.next, \Shard.next)] {
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
            if shard.tokens.count == count, !wantsNext || shard.next.count == count { break }
            guard let more = try await commands.next() else {
                throw RPCStatus(.cancelled, "the coordinator ended the call before the tokens were complete")
            }
            command = more
        }
        if wantsNext, run.assignment.isLeader, count > 0 { shard.next[count - 1] = -1 }
        return shard
    }

    private func waitForStart(_ commands: RPCReader<RunCommand>) async throws {
        guard let command = try await commands.next(), command.start else {
            throw RPCStatus(.cancelled, "the coordinator ended the call before the start")
        }
    }

    /// Runs the engine on its own thread while events go out and commands come in.
    private func compute(
        _ run: Run, _ shard: Shard, _ engine: EngineBox, _ links: RingLinks,
        _ commands: RPCReader<RunCommand>, _ events: RPCWriter<RunEvent>
    ) async throws {
        let queue = Events(capacity: Self.eventQueue)
        let stop = StopRequest()
        try await withTaskCancellationHandler {
            async let sent: Void = {
                while let event = await queue.take() { try await events.write(event) }
            }()
            // Cancelled when this scope ends: the coordinator keeps its side open.
            async let _: Void = {
                while let command = try await commands.next() {
                    if command.stop { stop.requested.store(true, ordering: .relaxed) }
                }
            }()
            defer { queue.close() }
            let finished: RunEvent
            do throws(ModelError) {
                finished = try await onComputeThread("lariat engine") { () throws(ModelError) -> RunEvent in
                    try self.work(run, shard, engine, links, queue, stop)
                }
            } catch {
                throw run.status(for: error)
            }
            queue.close()
            try await sent
            try await events.write(finished)
        } onCancel: {
            engine.cancel()
            queue.close()
        }
    }

    /// The job itself, on the engine's thread.
    private func work(
        _ run: Run, _ shard: Shard, _ box: EngineBox, _ links: RingLinks, _ queue: Events,
        _ stop: StopRequest
    ) throws(ModelError) -> RunEvent {
        let engine = box.engine
        func emit(_ event: RunEvent) throws(ModelError) {
            guard queue.putBlocking(event, deadline: .now + run.stall) == true else {
                throw .ring(.cancelled)
            }
        }
        try pinCaller()
        var finished = RunEvent()
        finished.kind = .finished
        finished.finish = "end"
        let start = ContinuousClock.now
        let layers = UInt32(model.shape.layers)
        var emitted: ModelError?
        try engine.prefill(tokens: shard.tokens) { done in
            var progress = RunEvent()
            progress.kind = .progress
            progress.layers = layers
            progress.prefilledLayers = UInt32(done)
            do throws(ModelError) {
                try emit(progress)
                if engine.timeline.spans.count >= Self.spansPerEvent {
                    try emit(Self.trace(&engine.timeline, since: start))
                }
            } catch { emitted = error }
        }
        if let emitted { throw emitted }
        if run.kind == .score { try score(run, shard, engine, emit) }
        let prefilled = ContinuousClock.now
        let (seconds, waited) = ((prefilled - start).seconds, engine.timings.wait.seconds)
        count(engine, run, seconds: seconds)
        try emit(
            .with {
                $0.kind = .log
                $0.level = "info"
                $0.text =
                    "prefill of \(run.assignment.tokens) tokens took \(Self.rounded(seconds)) s, "
                    + "\(Self.rounded(waited)) s of it waiting for blocks; \(links.bytesSent) bytes sent, "
                    + "\(links.bytesReceived) received"
            })
        if run.kind == .generate {
            if run.assignment.isLeader {
                finished.finish = try generate(run, engine, stop, emit)
            } else if run.assignment.followers.contains(run.rank) {
                try engine.follow()
            }
        }
        if !engine.timeline.spans.isEmpty { try emit(Self.trace(&engine.timeline, since: start)) }
        finished.prefillSeconds = seconds
        finished.decodeSeconds = (ContinuousClock.now - prefilled).seconds
        finished.share = .with {
            $0.rank = UInt32(run.rank)
            $0.worker = configuration.name
            $0.tokens = UInt64(run.assignment.tokens)
            $0.kvBytes = UInt64(engine.kvBytes)
            $0.ringBytesSent = UInt64(links.bytesSent)
            $0.ringBytesReceived = UInt64(links.bytesReceived)
            $0.waitSeconds = waited
            $0.computeSeconds = max(0, seconds - waited)
            $0.steps = engine.timings.steps.enumerated().map { number, step in
                .with {
                    $0.step = UInt32(number)
                    $0.computeSeconds = step.compute.seconds
                    $0.waitSeconds = step.wait.seconds
                    $0.wireSeconds = step.wire.seconds
                    $0.bytes = number == 0 ? 0 : UInt64(step.bytes)
                }
            }
        }
        return finished
    }

    /// What happened since the last such event.
    private static func trace(_ timeline: inout Timeline, since start: ContinuousClock.Instant) -> RunEvent {
        let spans = timeline.take()
        return .with {
            $0.kind = .trace
            $0.spans = spans.map { TraceSpanMessage($0, since: start) }
        }
    }

    private static func rounded(_ seconds: Double) -> Double { (seconds * 100).rounded() / 100 }

    private func score(
        _ run: Run, _ shard: Shard, _ engine: ShardEngine, _ emit: (RunEvent) throws(ModelError) -> Void
    ) throws(ModelError) {
        let nll = try engine.scores(next: shard.next)
        var row = 0
        for positions in run.assignment.runs {
            // The score in a token's row is that of the token after it; the prompt's last token has none.
            let end = min(positions.upperBound, run.promptTokens - 1)
            var position = positions.lowerBound
            while position < end {
                let count = min(Self.scoresPerEvent, end - position)
                let at = row + position - positions.lowerBound
                try emit(
                    .with {
                        $0.kind = .scores
                        $0.firstPosition = UInt64(position + 1)
                        $0.nll = Array(nll[at..<at + count])
                    })
                position += count
            }
            row += positions.count
        }
    }

    /// Decodes on the leader; returns why the answer ended.
    private func generate(
        _ run: Run, _ engine: ShardEngine, _ stop: StopRequest,
        _ emit: (RunEvent) throws(ModelError) -> Void
    ) throws(ModelError) -> String {
        var sampler = Sampler(run.sampling)
        for token in run.recent { sampler.accept(token: token) }
        var logits = try engine.lastLogits()
        var finish = "length"
        for index in 0..<run.maxTokens {
            if stop.requested.load(ordering: .relaxed) {
                finish = "stop"
                break
            }
            let choice: (token: Int32, logProbability: Float)
            do throws(SamplingError) {
                choice = try sampler.next(logits: logits.span)
            } catch { throw .unsupported("no token can be chosen: \(error)") }
            if !run.ignoreEnd, model.tokenizer.ends.contains(choice.token) {
                finish = "end"
                break
            }
            sampler.accept(token: choice.token)
            let likely = try likeliest(run, logits)
            try emit(
                .with {
                    $0.kind = .token
                    $0.token = UInt32(choice.token)
                    $0.logProbability = choice.logProbability
                    $0.likely = likely
                })
            guard index + 1 < run.maxTokens else { break }
            try engine.noting(.decode, index) { () throws(ModelError) in
                logits = try engine.decode(token: choice.token, index: index)
            }
        }
        try engine.endDecode()
        return finish
    }
}

extension RunService {
    /// What this prefill says about the worker.
    private func count(_ engine: ShardEngine, _ run: Run, seconds: Double) {
        let (work, plan, rank) = (model.shape.work, run.assignment.plan, run.rank)
        let layers = Double(model.shape.layers)
        let next = run.members.count > 1 ? run.members[(rank + 1) % run.members.count].name : nil
        statistics.count(
            prefill: engine.timings, tokens: run.assignment.tokens, seconds: seconds, next: next,
            operations: (
                attention: layers * Double(plan.causalArea(of: rank)) * work.attentionOperations,
                dense: layers * Double(run.assignment.tokens) * work.denseOperations
            ))
    }

    /// Everything that is counted and measured here.
    func metrics() -> [MetricFamily] {
        let running = running
        return [
            .gauge(
                "lariat_build_info", "1; what this is is in the labels.",
                [
                    Labelled(
                        1,
                        [
                            "worker": configuration.name, "model": model.name,
                            "isa": configuration.isa.rawValue, "precision": configuration.precision.rawValue,
                            "version": configuration.version,
                        ])
                ]),
            .gauge(
                "lariat_known_epoch", "The newest epoch of the cluster that this worker knows.",
                Double(knownEpoch)),
            .gauge("lariat_runs_running", "Jobs that run here.", (running?.job ?? "").isEmpty ? 0 : 1),
            .gauge(
                "lariat_kv_used_bytes", "Keys and values held for the job.", Double(running?.kvBytes ?? 0)),
            .gauge(
                "lariat_kv_capacity_bytes", "What keys and values may use.", Double(configuration.memoryBytes)
            ),
            .gauge("lariat_threads", "Compute threads.", Double(configuration.threads)),
        ] + statistics.families() + ProcessMetrics.current()
    }

    /// Which tokens were likeliest, where the job asks for it.
    private func likeliest(_ run: Run, _ logits: [Float]) throws(ModelError) -> LikelyTokens? {
        guard run.topProbabilities > 0 else { return nil }
        do throws(SamplingError) {
            let found = try Sampler.likeliest(run.topProbabilities, of: logits.span)
            return .with {
                $0.tokens = found.map { UInt32($0.token) }
                $0.logProbabilities = found.map(\.logProbability)
            }
        } catch { throw .unsupported("the likeliest tokens cannot be told: \(error)") }
    }
}

extension TraceSpanMessage {
    init(_ span: TimelineSpan, since start: ContinuousClock.Instant) {
        self.init()
        kind =
            switch span.kind {
            case .dense: .dense
            case .attention: .attention
            case .wait: .wait
            case .transfer: .transfer
            case .decode: .decode
            }
        layer = UInt32(clamping: span.layer)
        step = UInt32(clamping: span.step)
        startMicroseconds = UInt64(max(0, (span.start - start) / .microseconds(1)))
        durationMicroseconds = UInt64(max(0, span.duration / .microseconds(1)))
        bytes = UInt64(span.bytes)
    }
}

/// The coordinator's wish that the leader end its answer, from the network to the engine's thread.
private final class StopRequest: Sendable {
    let requested = Atomic<Bool>(false)
}

/// Carries an engine to its thread. The engine is made on one thread and used by exactly one other afterwards.
private struct EngineBox: @unchecked Sendable {
    let engine: ShardEngine
    let meter: RingMeter
    let peersSentTo: Set<Int>
    let cancel: @Sendable () -> Void

    init(
        model: Model, compute: Compute, weights: UnpackedWeights, run: Run, links: RingLinks
    ) throws(RPCStatus) {
        do throws(ModelError) {
            engine = try ShardEngine(
                model: model, compute: compute, weights: weights, profile: run.profile,
                assignment: run.assignment, peer: links, stall: run.stall)
        } catch { throw run.status(for: error) }
        cancel = engine.cancel
        meter = engine.meter
        var peers: Set<Int> = [(run.rank + 1) % run.members.count]
        if run.kind == .generate {
            if run.assignment.isLeader {
                peers.formUnion(run.assignment.followers)
            } else if run.assignment.followers.contains(run.rank) {
                peers.insert(run.assignment.plan.leader)
            }
        }
        peers.remove(run.rank)
        peersSentTo = peers
    }
}
