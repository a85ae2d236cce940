// A running job as a state machine: what workers report goes in, what to do comes out. No clocks, no sockets, no
// journal, so that each failure can be tested in a line.
import Foundation
package import Observability
package import RPC
import Sampling

/// One job from the moment its workers are called until it has ended.
package struct RunState: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// Waits that a run has.
    package struct Limits: Sendable {
        package var accept: Duration
        /// Between the leader's end and everybody's end.
        package var finish: Duration = .seconds(15)
        /// No word from any worker, and no heartbeat that says that one has got on: a layer of a very long prompt may take
        /// longer than this.
        package var silence: Duration
        /// Text is kept back at most so long, to be written in one piece.
        package var batch: Duration = .milliseconds(50)
        /// After the first complaint, how long to wait for one that names the cause.
        package var blame: Duration = .seconds(1)

        package init(accept: Duration, silence: Duration) {
            self.accept = accept
            self.silence = silence
        }
    }
    package enum Input: Sendable {
        case event(rank: Int, RunEvent)
        /// The worker's stream ended; nil: normally.
        case ended(rank: Int, WorkerFailure?)
        case lost(worker: String, reason: String)
        /// A heartbeat says that a worker has got on.
        case alive
        case cancel
        /// The coordinator shuts down.
        case stop
        case tick
    }
    /// What the driver has to do, in order.
    package enum Action: Equatable, Sendable {
        /// All workers have their part.
        case start
        /// Tell this rank, the leader, to end the answer.
        case stop(rank: Int)
        case publish(JobEvent)
        case log(LogLine)
        /// Keep a part of the timeline.
        case trace(TracePart)
        /// The record has changed in a way that is shown but not kept.
        case progress
        /// The job is over; the last event was published. Calls are to be cancelled unless it succeeded.
        case finished
    }

    /// Spans of the timeline that are kept of one worker.
    package static let mostSpans = 200_000

    private enum Phase: Equatable { case accepting, prefill, decode, over }
    private struct Rank: Sendable {
        let name: String
        let share: Double
        var accepted = false
        var layers = 0
        var spans = 0
        var finished = false
    }
    private struct Complaint: Sendable {
        var since: Instant
        /// It names another worker.
        var accuses: Bool
        var reason: String
    }

    package private(set) var record: JobRecord
    /// Times between the tokens of the answer.
    package private(set) var tokenGaps = CoordinatorStatistics.tokenGaps
    private var lastToken: Instant?
    private let leader: Int
    private let layers: Int
    private let limits: Limits
    private var ranks: [Rank]
    private var phase = Phase.accepting
    private var text: any TokenTextStream
    private var matcher: StopMatcher
    private let startedAt: Instant
    private var lastHeard: Instant
    private var finishing: Instant?
    private var complaint: Complaint?
    private var stopped = false
    private var finish = ""

    private var pendingText: [UInt8] = []
    private var pendingTokens: [UInt32] = []
    private var pendingProbabilities: [Float] = []
    private var pendingLikely: [LikelyTokens] = []
    private var lastFlush: Instant
    private var scores: [(position: UInt64, count: Int, sum: Double)] = []
    private var actions: [Action] = []

    /// - Parameters:
    ///   - record: the job as it is queued; its shares say who has how much.
    ///   - layers: of the model.
    package init(
        record: JobRecord, leader: Int, layers: Int, text: any TokenTextStream, limits: Limits,
        at now: Instant,
        wallMicroseconds: UInt64
    ) {
        self.record = record
        self.leader = leader
        self.layers = max(1, layers)
        self.limits = limits
        self.text = text
        matcher = StopMatcher(stops: record.options?.stop ?? [])
        ranks = record.shares.map {
            Rank(name: $0.worker, share: Double($0.tokens) / Double(max(1, record.promptTokens)))
        }
        startedAt = now
        lastHeard = now
        lastFlush = now - limits.batch
        self.record.state = .prefill
        self.record.reason = ""
        self.record.startedMicroseconds = wallMicroseconds
    }

    package var isOver: Bool { phase == .over }

    /// The first event: the job has begun.
    package mutating func begin() -> [Action] {
        publishState()
        return take()
    }

    /// Handles one input.
    /// - Parameter wallMicroseconds: for the record only; waits go by `now`.
    package mutating func handle(_ input: Input, at now: Instant, wallMicroseconds: UInt64) -> [Action] {
        guard phase != .over else { return [] }
        switch input {
        case .event(let rank, let event) where ranks.indices.contains(rank):
            lastHeard = now
            handle(event, from: rank, at: now)
        case .event: break
        case .ended(let rank, let failure) where ranks.indices.contains(rank):
            if ranks[rank].finished, failure == nil { break }
            ended(rank, failure, at: now)
        case .ended: break
        case .lost(let worker, let reason):
            if ranks.contains(where: { $0.name == worker && !$0.finished }) {
                fail(lostText(worker, reason))
            }
        case .alive: lastHeard = now
        case .cancel: end(.cancelled, reason: "cancelled", finish: "cancelled")
        case .stop: fail("the coordinator was stopped \(place); submit the job again")
        case .tick: tick(now)
        }
        if phase != .over, finishing != nil, ranks.allSatisfy(\.finished) { succeed() }
        if phase == .over {
            record.finishedMicroseconds = wallMicroseconds
            publishEnd()
        } else if !pendingTokens.isEmpty, now - lastFlush >= limits.batch {
            flush(now)
        }
        return take()
    }

    /// Ends the job for a reason that lies with the coordinator itself.
    package mutating func abort(_ reason: String, wallMicroseconds: UInt64) -> [Action] {
        guard phase != .over else { return [] }
        fail(reason)
        record.finishedMicroseconds = wallMicroseconds
        publishEnd()
        return take()
    }

    /// The job was over, but its end could not be written: it did not succeed for anybody.
    package mutating func overrule(_ reason: String) {
        record.state = .failed
        record.reason = reason
        record.finish = "error"
    }

    // MARK: what workers say

    private mutating func handle(_ event: RunEvent, from rank: Int, at now: Instant) {
        switch event.kind {
        case .accepted:
            guard phase == .accepting else { return wrong(rank, "accepted the plan twice") }
            ranks[rank].accepted = true
            if ranks.allSatisfy(\.accepted) {
                phase = .prefill
                actions.append(.start)
            }
        case .progress:
            guard phase != .accepting, event.prefilledLayers <= event.layers, event.layers > 0 else {
                return wrong(rank, "reported impossible progress")
            }
            ranks[rank].layers = layers * Int(event.prefilledLayers) / Int(event.layers)
            let done = ranks.reduce(0) { $0 + $1.share * Double($1.layers) / Double(layers) }
            let tokens = UInt64((done * Double(record.promptTokens)).rounded(.down))
            record.prefilledTokens = max(record.prefilledTokens, min(tokens, record.promptTokens))
            actions.append(.progress)
        case .token: token(event, from: rank, at: now)
        case .scores: scored(event, from: rank)
        case .log:
            actions.append(
                .log(
                    LogLine.with {
                        $0.level = event.level
                        $0.source = ranks[rank].name
                        $0.text = String(event.text.prefix(4096))
                    }))
        case .finished: finished(event, from: rank, at: now)
        case .trace:
            let room = max(0, Self.mostSpans - ranks[rank].spans)
            ranks[rank].spans += event.spans.count
            guard room > 0 else { return }
            actions.append(
                .trace(
                    TracePart.with {
                        $0.rank = UInt32(rank)
                        $0.worker = ranks[rank].name
                        $0.spans = Array(event.spans.prefix(room))
                    }))
        case .unspecified: break
        }
    }

    private mutating func token(_ event: RunEvent, from rank: Int, at now: Instant) {
        guard phase == .prefill || phase == .decode, rank == leader, record.options?.kind == .generate else {
            return wrong(rank, "sent a token out of turn")
        }
        if stopped || ranks[rank].finished { return }
        if phase == .prefill {
            phase = .decode
            record.state = .decode
            record.prefilledTokens = record.promptTokens
            record.firstTokenSeconds = (now - startedAt) / .seconds(1)
            publishState()
        }
        guard record.generatedTokens < UInt64(record.options?.maxTokens ?? 0) else {
            return wrong(rank, "sent more tokens than were asked for")
        }
        record.generatedTokens += 1
        if let lastToken { tokenGaps.observe(now - lastToken) }
        lastToken = now
        pendingTokens.append(event.token)
        if record.options?.logProbabilities == true {
            guard event.logProbability <= 0,
                event.likely?.tokens.count == event.likely?.logProbabilities.count,
                event.likely?.tokens.count ?? 0 <= Admission.mostLikely
            else { return wrong(rank, "sent impossible probabilities") }
            pendingProbabilities.append(event.logProbability)
            if record.options?.topProbabilities ?? 0 > 0 {
                pendingLikely.append(event.likely ?? LikelyTokens())
            }
        }
        let (emit, found) = matcher.push(text.push(event.token))
        pendingText += Array(emit.utf8)
        if found {
            stopped = true
            finish = "stop"
            actions.append(.stop(rank: leader))
        }
    }

    private mutating func scored(_ event: RunEvent, from rank: Int) {
        let end = event.firstPosition.addingReportingOverflow(UInt64(event.nll.count))
        guard phase == .prefill || phase == .decode, record.options?.kind == .score, !end.overflow,
            event.firstPosition > 0, end.partialValue <= record.promptTokens
        else { return wrong(rank, "sent scores out of turn") }
        guard event.nll.allSatisfy(\.isFinite) else {
            return wrong(rank, "computed a score that is no number")
        }
        scores.append(
            (event.firstPosition, event.nll.count, event.nll.reduce(0) { $0 + Double($1) }))
        actions.append(
            .publish(
                JobEvent.with {
                    $0.kind = .scores
                    $0.firstPosition = event.firstPosition
                    $0.nll = event.nll
                }))
    }

    private mutating func finished(_ event: RunEvent, from rank: Int, at now: Instant) {
        guard phase == .prefill || phase == .decode, !ranks[rank].finished else {
            return wrong(rank, "finished out of turn")
        }
        ranks[rank].finished = true
        if let share = event.share, record.shares.indices.contains(rank) {
            var own = share
            own.rank = UInt32(rank)
            own.worker = ranks[rank].name
            record.shares[rank] = own
        }
        if rank == leader {
            record.prefillSeconds = event.prefillSeconds
            record.decodeSeconds = event.decodeSeconds
            if finish.isEmpty { finish = String(event.finish.prefix(64)) }
        }
        if finishing == nil { finishing = now }
    }

    private mutating func ended(_ rank: Int, _ failure: WorkerFailure?, at now: Instant) {
        guard let failure else {
            return fail(brokenText(ranks[rank].name, "it ended the job before its time"))
        }
        if failure.connectionLost { return fail(lostText(ranks[rank].name, failure.message)) }
        // It may be another worker's fault, which that worker's lost connection will tell in a moment.
        let accused = ranks.filter { $0.name != ranks[rank].name && Self.names($0.name, failure.message) }
            .first
        if let accused, complaint?.accuses != true {
            complaint = Complaint(
                since: complaint?.since ?? now, accuses: true,
                reason: lostText(accused.name, "worker \(ranks[rank].name) says: \(failure.message)"))
        } else if complaint == nil {
            complaint = Complaint(
                since: now, accuses: false, reason: brokenText(ranks[rank].name, failure.message))
        }
    }

    /// Whether a message speaks of this worker, not of one whose name begins alike.
    private static func names(_ name: String, _ message: String) -> Bool {
        guard let range = message.range(of: "worker \(name)") else { return false }
        guard range.upperBound < message.endIndex else { return true }
        let next = message[range.upperBound]
        return !(next.isLetter || next.isNumber || next == "-" || next == "_")
    }

    private mutating func tick(_ now: Instant) {
        if let complaint, now - complaint.since >= limits.blame { return fail(complaint.reason) }
        if phase == .accepting, now - startedAt > limits.accept {
            let missing = ranks.filter { !$0.accepted }.map(\.name).joined(separator: ", ")
            return fail(lostText(missing, "no answer to the plan within \(seconds(limits.accept)) s"))
        }
        if let finishing, now - finishing > limits.finish {
            let missing = ranks.filter { !$0.finished }.map(\.name).joined(separator: ", ")
            return fail(
                lostText(missing, "it did not finish within \(seconds(limits.finish)) s of the others"))
        }
        if now - lastHeard > limits.silence {
            return fail(
                "no worker reported anything for \(seconds(limits.silence)) s \(place). Look at the workers' logs, "
                    + "then submit the job again.")
        }
    }

    // MARK: ending

    private mutating func succeed() {
        pendingText += Array(matcher.push(text.finish()).emit.utf8)
        pendingText += Array(matcher.finish().utf8)
        if record.options?.kind == .score {
            let count = scores.reduce(0) { $0 + $1.count }
            guard count == Int(clamping: record.promptTokens) - 1 else {
                return fail(
                    "the workers sent \(count) scores for \(record.promptTokens) tokens. This is a fault of Lariat; "
                        + "please report it.")
            }
            // In order of position, so that the sum does not depend on who was faster.
            scores.sort { $0.position < $1.position }
            record.meanNLL = scores.reduce(0) { $0 + $1.sum } / Double(max(1, count))
            record.perplexity = exp(record.meanNLL)
        }
        record.prefilledTokens = record.promptTokens
        end(.succeeded, reason: "", finish: finish.isEmpty ? "end" : finish)
    }

    private mutating func fail(_ reason: String) { end(.failed, reason: reason, finish: "error") }

    private mutating func end(_ state: JobState, reason: String, finish: String) {
        if state != .succeeded {
            // What was held back as a possible stop string belongs to the answer so far.
            pendingText += Array(matcher.finish().utf8)
        }
        phase = .over
        record.state = state
        record.reason = reason
        record.finish = finish
    }

    private mutating func wrong(_ rank: Int, _ what: String) {
        fail(
            "worker \(ranks[rank].name) \(what) \(place): it does not keep to the protocol. Check that it runs the "
                + "same version of Lariat.")
    }

    /// Where the job was, for people.
    private var place: String {
        switch phase {
        case .accepting: "before the job began"
        case .prefill:
            "in prefill, at layer \(min((ranks.map(\.layers).min() ?? 0) + 1, layers)) of \(layers)"
        case .decode: "in decode, after \(record.generatedTokens) tokens of the answer"
        case .over: "at the end"
        }
    }

    private func lostText(_ worker: String, _ detail: String) -> String {
        "worker \(worker) was lost \(place) (\(detail)). Start it again with `lariat worker --name \(worker)` and the "
            + "options it had, then submit the job again."
    }

    private func brokenText(_ worker: String, _ detail: String) -> String {
        "worker \(worker) failed \(place): \(detail). Look at its log, start it again if it is gone, then submit the "
            + "job again."
    }

    private func seconds(_ duration: Duration) -> Int { Int(duration / .seconds(1)) }

    // MARK: publishing

    private mutating func flush(_ now: Instant) {
        publishText()
        lastFlush = now
    }

    private mutating func publishText() {
        guard !pendingTokens.isEmpty || !pendingText.isEmpty else { return }
        let event = JobEvent.with {
            $0.kind = .tokens
            $0.text = pendingText
            $0.tokens = pendingTokens
            $0.logProbabilities = pendingProbabilities
            $0.likely = pendingLikely
        }
        pendingText = []
        pendingTokens = []
        pendingProbabilities = []
        pendingLikely = []
        actions.append(.publish(event))
    }

    private mutating func publishState() {
        actions.append(
            .publish(
                JobEvent.with {
                    $0.kind = .state
                    $0.job = record
                }))
    }

    private mutating func publishEnd() {
        publishText()
        actions.append(
            .publish(
                JobEvent.with {
                    $0.kind = .end
                    $0.job = record
                }))
        actions.append(.finished)
    }

    private mutating func take() -> [Action] {
        defer { actions = [] }
        return actions
    }
}
