// A job on the engine's thread: prefill, scores and decode, with events out and commands in meanwhile.
import KVCache
import Messages
import Numerals
import Protobuf
import RPC
import RingAttention
import RingTransport
import Sampling
import Tokenizer
import Transformer

extension RunService {
    private typealias Events = HandOff<RunEvent, Never>

    /// Runs the engine on its own thread while events go out and commands come in.
    func compute(
        _ work: RunWork, _ shard: Shard, _ links: RingLinks,
        _ commands: RPCReader<RunCommand>, _ events: RPCWriter<RunEvent>
    ) async throws {
        let queue = Events(capacity: Self.eventQueue)
        let stop = Flag()
        try await withTaskCancellationHandler {
            async let sent: Void = {
                while let event = await queue.take() { try await events.write(event) }
            }()
            // Cancelled when this scope ends: the coordinator keeps its side open.
            async let _: Void = {
                while let command = try await commands.next() {
                    if command == .stop { stop.set() }
                }
            }()
            defer { queue.close() }
            let finished: RunEvent
            do throws(ModelError) {
                finished = try await onComputeThread("lariat engine") { () throws(ModelError) -> RunEvent in
                    try self.carryOut(work, shard, links, queue, stop)
                }
            } catch {
                throw work.run.fault(for: error)
            }
            queue.close()
            try await sent
            try await events.write(finished)
        } onCancel: {
            work.cancel()
            queue.close()
        }
    }

    /// The job itself, on the engine's thread.
    private func carryOut(
        _ work: RunWork, _ shard: Shard, _ links: RingLinks, _ queue: Events, _ stop: Flag
    ) throws(ModelError) -> RunEvent {
        let (run, recorder) = (work.run, work.recorder)
        func emit(_ event: RunEvent) throws(ModelError) {
            guard queue.putBlocking(event, deadline: .now + run.stall) == true else {
                throw .ring(.cancelled)
            }
        }
        try pinCaller()
        var finish = Finish.end
        let start = ContinuousClock.now
        let layers = model.shape.layers
        let slabs = run.assignment.slabs
        var first = 0
        for (number, slab) in slabs.enumerated() {
            let rows = first..<first + run.assignment.rows(of: slab).count
            first = rows.upperBound
            try work.prefill.prefill(slab: slab, tokens: Array(shard.tokens[rows])) {
                done throws(ModelError) in
                let sum = number * layers + done
                work.meter.layersDone = sum
                try emit(
                    .progress(
                        PrefillProgress(
                            layers: UInt32(layers * slabs.count), prefilledLayers: UInt32(sum))))
                if recorder.timeline.spans.count >= Self.spansPerEvent {
                    try emit(Self.trace(&recorder.timeline, since: start))
                }
            }
            if run.kind == .score {
                try score(slab, next: Array(shard.next[rows]), work, emit)
            }
        }
        let follows = run.kind == .generate && run.assignment.followers.contains(run.rank)
        if run.assignment.isStationary, follows { try work.decode.followExtension() }
        var logits: [Float] = []
        if run.kind == .generate, run.assignment.isLeader {
            logits =
                run.assignment.isStationary
                ? try work.decode.extend(tokens: shard.tokens) : try work.prefill.lastLogits()
        }
        let prefilled = ContinuousClock.now
        let (seconds, waited) = ((prefilled - start).seconds, recorder.timings.wait.seconds)
        count(work, seconds: seconds)
        if let kept = keep(work) { try emit(.kept(kept)) }
        try emit(
            .log(
                RunLog(
                    level: "info",
                    text: "prefill of \(run.assignment.tokens.grouped) tokens took "
                        + "\(Self.rounded(seconds)) s, "
                        + "\(Self.rounded(waited)) s of it waiting for blocks; "
                        + "\(links.bytesSent.grouped) bytes sent, \(links.bytesReceived.grouped) received")))
        if run.kind == .generate {
            if run.assignment.isLeader {
                finish = try generate(work, from: logits, stop, emit)
            } else if follows {
                try work.decode.follow()
            }
        }
        if !recorder.timeline.spans.isEmpty { try emit(Self.trace(&recorder.timeline, since: start)) }
        let share = WorkerShare.with {
            $0.rank = UInt32(run.rank)
            $0.worker = configuration.name
            $0.tokens = UInt64(run.assignment.layout.count(of: run.rank, in: run.promptTokens))
            $0.kvBytes = UInt64(work.sequence.writtenBytes)
            $0.ringBytesSent = UInt64(links.bytesSent)
            $0.ringBytesReceived = UInt64(links.bytesReceived)
            $0.waitSeconds = waited
            $0.computeSeconds = max(0, seconds - waited)
            $0.steps = recorder.timings.steps.enumerated().map { number, step in
                .with {
                    $0.step = UInt32(number)
                    $0.computeSeconds = step.compute.seconds
                    $0.waitSeconds = step.wait.seconds
                    $0.wireSeconds = step.wire.seconds
                    $0.bytes = number == 0 ? 0 : UInt64(step.bytes)
                }
            }
        }
        return .finished(
            RunResult(
                finish: finish, share: share, prefillSeconds: seconds,
                decodeSeconds: (ContinuousClock.now - prefilled).seconds))
    }

    /// What happened since the last such event.
    private static func trace(_ timeline: inout Timeline, since start: ContinuousClock.Instant) -> RunEvent {
        let spans = timeline.take()
        return .trace(RunTrace(spans: spans.map { TraceSpanMessage($0, since: start) }))
    }

    private static func rounded(_ seconds: Double) -> Double { (seconds * 100).rounded() / 100 }

    /// The scores of a slab that was prefilled.
    private func score(
        _ slab: Range<Int>, next: [Int32], _ work: RunWork, _ emit: (RunEvent) throws(ModelError) -> Void
    ) throws(ModelError) {
        let run = work.run
        let nll = try work.prefill.scores(next: next)
        var row = 0
        for positions in run.assignment.runs(in: slab) {
            // The score in a token's row is that of the token after it; the prompt's last token has none.
            let end = min(positions.upperBound, run.promptTokens - 1)
            var position = positions.lowerBound
            while position < end {
                let count = min(Self.scoresPerEvent, end - position)
                let at = row + position - positions.lowerBound
                try emit(
                    .scores(
                        Scores(firstPosition: UInt64(position + 1), nll: Array(nll[at..<at + count]))))
                position += count
            }
            row += positions.count
        }
    }

    /// Decodes on the leader; returns why the answer ended.
    private func generate(
        _ work: RunWork, from logits: [Float], _ stop: Flag,
        _ emit: (RunEvent) throws(ModelError) -> Void
    ) throws(ModelError) -> Finish {
        let run = work.run
        var sampler = Sampler(run.sampling)
        for token in run.recent { sampler.accept(token: token) }
        var logits = logits
        var finish = Finish.length
        for index in 0..<run.maxTokens {
            if stop.isSet {
                finish = .stop
                break
            }
            let choice: (token: Int32, logProbability: Float)
            do throws(SamplingError) {
                choice = try sampler.next(logits: logits.span)
            } catch { throw .unsupported("no token can be chosen: \(error)") }
            if !run.ignoreEnd, model.tokenizer.ends.contains(choice.token) {
                finish = .end
                break
            }
            sampler.accept(token: choice.token)
            let likely = try likeliest(run, logits)
            try emit(
                .token(
                    ChosenToken(
                        token: UInt32(choice.token), logProbability: choice.logProbability, likely: likely)))
            guard index + 1 < run.maxTokens else { break }
            try work.recorder.noting(.decode, index) { () throws(ModelError) in
                logits = try work.decode.decode(token: choice.token, index: index)
            }
        }
        try work.decode.end()
        return finish
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
