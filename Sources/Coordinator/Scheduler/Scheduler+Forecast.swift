// What a job would cost: asked first, which says whom to measure, and answered with what the measurement showed.
package import Messages
import Protobuf

extension Scheduler {
    /// A job that somebody wants to know the cost of.
    package struct Question: Sendable {
        /// What is known without any measurement.
        package var forecast: Forecast
        /// Whose rates are wanted. A worker alone sends nothing, so that what it did in the whole ring holds for it.
        package var measurable: [MemberRecord]
        let kind: JobKind
        let asked: Placement.Waiting
        let chosen: [MemberRecord]
    }

    /// - Throws: why the job cannot run.
    package func question(
        _ options: JobOptions, prompt: [UInt32], owner: String = "", at now: Instant
    ) throws(CoordinatorError) -> Question {
        let admitted = try admitted(options, prompt, seed: 1, owner: owner)
        let record = JobRecord.with {
            $0.options = admitted.options
            $0.promptTokens = UInt64(prompt.count)
            $0.profile = admitted.profile
            $0.fingerprint = model.fingerprint
            $0.precision = configuration.precision
            $0.owner = owner
        }
        let job = Job(record: record, sequence: 0, chain: TokenChain(of: record, prompt: prompt))
        let asked = Placement.Waiting(record, passed: 0, past: past(for: job, holders: members.holders))
        let chosen = choice(for: asked, at: now)
        // What cannot be cut needs no measurement, and what is measured may say how many workers and how to cut.
        let plan = try plan(for: asked, at: now)
        return Question(
            forecast: .with {
                $0.promptTokens = UInt64(prompt.count)
                $0.reservedTokens = UInt64(admitted.reserved)
                $0.profile = admitted.profile
                $0.kvBytes = UInt64(admitted.kvBytes)
                $0.slabs = UInt32(clamping: plan.slabs)
                $0.cachedTokens = UInt64(plan.pastTokens)
            },
            measurable: chosen.count == 1 ? members.ready : chosen, kind: admitted.options.kind,
            asked: asked, chosen: chosen)
    }

    /// - Parameter rates: of those that were measurable, in their order.
    package func answer(
        _ question: Question, rates: Result<[WorkerRates], Unmeasured>, at now: Instant
    ) -> Forecast {
        var forecast = question.forecast
        var chosen = question.chosen
        do throws(CoordinatorError) {
            let found: Result<[WorkerRates], Unmeasured> = rates.map { all in
                let known = Dictionary(
                    zip(question.measurable.map(\.name), all), uniquingKeysWith: { first, _ in first })
                let better = choice(for: question.asked, at: now)
                let isMeasured = better.allSatisfy { known[$0.name] != nil }
                if isMeasured, better.count == 1 || better.count == question.measurable.count {
                    chosen = better
                }
                return chosen.compactMap { known[$0.name] }
            }
            let usual = try plan(
                prompt: question.asked.promptTokens, reserved: question.asked.answerTokens, members: chosen)
            let kept = try plan(for: question.asked, at: now)
            let plan = kept.members == chosen ? kept : usual
            forecast.cachedTokens = UInt64(plan.pastTokens)
            forecast.slabs = UInt32(clamping: plan.slabs)
            forecast.ringBytes = UInt64(plan.ringBytes)
            forecast.shares = plan.shares
            forecast.admissible = true
            switch found {
            case .success(let rates):
                CostModel(model, plan.members, scores: question.kind == .score, measured: rates)
                    .predict(plan, answers: question.asked.answers, into: &forecast)
            case .failure(let why): forecast.unmeasuredReason = why.reason
            }
        } catch { forecast.reason = error.message }
        return forecast
    }

    private func choice(for asked: Placement.Waiting, at now: Instant) -> [MemberRecord] {
        let placement = placement(at: now)
        if let past = placement.usablePast(of: asked) { return placement.members(past) }
        return placement.members(for: asked.anew) ?? members.ready
    }

    /// On the workers that it would take if nothing else ran, with what it would continue there.
    private func plan(for asked: Placement.Waiting, at now: Instant) throws(CoordinatorError) -> JobPlan {
        let chosen = choice(for: asked, at: now)
        guard let past = placement(at: now).usablePast(of: asked), let entry = sequences[past.sequence] else {
            return try plan(prompt: asked.promptTokens, reserved: asked.answerTokens, members: chosen)
        }
        return JobPlan(
            prompt: asked.promptTokens, reserved: asked.answerTokens, members: chosen,
            continuing: RunPast(sequence: past.sequence, tokens: UInt64(past.tokens)), layout: entry.layout,
            model: model)
    }
}
