// What workers can do: measured before shares are cut for hosts that may differ, and when somebody asks for a forecast.
package import Messages

extension Scheduler {
    /// A measurement that is going on.
    struct Measuring: Sendable {
        let workers: [MemberRecord]
        let identities: [String]
        /// For shares: a failure counts as a try.
        let compares: Bool
    }

    /// Rates of these workers in their order, as measured last; nil where that was another set.
    package func rates(of workers: [MemberRecord]) -> [WorkerRates]? {
        guard let measured, measured.identities == identities(workers) else { return nil }
        return measured.rates
    }

    /// By worker, as measured last; empty where the cluster has changed since.
    var ratesByName: [String: WorkerRates] {
        let ready = members.ready
        guard let rates = rates(of: ready) else { return [:] }
        return Dictionary(zip(ready.map(\.name), rates), uniquingKeysWith: { first, _ in first })
    }

    private func identities(_ workers: [MemberRecord]) -> [String] {
        workers.compactMap { members.identity($0.name) }
    }

    /// Begins a measurement unless the same one is going on.
    mutating func measure(_ workers: [MemberRecord], comparing compares: Bool) {
        let identities = identities(workers)
        if let measuring {
            if measuring.identities != identities { effects.append(.reply(.unmeasured(.membersChange))) }
            return
        }
        guard runs.isEmpty else { return effects.append(.reply(.unmeasured(.jobRuns))) }
        measuring = Measuring(workers: workers, identities: identities, compares: compares)
        effects.append(.measure(workers, epoch: members.epoch))
    }

    mutating func learn(_ result: Result<[WorkerRates], Unmeasured>, at now: Time) {
        guard let done = measuring else { return }
        measuring = nil
        switch result {
        case .success(let rates):
            measured = (done.identities, rates)
            // Speeds that jobs have shown say more than a second's measurement.
            if compared != done.identities {
                speeds.learn(
                    zip(done.workers, rates).map { worker, rates in
                        observation(
                            of: worker,
                            operations: rates.denseOperationsPerSecond.squareRoot()
                                * rates.attentionOperationsPerSecond.squareRoot(), seconds: 1)
                    })
                compared = done.identities
            }
        case .failure(let why):
            say("no forecast of time", ["reason": why.reason], level: .warning)
            if done.compares { compared = done.identities }
        }
        place(at: now)
    }

    /// Hosts may differ in ways that threads do not tell: before the first job on a new set of them their workers are
    /// measured, which takes a second or two.
    /// - Returns: whether that has begun.
    mutating func compares(_ ready: [MemberRecord]) -> Bool {
        guard runs.isEmpty, Set(ready.map(\.host)).count > 1 else { return false }
        let identities = identities(ready)
        guard identities != compared else { return false }
        if rates(of: ready) != nil {
            compared = identities
            return false
        }
        measure(ready, comparing: true)
        return true
    }

    func observation(of worker: MemberRecord, operations: Double, seconds: Double) -> WorkerSpeeds.Observation
    {
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
            admission: admission, stripeLimit: configuration.stripeTokens,
            taken: sequences.pinnedTokens())
    }
}
