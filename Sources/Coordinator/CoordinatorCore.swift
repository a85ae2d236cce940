// The coordinator's state and decisions: who is there, what waits, what runs.
package import Logging
package import Observability
package import RPC

/// Serves every request, whatever transport it came by. Blocking work (journal, tokenising) happens elsewhere.
package actor CoordinatorCore {
    /// A job that waits or runs.
    private struct Active {
        var record: JobRecord
        var profile: ProfileMessage
        let feed: JobFeed
    }
    private struct Running {
        let workers: Set<String>
        let epoch: UInt64
        let inbox: RunInbox<RunState.Input>
    }

    package nonisolated let configuration: CoordinatorConfiguration
    package nonisolated let model: any ModelDescription
    package nonisolated let journal: Journal
    private nonisolated let admission: Admission
    private let dialler: any WorkerDialler
    private let logger: Logger

    private var members: MemberTable
    private var queue: JobQueue
    private var active: [String: Active] = [:]
    /// By job; no worker is in two of them.
    private var running: [String: Running] = [:]
    /// What the workers were measured at last, and whose rates that are.
    private var measured: (identities: [String], rates: [WorkerRates])?
    private var calibrating: (identities: [String], task: Task<Result<[WorkerRates], Unmeasured>, Never>)?
    private var speeds = WorkerSpeeds()
    /// The workers that were measured for their shares, or could not be.
    private var compared: [String] = []
    /// Ended jobs whose end the journal did not take yet.
    private var unsaved: [String: JobRecord] = [:]
    private var lastJoin: ContinuousClock.Instant?
    private var finishedSinceForgetting = 0
    private var statistics = CoordinatorStatistics()
    private var throughput = Throughput(at: .now)
    /// No more jobs are taken or started.
    private var stopping = false

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

    private func postLost(_ worker: String, reason: String) {
        for run in running.values where run.workers.contains(worker) {
            run.inbox.post(.lost(worker: worker, reason: reason))
        }
    }

    /// A worker whose connection broke gets no job until it has shown that it lives.
    private func lose(_ worker: String, reason: String) {
        guard members.lose(worker, reason: reason) else { return }
        statistics.count(lost: worker)
        logger.warning("worker lost", metadata: ["worker": "\(worker)", "reason": "\(reason)"])
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

    /// What a job like this would cost now.
    package func forecast(_ options: JobOptions, prompt: [UInt32]) async -> Forecast {
        var forecast = Forecast()
        forecast.promptTokens = UInt64(prompt.count)
        do throws(CoordinatorError) {
            let admitted = try admission.admit(options, prompt: prompt, members: members.ready, seed: 1)
            forecast.reservedTokens = UInt64(admitted.reserved)
            forecast.profile = admitted.profile
            forecast.kvBytes = UInt64(admitted.kvBytes)
            forecast.slabs = 1
            let chosen =
                choose(members.ready, for: admitted.options, promptTokens: prompt.count) ?? members.ready
            func cut() throws(CoordinatorError) -> JobPlan {
                try self.plan(prompt: prompt.count, reserved: admitted.reserved, members: chosen)
            }
            // What cannot be cut needs no measurement, and what is measured may say how to cut.
            _ = try cut()
            let rates: Result<[WorkerRates], Unmeasured>
            do throws(Unmeasured) { rates = .success(try await self.rates(of: chosen)) } catch {
                rates = .failure(error)
            }
            let plan = try cut()
            forecast.ringBytes = UInt64(plan.ringBytes)
            forecast.shares = plan.shares
            forecast.admissible = true
            switch rates {
            case .success(let rates):
                CostModel(
                    model, plan.members, scores: admitted.options.kind == .score, measured: rates
                ).predict(plan, into: &forecast)
            case .failure(let why): forecast.unmeasuredReason = why.reason
            }
        } catch {
            forecast.reason = error.message
        }
        return forecast
    }

    /// What these workers can do: as measured before, or measured now if none of them works.
    private func rates(of workers: [MemberRecord]) async throws(Unmeasured) -> [WorkerRates] {
        let identities = workers.compactMap { members.identity($0.name) }
        if let measured, measured.identities == identities { return measured.rates }
        guard running.isEmpty else { throw .jobRuns }
        if let calibrating {
            guard calibrating.identities == identities else { throw .membersChange }
            return try await calibrating.task.value.get()
        }
        let calibration = Calibration(dialler: dialler, timeout: .seconds(configuration.calibrateSeconds))
        let epoch = members.epoch
        let task = Task { await calibration.measure(workers, epoch: epoch) }
        calibrating = (identities, task)
        let result = await task.value
        calibrating = nil
        defer { schedule(at: .now) }
        switch result {
        case .success(let rates):
            measured = (identities, rates)
            // Speeds that jobs have shown say more than a second's measurement.
            if compared != identities {
                speeds.learn(
                    zip(workers, rates).map { worker, rates in
                        observation(
                            of: worker,
                            operations: rates.denseOperationsPerSecond.squareRoot()
                                * rates.attentionOperationsPerSecond.squareRoot(), seconds: 1)
                    })
                compared = identities
            }
            return rates
        case .failure(let why):
            logger.warning("no forecast of time", metadata: ["reason": "\(why.reason)"])
            throw why
        }
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
            waiting.record.reason = "cancelled"
            waiting.record.finish = "cancelled"
            waiting.record.finishedMicroseconds = wallMicroseconds()
            await close(waiting)
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

    /// Starts the jobs that can run, in order: one that could run but lacks free workers holds up those behind it, so
    /// that no job waits for ever. Waits a moment after a worker has joined: others may come.
    private func schedule(at now: ContinuousClock.Instant) {
        guard calibrating == nil, !stopping, queue.count > 0, !members.ready.isEmpty else {
            return
        }
        if let lastJoin, now - lastJoin < .seconds(configuration.settleSeconds) { return }
        if compares() { return }
        for id in queue.ids {
            guard let job = active[id], obstacle(job.record) == nil else { continue }
            let busy = busyWorkers
            guard
                let chosen = choose(
                    members.ready.filter { !busy.contains($0.name) }, for: job.record.options ?? JobOptions(),
                    promptTokens: Int(clamping: job.record.promptTokens)), queue.remove(id)
            else { return }
            let inbox = RunInbox<RunState.Input>()
            let epoch = members.epoch
            running[id] = Running(workers: Set(chosen.map(\.name)), epoch: epoch, inbox: inbox)
            Task { await self.run(job, members: chosen, epoch: epoch, inbox: inbox) }
        }
    }

    /// Hosts may differ in ways that threads do not tell: before the first job on a new set of them their workers are
    /// measured, which takes a second or two.
    /// - Returns: whether that is going on now.
    private func compares() -> Bool {
        let ready = members.ready
        guard running.isEmpty, Set(ready.map(\.host)).count > 1 else { return false }
        let identities = ready.compactMap { members.identity($0.name) }
        guard identities != compared else { return false }
        Task {
            _ = try? await rates(of: ready)
            compared = identities
            schedule(at: .now)
        }
        return true
    }

    private func observation(
        of worker: MemberRecord, operations: Double, seconds: Double
    ) -> WorkerSpeeds.Observation {
        WorkerSpeeds.Observation(
            worker: members.identity(worker.name) ?? worker.name, threads: Int(worker.threads),
            host: worker.host, hostCores: Int(worker.hostCores), operations: operations, seconds: seconds)
    }

    /// A job's shards over these workers, by the speeds they have shown.
    private func plan(
        prompt: Int, reserved: Int, members chosen: [MemberRecord]
    ) throws(CoordinatorError) -> JobPlan {
        try JobPlan(
            prompt: prompt, reserved: reserved, members: chosen,
            weights: speeds.weights(
                chosen.map { (worker: members.identity($0.name) ?? $0.name, threads: Int($0.threads)) }),
            admission: admission, pieceLimit: configuration.pieceTokens)
    }

    /// What a job's prefill says about the speeds of its workers.
    private func learn(from record: JobRecord, _ plan: JobPlan) {
        guard record.state == .succeeded, record.shares.count == plan.members.count else { return }
        let operations = CostModel.Work(model, scores: record.options?.kind == .score).operations(plan.shards)
        speeds.learn(
            plan.members.indices.map { rank in
                observation(
                    of: plan.members[rank], operations: operations[rank],
                    seconds: record.shares[rank].computeSeconds)
            })
    }

    private var busyWorkers: Set<String> { running.values.reduce(into: []) { $0.formUnion($1.workers) } }

    /// The workers that a job takes of these: all that are ready, or as many as it asks for and more where its keys and
    /// values need them. Nil while too few are free.
    private func choose(_ free: [MemberRecord], for options: JobOptions, promptTokens: Int) -> [MemberRecord]?
    {
        let wanted =
            options.workers == 0 ? members.ready.count : min(Int(options.workers), members.ready.count)
        let tokens = promptTokens + Int(options.maxTokens)
        guard wanted > 0, free.count >= wanted else { return nil }
        return (wanted...free.count).lazy.map { Array(free.prefix($0)) }
            .first { admission.memoryText(tokens: tokens, members: $0) == nil }
    }

    private func run(
        _ job: Active, members ready: [MemberRecord], epoch: UInt64, inbox: RunInbox<RunState.Input>
    ) async {
        guard await allReachable(ready) else {
            // Back to its place in the queue: it starts on the workers that are left.
            if let sequence = Journal.sequence(job.record.id) {
                queue.restore(job.record.id, sequence: sequence)
            }
            running[job.record.id] = nil
            return schedule(at: .now)
        }
        var record = job.record
        var outcome: RunOutcome?
        do throws(CoordinatorError) {
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
            outcome = await JobRunner(
                journal: journal, dialler: dialler, plan: plan, prompt: prompt, profile: job.profile,
                epoch: epoch,
                stallSeconds: configuration.stallSeconds, feed: job.feed, inbox: inbox,
                lost: { await self.lose($0, reason: $1) }
            ).run(state)
            if let outcome { learn(from: outcome.record, plan) }
        } catch {
            record.state = .failed
            record.reason = error.message
            record.finish = "error"
            record.finishedMicroseconds = wallMicroseconds()
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
        running[record.id] = nil
        await forgetSometimes()
        schedule(at: .now)
    }

    /// Whether every worker can be spoken to; those that cannot are lost.
    private func allReachable(_ workers: [MemberRecord]) async -> Bool {
        let dialler = dialler
        let failures = await withTaskGroup(of: (name: String, reason: String)?.self) { group in
            for worker in workers {
                group.addTask {
                    do throws(WorkerFailure) { try await dialler.reach(worker) } catch {
                        return (worker.name, error.message)
                    }
                    return nil
                }
            }
            var failures: [(name: String, reason: String)] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
        for failure in failures { lose(failure.name, reason: failure.reason) }
        return failures.isEmpty
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

    // MARK: members

    package func register(_ request: RegisterRequest) throws(CoordinatorError) -> RegisterReply {
        guard let member = request.member else {
            throw CoordinatorError(.invalid, "the request names no worker")
        }
        let before = members.epoch
        let epoch = try members.register(member, instance: request.instance, at: .now)
        if epoch != before {
            lastJoin = .now
            logger.info(
                "worker joined", metadata: ["worker": "\(member.name)", "address": "\(member.address)"])
        }
        return RegisterReply.with {
            $0.epoch = epoch
            $0.heartbeatSeconds = configuration.heartbeatSeconds
        }
    }

    package func heartbeat(_ request: HeartbeatRequest) throws(CoordinatorError) -> HeartbeatReply {
        let before = members.epoch
        let (newest, drains, hasGotOn) = try members.heartbeat(request, at: .now)
        if hasGotOn { running[request.job]?.inbox.post(.alive) }
        let job = running[request.job].flatMap { _ in active[request.job]?.feed.news.record }
        statistics.count(heartbeatOf: request.name, job: job, progress: request.progress)
        if newest != before {
            logger.info("worker drains", metadata: ["worker": "\(request.name)"])
        }
        // A worker refuses plans older than the epoch it knows. Who joins while a plan is on its way must not spoil it.
        let runs = running.values.filter { $0.workers.contains(request.name) }
        return HeartbeatReply.with {
            $0.epoch = runs.reduce(newest) { min($0, $1.epoch) }
            $0.leave = drains && runs.isEmpty
        }
    }

    /// Workers take no more jobs, finish what they run and leave, or take jobs again.
    package func drain(_ request: DrainRequest) throws(CoordinatorError) -> DrainReply {
        let names = try members.drain(request.target, undo: request.undo)
        logger.info(
            request.undo ? "workers take jobs again" : "workers drain",
            metadata: ["workers": "\(names.joined(separator: ", "))"])
        schedule(at: .now)
        return DrainReply.with { $0.workers = names }
    }

    package func leave(_ request: HeartbeatRequest) -> HeartbeatReply {
        if members.leave(name: request.name, instance: request.instance) {
            logger.info("worker left", metadata: ["worker": "\(request.name)"])
            postLost(request.name, reason: "it was shut down")
        }
        return HeartbeatReply.with { $0.epoch = members.epoch }
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
        }
    }
}
