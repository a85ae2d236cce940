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
        _ options: JobOptions, prompt: [UInt32], at now: Instant
    ) throws(CoordinatorError) -> Question {
        let admitted = try admission.admit(options, prompt: prompt, members: members.ready, seed: 1)
        let asked = Placement.Waiting(
            id: "", workers: Int(admitted.options.workers), promptTokens: prompt.count,
            answerTokens: admitted.reserved, scores: admitted.options.kind == .score)
        let chosen = choice(for: asked, at: now)
        // What cannot be cut needs no measurement, and what is measured may say how many workers and how to cut.
        _ = try plan(prompt: prompt.count, reserved: admitted.reserved, members: chosen)
        return Question(
            forecast: .with {
                $0.promptTokens = UInt64(prompt.count)
                $0.reservedTokens = UInt64(admitted.reserved)
                $0.profile = admitted.profile
                $0.kvBytes = UInt64(admitted.kvBytes)
                $0.slabs = 1
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
            let plan = try plan(
                prompt: question.asked.promptTokens, reserved: question.asked.answerTokens, members: chosen)
            forecast.ringBytes = UInt64(plan.ringBytes)
            forecast.shares = plan.shares
            forecast.admissible = true
            switch found {
            case .success(let rates):
                CostModel(model, plan.members, scores: question.kind == .score, measured: rates)
                    .predict(plan, into: &forecast)
            case .failure(let why): forecast.unmeasuredReason = why.reason
            }
        } catch { forecast.reason = error.message }
        return forecast
    }

    private func choice(for asked: Placement.Waiting, at now: Instant) -> [MemberRecord] {
        placement(at: now).members(for: asked) ?? members.ready
    }
}
