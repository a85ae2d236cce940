// A running job as a state machine: what workers report goes in, what to do comes out. No clocks, no sockets, no
// journal, so that each failure can be tested in a line.
import Foundation
package import Messages
import Numerals
package import Observability
import Protobuf
import RingAttention

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
        /// After the first complaint, how long to wait for what the others have to say.
        package var blame: Duration = .seconds(2)

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
        /// A heartbeat of a worker.
        case heartbeat(worker: String, RunProgress?, hasGotOn: Bool)
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
        /// All workers have the prompt's whole tiles in memory beyond the run, with so many bytes by rank.
        case kept([UInt64])
        /// Keep a part of the timeline.
        case trace(TracePart)
        /// The record has changed in a way that is shown but not kept.
        case progress
        /// The job is over; the last event was published. Calls are to be cancelled unless it succeeded.
        case finished
    }

    /// How often a job is started before it fails for a worker's fault that came before it had begun.
    package static let mostAttempts: UInt64 = 5
    /// Spans of the timeline that are kept of one worker.
    package static let mostSpans = 200_000

    enum Phase: Equatable { case accepting, prefill, decode, over }
    struct Rank: Sendable {
        let name: String
        let share: Double
        var accepted = false
        var layers = 0
        var spans = 0
        var finished = false
        /// Bytes that it keeps beyond the run, once it has said so.
        var kept: UInt64?
        /// Of prefill so far, as its last heartbeat said.
        var computeSeconds = 0.0
        var waitSeconds = 0.0
    }
    package internal(set) var record: JobRecord
    /// Times between the tokens of the answer.
    package internal(set) var tokenGaps = CoordinatorStatistics.tokenGaps
    var lastToken: Instant?
    let leader: Int
    let layers: Int
    /// Of the prompt, that are to stay in memory beyond the run; 0: none.
    let keptTokens: Int
    let limits: Limits
    var ranks: [Rank]
    var phase = Phase.accepting
    var output: RunOutput
    let startedAt: Instant
    var lastHeard: Instant
    var finishing: Instant?
    var blame = Blame()
    /// The rank that each rank was last seen waiting for.
    var waits: [Int: Int] = [:]
    /// When the first rank complained, and what each said.
    var firstComplaint: Instant?
    var complaints: [Int: FaultMessage] = [:]
    /// Why it did not end well.
    package private(set) var failure: JobFault?
    /// Something was computed that the record shows.
    var hasBegun = false
    var stopped = false
    var finish = Finish.unspecified

    private var lastFlush: Instant
    var actions: [Action] = []

    /// - Parameters:
    ///   - record: the job as it is queued; its shares say who has how much, its cached tokens what is there already.
    ///   - layers: of the model.
    ///   - keptTokens: of the prompt, that are to stay in memory beyond the run; 0: none.
    package init(
        record: JobRecord, leader: Int, layers: Int, keptTokens: Int = 0, text: any TokenTextStream,
        limits: Limits, at now: Instant, wallMicroseconds: UInt64
    ) {
        self.keptTokens = keptTokens
        self.record = record
        self.leader = leader
        self.layers = max(1, layers)
        self.limits = limits
        output = RunOutput(text: text, stops: record.options?.stop ?? [])
        ranks = record.shares.map {
            Rank(name: $0.worker, share: Double($0.tokens) / Double(max(1, record.promptTokens)))
        }
        startedAt = now
        lastHeard = now
        lastFlush = now - limits.batch
        self.record.state = .prefill
        self.record.reason = ""
        self.record.startedMicroseconds = wallMicroseconds
        self.record.prefilledTokens = record.cachedTokens
    }

    package var isOver: Bool { phase == .over }
    /// The run is over and the job waits again: it had not begun.
    package var isReturned: Bool { isOver && record.state == .queued }

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
                fail(JobFault(.lost, accused: [worker], detail: reason))
            }
        case .heartbeat(let worker, let progress, let hasGotOn):
            if hasGotOn { lastHeard = now }
            guard let progress, let rank = ranks.firstIndex(where: { $0.name == worker }) else { break }
            waits[rank] = progress.waitsFor == 0 ? nil : Int(progress.waitsFor) - 1
            advanced(rank, progress)
        case .cancel: end(.cancelled, reason: "cancelled by request", finish: .cancelled)
        case .stop: fail(JobFault(.stopped, detail: "the coordinator stops"))
        case .tick: tick(now)
        }
        if phase != .over, finishing != nil, ranks.allSatisfy(\.finished) { succeed() }
        if phase == .over {
            if !isReturned { record.finishedMicroseconds = wallMicroseconds }
            publishEnd()
        } else if output.hasTokens, now - lastFlush >= limits.batch {
            flush(now)
        }
        return take()
    }

    /// Ends the job for a reason that lies with the coordinator itself.
    package mutating func abort(_ reason: String, wallMicroseconds: UInt64) -> [Action] {
        guard phase != .over else { return [] }
        fail(JobFault(.coordinator, detail: reason))
        record.finishedMicroseconds = wallMicroseconds
        publishEnd()
        return take()
    }

    /// The job was over, but its end could not be written: it did not succeed for anybody.
    package mutating func overrule(_ reason: String) {
        record.state = .failed
        record.fault = JobFault(.coordinator, detail: reason)
        record.reason = reason
        record.finish = .error
    }

    // MARK: failing

    private mutating func ended(_ rank: Int, _ failure: WorkerFailure?, at now: Instant) {
        let worker = ranks[rank].name
        if let failure, failure.connectionLost {
            return fail(JobFault(.lost, accused: [worker], detail: failure.message))
        }
        // One that gave up has said why, in an event before the end.
        guard complaints[rank] == nil else { return }
        let detail = failure?.message ?? "it ended the job before its time"
        complained(
            rank,
            .with {
                $0.kind = .own
                $0.accused = UInt32(rank)
                $0.detail = detail
            }, at: now)
    }

    private mutating func tick(_ now: Instant) {
        if let firstComplaint, now - firstComplaint >= limits.blame, let verdict { return fail(verdict) }
        if phase == .accepting, now - startedAt > limits.accept, firstComplaint == nil {
            return fail(
                JobFault(
                    .late, accused: names { !$0.accepted },
                    detail: "no answer to the plan within \(seconds(limits.accept)) s"))
        }
        if let finishing, now - finishing > limits.finish {
            return fail(
                JobFault(
                    .unfinished, accused: names { !$0.finished },
                    detail: "it did not finish within \(seconds(limits.finish)) s of the others"))
        }
        if now - lastHeard > limits.silence {
            return fail(
                JobFault(
                    .quiet, detail: "no worker reported anything for \(seconds(limits.silence)) s"))
        }
    }

    private func names(_ those: (Rank) -> Bool) -> [String] { ranks.filter(those).map(\.name) }

    // MARK: ending

    private mutating func succeed() {
        output.endText()
        if record.options?.kind == .ingest, !hasEverything {
            return fail(
                JobFault(
                    .nonsense, accused: names { $0.kept == nil },
                    detail: "ended without keeping the context"))
        }
        if record.options?.kind == .score {
            guard hasEverything else {
                return fail(
                    JobFault(
                        .coordinator,
                        detail:
                            "the workers sent \(output.scoreCount.grouped) scores for \(record.promptTokens.grouped) tokens. This is "
                            + "a fault of Lariat; please report it."))
            }
            record.meanNLL = output.meanScore()
            record.perplexity = exp(record.meanNLL)
        }
        record.prefilledTokens = record.promptTokens
        let most = UInt64(record.options?.maxTokens ?? 0)
        if finish == .unspecified, most > 0, record.generatedTokens == most { finish = .length }
        end(.succeeded, reason: "", finish: finish == .unspecified ? .end : finish)
    }

    /// All that the job asked for is there, whatever becomes of its workers now.
    private var hasEverything: Bool {
        switch record.options?.kind {
        case .generate: break
        case .ingest: return ranks.allSatisfy { $0.kept != nil }
        default: return output.scoreCount == Int(clamping: record.promptTokens) - 1
        }
        return stopped || ranks[leader].finished
            || record.generatedTokens == UInt64(record.options?.maxTokens ?? 0)
    }

    mutating func fail(_ given: JobFault) {
        if given.kind != .coordinator, given.kind != .nonsense, hasEverything { return succeed() }
        let cause = located(given)
        failure = cause
        if cause.mayPass, !hasBegun, record.attempt < Self.mostAttempts || cause.kind == .stopped {
            return goBack(cause)
        }
        record.fault = cause
        end(.failed, reason: cause.text(layers: layers, attempt: record.attempt), finish: .error)
    }

    /// Nothing was computed or shown: the job waits again, at the place that it had.
    private mutating func goBack(_ cause: JobFault) {
        phase = .over
        record.state = .queued
        record.reason = ""
        record.shares = []
        record.cachedTokens = 0
        record.prefilledTokens = 0
        record.straggler = nil
        record.isa = ""
        record.startedMicroseconds = 0
        // That the coordinator stops is no failed attempt.
        if cause.kind != .stopped { record.attempt += 1 }
    }

    private mutating func end(_ state: JobState, reason: String, finish: Finish) {
        if state != .succeeded { output.releaseText() }
        phase = .over
        record.state = state
        record.reason = reason
        record.finish = finish
    }

    mutating func wrong(_ rank: Int, _ what: String) {
        fail(JobFault(.nonsense, accused: [ranks[rank].name], detail: what))
    }

    /// With the place where the job was.
    private func located(_ given: JobFault) -> JobFault {
        var fault = given
        switch phase {
        case .accepting: fault.phase = .accepting
        case .prefill:
            fault.phase = .prefilling
            fault.layer = UInt32(min((ranks.map(\.layers).min() ?? 0) + 1, layers))
        case .decode:
            fault.phase = .decoding
            fault.token = record.generatedTokens
        case .over: break
        }
        return fault
    }

    private func seconds(_ duration: Duration) -> Int { Int(duration / .seconds(1)) }

    // MARK: publishing

    private mutating func flush(_ now: Instant) {
        publishText()
        lastFlush = now
    }

    private mutating func publishText() {
        if let event = output.take() { actions.append(.publish(event)) }
    }

    mutating func publishState() {
        actions.append(.publish(JobEvent(.state(record))))
    }

    private mutating func publishEnd() {
        publishText()
        actions.append(.publish(JobEvent(isReturned ? .state(record) : .end(record))))
        actions.append(.finished)
    }

    private mutating func take() -> [Action] {
        defer { actions = [] }
        return actions
    }
}
