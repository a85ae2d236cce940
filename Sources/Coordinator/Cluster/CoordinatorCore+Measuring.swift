// What the coordinator learns of its workers' speeds, and what it foretells with them.
import Logging
package import Messages

extension CoordinatorCore {
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
            let asked = Placement.Waiting(
                id: "", workers: Int(admitted.options.workers), promptTokens: prompt.count,
                answerTokens: admitted.reserved, scores: admitted.options.kind == .score)
            func choose() -> [MemberRecord] { placement(at: .now).members(for: asked) ?? members.ready }
            var chosen = choose()
            func cut() throws(CoordinatorError) -> JobPlan {
                try self.plan(prompt: prompt.count, reserved: admitted.reserved, members: chosen)
            }
            // What cannot be cut needs no measurement, and what is measured may say how many workers and how to cut.
            _ = try cut()
            let rates: Result<[WorkerRates], Unmeasured>
            // A worker alone sends nothing, so that what it did in the whole ring holds for it.
            let measurable = chosen.count == 1 ? members.ready : chosen
            do throws(Unmeasured) {
                let all = try await self.rates(of: measurable)
                let known = Dictionary(
                    zip(measurable.map(\.name), all), uniquingKeysWith: { first, _ in first })
                let better = choose()
                let isMeasured = better.allSatisfy { known[$0.name] != nil }
                if isMeasured, better.count == 1 || better.count == measurable.count { chosen = better }
                rates = .success(chosen.compactMap { known[$0.name] })
            } catch {
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
    func rates(of workers: [MemberRecord]) async throws(Unmeasured) -> [WorkerRates] {
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

    /// By worker, as measured last; empty where the cluster has changed since.
    var ratesByName: [String: WorkerRates] {
        let ready = members.ready
        guard let measured, measured.identities == ready.compactMap({ members.identity($0.name) }) else {
            return [:]
        }
        return Dictionary(zip(ready.map(\.name), measured.rates), uniquingKeysWith: { first, _ in first })
    }

    /// Hosts may differ in ways that threads do not tell: before the first job on a new set of them their workers are
    /// measured, which takes a second or two.
    /// - Returns: whether that is going on now.
    func compares() -> Bool {
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

    /// A job's layout over these workers, by the speeds they have shown.
    func plan(
        prompt: Int, reserved: Int, members chosen: [MemberRecord]
    ) throws(CoordinatorError) -> JobPlan {
        try JobPlan(
            prompt: prompt, reserved: reserved, members: chosen,
            weights: speeds.weights(
                chosen.map { (worker: members.identity($0.name) ?? $0.name, threads: Int($0.threads)) }),
            admission: admission, stripeLimit: configuration.stripeTokens)
    }

    /// What a job says about its workers: their standing, and by its prefill their speeds.
    func learn(from outcome: RunOutcome, _ plan: JobPlan) {
        let record = outcome.record
        if let failure = outcome.failure, failure.setsAside { setAside(failure) }
        if record.state == .succeeded { members.succeeded(plan.members.map(\.name)) }
        guard record.state == .succeeded, record.shares.count == plan.members.count else { return }
        let operations = CostModel.Work(model, scores: record.options?.kind == .score).operations(
            plan.layout, tokens: plan.promptTokens)
        speeds.learn(
            plan.members.indices.map { rank in
                observation(
                    of: plan.members[rank], operations: operations[rank],
                    seconds: record.shares[rank].computeSeconds)
            })
    }
}
