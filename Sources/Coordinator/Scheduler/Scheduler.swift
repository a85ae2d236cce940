// What the coordinator decides, as one value: inputs and the time go in, effects come out.
import Observability
import Messages

/// The coordinator without its clock, sockets, disk and dice.
///
/// It holds who is in the cluster, what waits, what runs and what was measured, and `step` is the only way to change
/// it: one input at a time, each with the time at which it came. A step returns what is to be done, in order, and
/// waits for nothing: what takes time (calling workers, writing to the journal, measuring) is an effect, and what came
/// of it is a later input. The same inputs at the same times lead to the same effects, so a whole day of a cluster is a
/// text that a test can replay (`Tests/CoordinatorTests/Scenarios`).
///
/// The life of a job is: `asked` (admission, effect `accept`), `submitted` (it is in the journal and waits), effect
/// `reach` (its workers are chosen; can all be spoken to?), `reached` and effect `start` (it is planned, its workers are
/// called), `run` (what workers report, handled by `RunState`), effect `finish` (the calls are to end), `ended` (they
/// have). A job that had not begun when its run failed waits again at the place that it had.
///
/// Effects on one job are to be carried out in the order in which they are given. `CoordinatorCore` does so.
package struct Scheduler: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// A job that has not ended, or whose end is not in the journal yet.
    struct Job: Sendable {
        var record: JobRecord
        /// The journal's number: its place among those that wait.
        let sequence: Int64
        /// How often later jobs have passed it while it waited.
        var passed = 0
        var end = End.ahead
        /// Of its prompt; nil where nothing of it is shared.
        var chain: TokenChain?
        /// A worker lacked what it was to continue: it is computed from its first token on.
        var startsAnew = false

        enum End: Sendable {
            case ahead
            /// The journal was given its end.
            case beingWritten
            /// The journal did not take what the job produced; its end, which says so, was given to it.
            case beingForced
            /// The journal did not take its end.
            case unsaved
            /// It is given the end again.
            case beingRetried
            /// It is in the journal.
            case written
        }
    }
    /// One attempt at a job, from the choice of its workers until their calls are over.
    struct Run: Sendable {
        let id: RunID
        /// In the order of ranks.
        let workers: [MemberRecord]
        let names: Set<String>
        let epoch: UInt64
        let since: Instant
        /// What it continues.
        var past: RunPast?
        /// Nil until all workers were reached.
        var started: (state: RunState, plan: JobPlan)?
        /// Somebody cancelled the job after this run was over and before its calls were.
        var isCancelled = false
    }

    package let configuration: CoordinatorConfiguration
    package let model: any ModelDescription
    let admission: Admission
    package internal(set) var members: MemberTable
    var queue: JobQueue
    var jobs: [String: Job] = [:]
    /// By job; no worker is in two of them.
    var runs: [String: Run] = [:]
    /// Counts runs.
    var turns: UInt64 = 0
    /// Which start of the coordinator this is.
    let start: UInt64
    var sequences: SequenceTable
    var contexts = ContextTable()
    /// What each worker is to forget with its next heartbeat.
    var drops = DropLists()
    var speeds = WorkerSpeeds()
    /// What the workers were measured at last, and whose rates that are.
    var measured: (identities: [String], rates: [WorkerRates])?
    var measuring: Measuring?
    /// The workers that were measured for their shares, or could not be.
    var compared: [String] = []
    var lastJoin: Instant?
    private var lastLook: Instant?
    var finishedSinceForgetting = 0
    package internal(set) var statistics = CoordinatorStatistics()
    private var throughput: Throughput
    /// No more jobs are taken or started.
    package internal(set) var isStopping = false
    var effects: [Effect] = []

    /// Between two looks at what could start or be written while nothing else happens: predictions move with time.
    private static let lookInterval: Duration = .milliseconds(100)

    /// - Parameter start: counts the starts of this coordinator; epochs begin above those of the one before.
    package init(
        configuration: CoordinatorConfiguration, model: any ModelDescription, start: UInt64, at now: Time
    ) {
        self.configuration = configuration
        self.model = model
        self.start = start
        sequences = SequenceTable(kvBytesPerToken: model.kvBytesPerToken)
        admission = Admission(model: model)
        queue = JobQueue(limit: configuration.queueLimit)
        members = MemberTable(
            requirements: MemberTable.Requirements(
                model: model.name, fingerprint: model.fingerprint, precision: configuration.precision,
                lostAfter: .seconds(configuration.lostSeconds)), epoch: start * 1_000_000)
        throughput = Throughput(at: now.instant)
    }

    /// Handles one input.
    /// - Returns: what is to be done, in order.
    package mutating func step(_ input: Input, at now: Time) -> [Effect] {
        switch input {
        case .restarted(let found): restart(found)
        case .chained(let id, let chain): jobs[id]?.chain = chain
        case .contexts(let known): restore(known, at: now)
        case .asked(let options, let prompt, let seed, let owner):
            admit(options, prompt, seed: seed, owner: owner, at: now)
        case .refused(let kind): statistics.count(refused: kind.rawValue)
        case .submitted(let job, let sequence): enqueue(job, sequence, at: now)
        case .notSubmitted(let kind):
            queue.release()
            statistics.count(refused: kind.rawValue)
        case .cancel(let id): cancel(id, at: now)
        case .written(let id): written(id)
        case .unwritten(let id, let error): unwritten(id, error, at: now)
        case .removed(let name): remove(name, at: now)
        case .pinned(let name, let isPinned): pin(name, isPinned)
        case .register(let request): register(request, at: now)
        case .heartbeat(let request): heartbeat(request, at: now)
        case .leave(let request): leave(request, at: now)
        case .drain(let request): drain(request, at: now)
        case .broken(let worker, let reason): lose(worker, reason: reason, at: now)
        case .reached(let id, let lastToken): start(id, lastToken: lastToken, at: now)
        case .unreachable(let id, let failures): putBack(id, unreachable: failures, at: now)
        case .unreadable(let id, let error): fail(id, error, at: now)
        case .run(let id, let input): report(input, of: id, at: now)
        case .ended(let id): ended(id, at: now)
        case .wanted(let workers): measure(workers, comparing: false)
        case .measured(let result): learn(result, at: now)
        case .closing: isStopping = true
        case .stop: stop(at: now)
        case .tick: tick(at: now)
        }
        defer { effects = [] }
        return effects
    }

    private mutating func tick(at now: Time) {
        expire(at: now)
        for run in runs.values.map(\.id).sorted() { report(.tick, of: run, at: now) }
        let sums = tokens
        throughput.look(at: now.instant, sums: sums, running: runs.count, waiting: queue.count)
        if let lastLook, now.instant - lastLook < Self.lookInterval { return }
        lastLook = now.instant
        saveUnsaved()
        for entry in sequences.expire(at: now.instant) { forget(entry) }
        place(at: now)
    }

    // MARK: placing

    /// Starts the jobs that can run. Waits a moment after a worker has joined: others may come.
    mutating func place(at now: Time) {
        let ready = members.ready
        guard measuring == nil, !isStopping, queue.count > 0, !ready.isEmpty else { return }
        if let lastJoin, now.instant - lastJoin < .seconds(configuration.settleSeconds) { return }
        if compares(ready) { return }
        for start in starts(at: now.instant) {
            guard jobs[start.id] != nil, queue.remove(start.id) else { continue }
            for id in start.passes { jobs[id]?.passed += 1 }
            jobs[start.id]?.passed = 0
            turns += 1
            let run = Run(
                id: RunID(job: start.id, turn: turns),
                workers: start.workers.compactMap { name in ready.first { $0.name == name } },
                names: Set(start.workers), epoch: members.epoch, since: now.instant,
                past: start.past.map { RunPast(sequence: $0.sequence, tokens: UInt64($0.tokens)) })
            runs[start.id] = run
            if let past = run.past { sequences.use(past.sequence, by: run.id) }
            effects.append(.reach(run.id, run.workers))
        }
    }

    private func starts(at now: Instant) -> [Placement.Start] {
        let holders = members.holders
        return placement(at: now).starts(
            queue.ids.lazy.compactMap { id -> Placement.Waiting? in
                guard let job = jobs[id], ingestion(before: job.record) == nil else { return nil }
                return Placement.Waiting(
                    job.record, passed: job.passed, past: past(for: job, holders: holders))
            })
    }

    /// Who could start where, as things are.
    func placement(at now: Instant) -> Placement {
        Placement(
            ready: members.ready,
            running: runs.values.map { run in
                Placement.Running(
                    workers: run.names,
                    secondsLeft: run.started.flatMap {
                        JobCost.secondsLeft($0.state.record, elapsed: (now - run.since) / .seconds(1))
                    })
            },
            fits: { [admission, taken = sequences.pinnedTokens()] tokens, members in
                admission.memoryText(tokens: tokens, members: members, taken: taken) == nil
            },
            predict: { [admission, measured = ratesByName] job, members in
                JobCost(work: CostModel.Work(admission.model, scores: job.scores), measured: measured)
                    .seconds(
                        promptTokens: job.promptTokens, answerTokens: job.answers ? job.answerTokens : 0,
                        past: job.past?.tokens ?? 0, on: members)
            })
    }

    // MARK: figures

    /// Tokens since the start, of all jobs.
    package var tokens: (prompt: Double, generated: Double) {
        let ended = statistics.endedTokens
        let now = unendedTokens
        return (ended.prompt + now.prompt, ended.generated + now.generated)
    }

    /// Tokens of the jobs that run.
    package var unendedTokens: (prompt: Double, generated: Double) {
        runs.values.reduce(into: (0, 0)) { sums, run in
            guard let record = run.started?.state.record else { return }
            sums.0 += Double(record.prefilledTokens) - Double(record.cachedTokens)
            sums.1 += Double(record.generatedTokens)
        }
    }

    /// What is in memory beyond runs.
    package var keptSequences: SequenceTable { sequences }
    /// The last hour, oldest first.
    package var lastHour: [Throughput.Sample] { throughput.samples }
    /// Runs whose calls are not over.
    package var runCount: Int { runs.count }
}
