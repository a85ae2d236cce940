// The coordinator's state and decisions: who is there, what waits, what runs.
package import Logging
package import Messages
package import Observability
import Protobuf

/// Serves every request, whatever transport it came by. Blocking work (journal, tokenising) happens elsewhere.
package actor CoordinatorCore {
    /// A job that waits or runs.
    struct Active {
        var record: JobRecord
        var profile: ProfileMessage
        let feed: JobFeed
    }
    struct Running {
        let workers: Set<String>
        let epoch: UInt64
        let since: ContinuousClock.Instant
        let inbox: RunInbox<RunState.Input>
    }

    package nonisolated let configuration: CoordinatorConfiguration
    package nonisolated let model: any ModelDescription
    package nonisolated let journal: Journal
    nonisolated let admission: Admission
    let dialler: any WorkerDialler
    let logger: Logger

    var members: MemberTable
    var queue: JobQueue
    var active: [String: Active] = [:]
    /// By job; no worker is in two of them.
    var running: [String: Running] = [:]
    /// What the workers were measured at last, and whose rates that are.
    var measured: (identities: [String], rates: [WorkerRates])?
    var calibrating: (identities: [String], task: Task<Result<[WorkerRates], Unmeasured>, Never>)?
    var speeds = WorkerSpeeds()
    /// The workers that were measured for their shares, or could not be.
    var compared: [String] = []
    /// How often later jobs have passed one that waits.
    private var passed: [String: Int] = [:]
    /// Ended jobs whose end the journal did not take yet.
    private var unsaved: [String: JobRecord] = [:]
    var lastJoin: ContinuousClock.Instant?
    private var finishedSinceForgetting = 0
    var statistics = CoordinatorStatistics()
    private var throughput = Throughput(at: .now)
    /// No more jobs are taken or started.
    var stopping = false

    /// - Parameters:
    ///   - start: counts the starts of this coordinator; epochs begin above those of the one before.
    package init(
        configuration: CoordinatorConfiguration, model: any ModelDescription, journal: Journal,
        dialler: any WorkerDialler, start: UInt64, logger: Logger
    ) {
        self.configuration = configuration
        self.model = model
        self.journal = journal
        self.dialler = dialler
        self.logger = logger
        admission = Admission(model: model)
        queue = JobQueue(limit: configuration.queueLimit)
        members = MemberTable(
            requirements: MemberTable.Requirements(
                model: model.name, fingerprint: model.fingerprint, precision: configuration.precision,
                lostAfter: .seconds(configuration.lostSeconds)), epoch: start * 1_000_000)
    }

    // MARK: the life of the process

    /// Takes over what the journal holds.
    package func recover() async throws(CoordinatorError) {
        for (sequence, record) in try await journal.recover(at: wallMicroseconds()) {
            queue.restore(record.id, sequence: sequence)
            let last = try await journal.events(record.id, from: 1).last?.number ?? 0
            active[record.id] = Active(
                record: record, profile: record.profile ?? ProfileMessage(),
                feed: JobFeed(record, lastEvent: last))
        }
        if !active.isEmpty { logger.info("jobs wait from before", metadata: ["jobs": "\(active.count)"]) }
    }

    /// Looks after time: lost workers, jobs to start, ends to write down. Returns when cancelled.
    package func watch() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(100))
            expire(at: .now)
            schedule(at: .now)
            throughput.look(
                at: .now, sums: tokens, running: running.count, waiting: queue.count)
            await saveUnsaved()
        }
    }

    /// No more jobs are taken or started. Returns when those that run have ended, or the limit has passed.
    package func drain(limit: Duration) async {
        stopping = true
        let deadline = ContinuousClock.now + limit
        while !running.isEmpty, ContinuousClock.now < deadline, !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    /// No more jobs are started; those that run end as failed.
    package func stop() async {
        stopping = true
        for run in running.values { run.inbox.post(.stop) }
        calibrating?.task.cancel()
        for _ in 0..<100 where !running.isEmpty { try? await Task.sleep(for: .milliseconds(50)) }
    }

    private func expire(at now: ContinuousClock.Instant) {
        for name in members.expire(at: now) {
            let reason = members.reason(name)
            logger.warning("worker lost", metadata: ["worker": "\(name)", "reason": "\(reason)"])
            statistics.count(lost: name)
            postLost(name, reason: reason)
        }
    }

    private func saveUnsaved() async {
        for (id, record) in unsaved {
            let end = JobEvent.with {
                $0.kind = .end
                $0.job = record
            }
            guard (try? await journal.append([end], to: record)) != nil else { return }
            unsaved[id] = nil
        }
    }

    // MARK: jobs

    /// For prompts that are to be submitted now.
    package var encoder: PromptEncoder { PromptEncoder(admission: admission, members: members.ready) }

    /// A prompt was refused before it was submitted.
    package func count(refused error: CoordinatorError) { statistics.count(refused: error.kind.rawValue) }

    /// Admits a job and journals it. The reply may be sent when this returns.
    package func submit(_ options: JobOptions, prompt: [UInt32]) async throws(CoordinatorError) -> JobRecord {
        do throws(CoordinatorError) { return try await admit(options, prompt: prompt) } catch {
            statistics.count(refused: error.kind.rawValue)
            throw error
        }
    }

    private func admit(_ options: JobOptions, prompt: [UInt32]) async throws(CoordinatorError) -> JobRecord {
        guard !stopping else { throw CoordinatorError(.unavailable, "the coordinator is shutting down") }
        let admitted = try admission.admit(
            options, prompt: prompt, members: members.ready, seed: UInt64.random(in: 1...UInt64.max))
        try queue.reserve()
        let job = JobRecord.with {
            $0.options = admitted.options
            // It is in the prompt.
            $0.options?.system = ""
            $0.state = .queued
            $0.submittedMicroseconds = wallMicroseconds()
            $0.promptTokens = UInt64(prompt.count)
            $0.profile = admitted.profile
            $0.note = admitted.note
            $0.model = model.name
            $0.fingerprint = model.fingerprint
            $0.precision = configuration.precision
            $0.attempt = 1
        }
        let written: (record: JobRecord, sequence: Int64)
        do throws(CoordinatorError) { written = try await journal.submit(job, prompt: prompt) } catch {
            queue.release()
            throw CoordinatorError(error.kind, "the job was not accepted: \(error.message)")
        }
        statistics.count(submitted: admitted.options.kind)
        queue.enqueue(written.record.id, sequence: written.sequence)
        active[written.record.id] = Active(
            record: written.record, profile: admitted.profile, feed: JobFeed(written.record, lastEvent: 1))
        logger.info("job submitted", metadata: ["job": "\(written.record.id)", "tokens": "\(prompt.count)"])
        schedule(at: .now)
        return shown(written.record)
    }

    package func job(_ id: String) async throws(CoordinatorError) -> JobRecord {
        // The state is looked at before the text is read: what is said to have ended comes with all of its text.
        let known = live(id)
        let kept = try await journal.job(id)
        let hasEnded = [.succeeded, .failed, .cancelled].contains(kept.state)
        guard var record = known, !hasEnded else { return kept }
        record.text = kept.text
        return record
    }

    /// - Parameter token: of the last page; empty for the first.
    package func jobs(_ request: ListJobsRequest) async throws(CoordinatorError) -> ListJobsReply {
        let size = request.pageSize == 0 ? 100 : min(Int(request.pageSize), 100)
        guard let before = request.pageToken.isEmpty ? Int64.max : Int64(request.pageToken) else {
            throw CoordinatorError(
                .invalid, "the page token \"\(request.pageToken.prefix(40))\" is not one of ours")
        }
        let found = try await journal.jobs(before: before, limit: size, activeOnly: request.activeOnly)
        return ListJobsReply.with {
            $0.jobs = found.map { record in
                // A page must fit one message.
                (live(record.id) ?? record).summary
            }
            if found.count == size, let last = found.last, let sequence = Journal.sequence(last.id) {
                $0.nextPageToken = String(sequence)
            }
        }
    }

    /// Cancels a job that waits or runs; one that has ended stays as it is.
    package func cancel(_ id: String) async throws(CoordinatorError) -> JobRecord {
        if queue.remove(id), var waiting = active[id] {
            waiting.record.state = .cancelled
            waiting.record.finish = "cancelled"
            waiting.record.finishedMicroseconds = wallMicroseconds()
            passed[id] = nil
            await close(waiting)
            await forgetSometimes()
        } else if let run = running[id] {
            run.inbox.post(.cancel)
            if let feed = active[id]?.feed {
                let limit = ContinuousClock.now + .seconds(5)
                while !feed.news.ended, ContinuousClock.now < limit {
                    try? await Task.sleep(for: .milliseconds(10))
                    if Task.isCancelled { break }
                    // It went back to the queue instead of starting.
                    if queue.position(id) > 0 { return try await cancel(id) }
                }
            }
        }
        return try await job(id)
    }

    /// Where a follower of this job finds news; nil when it has ended.
    func feed(_ id: String) -> JobFeed? { active[id]?.feed }

    /// Jobs that wait or run, each with a number that changes with what is to be told of it, and those that wait in
    /// their order.
    var unended: (versions: [String: UInt64], queue: [String]) {
        (active.mapValues { $0.feed.news.version }, queue.ids)
    }

    /// The job as memory knows it; nil for those that only the journal knows.
    func live(_ id: String) -> JobRecord? {
        if let active = active[id] {
            var record = active.feed.news.record
            if record.state == .queued { record = shown(record) }
            return record
        }
        return unsaved[id]
    }

    private func shown(_ queued: JobRecord) -> JobRecord {
        var record = queued
        record.queuePosition = UInt32(queue.position(record.id))
        guard record.state == .queued else { return record }
        if let reason = obstacle(record) {
            record.reason = reason
        } else if !running.isEmpty || record.queuePosition > 1 {
            record.reason = "waits for other jobs"
        }
        return record
    }

    /// Why this job cannot start even if no other ran.
    private func obstacle(_ record: JobRecord) -> String? {
        let ready = members.ready
        if let why = members.whyNobody { return why }
        let tokens = Int(clamping: record.promptTokens) + Int(record.options?.maxTokens ?? 0)
        return admission.memoryText(tokens: tokens, members: ready)
    }

    // MARK: running

    /// Starts the jobs that can run. Waits a moment after a worker has joined: others may come.
    func schedule(at now: ContinuousClock.Instant) {
        guard calibrating == nil, !stopping, queue.count > 0, !members.ready.isEmpty else {
            return
        }
        if let lastJoin, now - lastJoin < .seconds(configuration.settleSeconds) { return }
        if compares() { return }
        let jobs = queue.ids.lazy.compactMap { [active, passed] id in
            active[id].map { Placement.Waiting($0.record, passed: passed[id] ?? 0) }
        }
        for start in placement(at: now).starts(jobs) {
            guard let job = active[start.id], queue.remove(start.id) else { continue }
            for id in start.passes { passed[id, default: 0] += 1 }
            passed[start.id] = nil
            let chosen = members.ready.filter { start.workers.contains($0.name) }
            let inbox = RunInbox<RunState.Input>()
            let epoch = members.epoch
            running[start.id] = Running(
                workers: Set(start.workers), epoch: epoch, since: now, inbox: inbox)
            Task { await self.run(job, members: chosen, epoch: epoch, inbox: inbox) }
        }
    }

    /// Who could start where, as things are.
    func placement(at now: ContinuousClock.Instant) -> Placement {
        let admission = admission
        return Placement(
            ready: members.ready,
            running: running.map { id, run in
                Placement.Running(
                    workers: run.workers,
                    secondsLeft: active[id].flatMap {
                        JobCost.secondsLeft($0.feed.news.record, elapsed: (now - run.since) / .seconds(1))
                    })
            },
            fits: { tokens, members in admission.memoryText(tokens: tokens, members: members) == nil },
            predict: { [measured = ratesByName] job, members in
                JobCost(work: CostModel.Work(admission.model, scores: job.scores), measured: measured)
                    .seconds(
                        promptTokens: job.promptTokens, answerTokens: job.answerTokens, on: members)
            })
    }

    var busyWorkers: Set<String> { running.values.reduce(into: []) { $0.formUnion($1.workers) } }

    private func run(
        _ job: Active, members ready: [MemberRecord], epoch: UInt64, inbox: RunInbox<RunState.Input>
    ) async {
        guard await allReachable(ready) else {
            // It starts on the workers that are left.
            return putBack(job, after: nil)
        }
        var record = job.record
        var outcome: RunOutcome?
        do throws(CoordinatorError) {
            try checkModel(of: record)
            let prompt = try await journal.prompt(record.id)
            let plan = try plan(
                prompt: prompt.count, reserved: Int(record.options?.maxTokens ?? 0), members: ready)
            record.shares = plan.shares
            record.isa = plan.isa
            await note("starts on \(ready.map(\.name).joined(separator: ", "))", job: record.id)
            let state = RunState(
                record: record, leader: plan.leader, layers: model.layers,
                text: model.textStream(after: prompt.last),
                limits: RunState.Limits(
                    accept: .seconds(configuration.acceptSeconds),
                    silence: .seconds(configuration.silenceSeconds)),
                at: .now, wallMicroseconds: wallMicroseconds())
            let ended = await JobRunner(
                journal: journal, dialler: dialler, plan: plan, prompt: prompt, profile: job.profile,
                epoch: epoch,
                stallSeconds: configuration.stallSeconds, feed: job.feed, inbox: inbox,
                lost: { await self.lose($0, reason: $1) }
            ).run(state)
            learn(from: ended, plan)
            outcome = ended
        } catch {
            record.state = .failed
            record.reason = error.message
            record.finish = "error"
            record.finishedMicroseconds = wallMicroseconds()
        }
        if let outcome, outcome.record.state == .queued {
            let why = outcome.failure.map { "worker \($0.worker): \($0.standing)" } ?? ""
            await note(
                "attempt \(job.record.attempt) of \(RunState.mostAttempts) ended before the job had begun; back in its "
                    + "place in the queue (\(why))", job: record.id)
            var waiting = job
            waiting.record = outcome.record
            return putBack(waiting, after: outcome.failure)
        }
        if let outcome {
            if !outcome.journalled { unsaved[record.id] = outcome.record }
            statistics.count(ended: outcome.record, gaps: outcome.tokenGaps)
            active[record.id] = nil
            record = outcome.record
        } else {
            var failed = job
            failed.record = record
            await close(failed)
        }
        logger.info(
            "job ended",
            metadata: ["job": "\(record.id)", "state": "\(record.state)", "reason": "\(record.reason)"])
        await note(
            "ended: \(record.state)\(record.reason.isEmpty ? "" : ", \(record.reason)")", job: record.id)
        members.ended(record.id, on: running[record.id]?.workers ?? [], at: .now)
        running[record.id] = nil
        await forgetSometimes()
        schedule(at: .now)
    }

    /// A job that had not begun waits again, at the place that its number gives it.
    private func putBack(_ job: Active, after failure: RunFailure?) {
        let id = job.record.id
        logger.info(
            "job goes back to the queue",
            metadata: ["job": "\(id)", "reason": "\(failure?.standing ?? "a worker cannot be reached")"])
        members.ended(id, on: running[id]?.workers ?? [], at: .now)
        active[id] = job
        if let sequence = Journal.sequence(id) { queue.restore(id, sequence: sequence) }
        running[id] = nil
        schedule(at: .now)
    }

    /// A job is bound to the model that it was submitted for: its tokens are that model's.
    private func checkModel(of record: JobRecord) throws(CoordinatorError) {
        guard record.fingerprint != model.fingerprint else { return }
        throw CoordinatorError(
            .notPossible,
            "this job was submitted for the model \(record.model) (\(record.fingerprint.prefix(16))), and this "
                + "coordinator now has \(model.name) (\(model.fingerprint.prefix(16))). Start it with the other file, or "
                + "submit the job again.")
    }

    /// Ends a job that did not run.
    private func close(_ job: Active) async {
        let record = job.record
        statistics.count(ended: record, gaps: nil)
        let end = JobEvent.with {
            $0.kind = .end
            $0.job = record
        }
        var last = job.feed.news.lastEvent
        do throws(CoordinatorError) { last = try await journal.append([end], to: record) } catch {
            unsaved[record.id] = record
        }
        let number = last
        job.feed.update {
            $0.lastEvent = number
            $0.record = record
            $0.ended = true
        }
        active[record.id] = nil
    }

    private func note(_ text: String, job: String) async {
        let line = LogLine.with {
            $0.timeMicroseconds = wallMicroseconds()
            $0.level = "info"
            $0.source = "coordinator"
            $0.text = text
        }
        try? await journal.log([line], job: job)
    }

    private func forgetSometimes() async {
        finishedSinceForgetting += 1
        guard finishedSinceForgetting >= 20 else { return }
        finishedSinceForgetting = 0
        try? await journal.forgetOld()
    }

    // MARK: figures

    /// Tokens since the start, of all jobs.
    package var tokens: (prompt: Double, generated: Double) {
        let ended = statistics.endedTokens
        let now = unendedTokens
        return (ended.prompt + now.prompt, ended.generated + now.generated)
    }

    /// Tokens of the jobs that have not ended.
    private var unendedTokens: (prompt: Double, generated: Double) {
        running.keys.reduce(into: (0, 0)) { sums, id in
            guard let record = active[id]?.feed.news.record else { return }
            sums.0 += Double(record.prefilledTokens)
            sums.1 += Double(record.generatedTokens)
        }
    }

    /// The last hour, oldest first.
    package var lastHour: [Throughput.Sample] { throughput.samples }

    /// Whether jobs can be run.
    package var health: Health {
        if stopping { return .notReady("the coordinator is shutting down") }
        return members.whyNobody.map { .notReady($0) } ?? .ready
    }

    /// Everything that is counted and measured here.
    package func metrics() -> [MetricFamily] {
        let oldest = queue.first.flatMap { active[$0]?.record.submittedMicroseconds }
        let wait = oldest.map { max(0, Double(wallMicroseconds()) - Double($0)) / 1e6 }
        return cluster().metrics(
            precision: configuration.precision, queueLimit: queue.limit, oldestWait: wait ?? 0)
            + statistics.families(running: unendedTokens) + ProcessMetrics.current()
    }

    package func cluster() -> ClusterState {
        ClusterState.with {
            $0.epoch = members.epoch
            $0.model = model.name
            $0.fingerprint = model.fingerprint
            $0.members = members.all(busy: busyWorkers, at: .now)
            $0.queued = UInt32(queue.count)
            $0.running = UInt32(running.count)
            $0.window = UInt64(model.window)
            $0.version = configuration.version
            $0.protocol = LariatProtocol.current
        }
    }
}
