// Runs from the choice of their workers to the end of their calls, and what they teach about their workers.
import Messages
import Protobuf

extension Scheduler {
    /// All workers can be spoken to: the job is planned and begins.
    mutating func start(_ id: RunID, lastToken: UInt32?, at now: Time) {
        guard let run = runs[id.job], run.id == id, run.started == nil, var record = jobs[id.job]?.record
        else { return }
        do throws(CoordinatorError) {
            try checkModel(of: record)
            let plan = try keepingPlan(of: record, run, at: now)
            record.shares = plan.shares
            record.cachedTokens = UInt64(plan.pastTokens)
            record.isa = plan.isa
            note("starts on \(run.workers.map(\.name).joined(separator: ", "))", job: id.job, at: now)
            var state = RunState(
                record: record, leader: plan.leader, layers: model.layers, keptTokens: plan.keptTokens,
                text: model.textStream(after: lastToken),
                limits: RunState.Limits(
                    accept: .seconds(configuration.acceptSeconds + plan.readSeconds),
                    silence: .seconds(configuration.silenceSeconds)),
                at: now.instant, wallMicroseconds: now.wallMicroseconds)
            let actions = state.begin()
            runs[id.job]?.started = (state, plan)
            carryOut(actions, of: id, at: now)
            effects.append(
                .start(
                    id,
                    RunOrder(
                        job: record, plan: plan, epoch: run.epoch, stallSeconds: configuration.stallSeconds)))
        } catch { fail(id, error, at: now) }
    }

    /// A job cannot begin, for a reason of its own.
    mutating func fail(_ id: RunID, _ error: CoordinatorError, at now: Time) {
        guard let run = runs[id.job], run.id == id, var record = jobs[id.job]?.record else { return }
        release(run, at: now)
        record.state = .failed
        record.reason = error.message
        record.fault = JobFault(.coordinator, detail: error.message)
        record.finish = .error
        close(record, at: now)
        place(at: now)
    }

    /// Its workers could not all be spoken to: the job starts on those that are left.
    mutating func putBack(_ id: RunID, unreachable: [Unreached], at now: Time) {
        for failure in unreachable {
            lose(failure.worker, reason: failure.reason, at: now)
            // One that lives registers again at once; it must not hold up one job after another.
            setAside(
                [failure.worker], why: "the coordinator cannot reach it: \(failure.reason)", at: now)
        }
        guard let run = runs[id.job], run.id == id, run.started == nil else { return }
        release(run, at: now)
        say(
            "job goes back to the queue", ["job": id.job, "reason": "a worker cannot be reached"])
        putBack(id.job)
        place(at: now)
    }

    /// At the place that its number gives it.
    private mutating func putBack(_ id: String) {
        if let job = jobs[id] { queue.restore(id, sequence: job.sequence) }
    }

    /// Its workers are free again.
    mutating func release(_ run: Run, at now: Time) {
        members.ended(run.id.job, on: run.names, at: now.instant)
        runs[run.id.job] = nil
        releaseSequences(of: run)
    }

    /// What happens to a run that has started.
    mutating func report(_ input: RunState.Input, of id: RunID, at now: Time) {
        guard let run = runs[id.job], run.id == id else { return }
        guard
            let actions = runs[id.job]?.started?.state.handle(
                input, at: now.instant, wallMicroseconds: now.wallMicroseconds)
        else { return }
        carryOut(actions, of: id, at: now)
    }

    private mutating func carryOut(_ actions: [RunState.Action], of id: RunID, at now: Time) {
        guard !actions.isEmpty, let (state, plan) = runs[id.job]?.started else { return }
        var events: [JobEvent] = []
        for case .publish(let event) in actions { events.append(event) }
        if !events.isEmpty {
            jobs[id.job]?.record = state.record
            if state.isOver, !state.isReturned { jobs[id.job]?.end = .beingWritten }
            effects.append(.journal(state.record, events))
        }
        var isShown = !events.isEmpty
        for action in actions {
            switch action {
            case .publish: break
            case .progress:
                if !isShown { effects.append(.notify(state.record, isOver: false)) }
                isShown = true
            case .log(var line):
                line.timeMicroseconds = now.wallMicroseconds
                effects.append(.log(job: id.job, [line]))
            case .trace(let part): effects.append(.trace(job: id.job, part))
            case .kept(let bytes): kept(bytes, by: id, at: now)
            case .start where !state.isOver:
                for rank in plan.members.indices {
                    effects.append(.tell(id, rank: rank, .start))
                }
            case .stop(let rank) where !state.isOver:
                effects.append(.tell(id, rank: rank, .stop))
            case .start, .stop: break
            case .finished: effects.append(.finish(id, cuts: state.record.state != .succeeded))
            }
        }
    }

    /// The journal did not take what a run produced.
    mutating func overrule(_ id: String, _ error: CoordinatorError, at now: Time) {
        guard let run = runs[id], var state = run.started?.state else { return }
        let wasOver = state.isOver
        _ = state.abort(
            "the job's output cannot be written: \(error.message), then submit the job again",
            wallMicroseconds: now.wallMicroseconds)
        if state.record.state != .failed {
            state.overrule("the job's output cannot be written: \(error.message)")
        }
        runs[id]?.started?.state = state
        jobs[id]?.record = state.record
        jobs[id]?.end = .beingForced
        effects.append(.journal(state.record, [Self.end(of: state.record)]))
        if !wasOver { effects.append(.finish(run.id, cuts: true)) }
    }

    /// All calls of a run are over.
    mutating func ended(_ id: RunID, at now: Time) {
        guard let run = runs[id.job], run.id == id, let (state, plan) = run.started, state.isOver else {
            return
        }
        learn(from: state, plan, at: now)
        release(run, at: now)
        if state.failure?.kind == .missing, let past = run.past {
            if let entry = sequences.remove(past.sequence) { forget(entry) }
            jobs[id.job]?.startsAnew = true
        }
        if state.isReturned {
            // That the coordinator stops is no attempt that counts.
            let attempt = state.record.attempt - (state.failure?.kind == .stopped ? 0 : 1)
            let why = state.failure.map {
                $0.accused.isEmpty ? $0.standing : "worker \($0.worker): \($0.standing)"
            }
            note(
                "attempt \(attempt) of \(RunState.mostAttempts) ended before the job had begun; "
                    + "back in its place in the queue (\(why ?? ""))", job: id.job, at: now)
            if run.isCancelled {
                cancelled(id.job, at: now)
            } else {
                say(
                    "job goes back to the queue",
                    ["job": id.job, "reason": state.failure?.standing ?? ""])
                putBack(id.job)
            }
        } else {
            countEnd(state.record, gaps: state.tokenGaps, at: now)
            forget(id.job)
        }
        place(at: now)
    }

    /// Runs end as failed, and those whose jobs had not begun go back.
    mutating func stop(at now: Time) {
        isStopping = true
        for run in runs.values.sorted(by: { $0.id < $1.id }) {
            if run.started == nil {
                release(run, at: now)
                putBack(run.id.job)
            } else {
                report(.stop, of: run.id, at: now)
            }
        }
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

    /// What a run says about its workers: their standing, and by its prefill their speeds.
    private mutating func learn(from state: RunState, _ plan: JobPlan, at now: Time) {
        let record = state.record
        if let failure = state.failure, failure.setsAside {
            setAside(failure.accused, why: failure.standing, at: now)
        }
        guard record.state == .succeeded else { return }
        members.succeeded(plan.members.map(\.name))
        guard record.shares.count == plan.members.count, !plan.isStationary else { return }
        let operations = CostModel.Work(model, scores: record.options?.kind == .score).operations(
            plan.layout, tokens: plan.promptTokens, past: plan.pastTokens)
        speeds.learn(
            plan.members.indices.map { rank in
                observation(
                    of: plan.members[rank], operations: operations[rank],
                    seconds: record.shares[rank].computeSeconds)
            })
    }
}
