// Whole searches on models whose best factors are known.
import FactorSearch
import Foundation
import Testing

@Suite("Factor search")
struct FactorSearchTests {
    static let rungs = SearchPlanTests.rungs

    /// Vectors that no known scaling and, but for the first, no smooth family has.
    enum Target: Int, CaseIterable {
        case critical, kinked, sigmoid

        var candidate: Candidate {
            let factors: [Double] = (0..<32).map { pair in
                let i = Double(pair)
                return switch self {
                case .critical: pow(4.6, min(1, i / 27))
                case .kinked:
                    i < 10 ? 1 : i < 20 ? 1 + 0.15 * (i - 9) + (i > 14 ? 0.6 : 0) : 4.3 + 0.03 * (i - 20)
                case .sigmoid: 1 + 4.2 / (1 + exp(-(i - 19) / 2.5))
                }
            }
            return Candidate(factors: factors, startTokens: 4, attentionFactor: 1.07)
        }
    }

    /// The cheap rungs are off by about as much as good candidates differ.
    static func model(_ target: Target = .kinked) -> SyntheticModel {
        SyntheticModel(best: target.candidate, noise: [0.01, 0.005, 0])
    }

    static func search(
        _ space: SearchSpace, budget: Double = 3600, seeds: [Candidate]? = nil, randomSeed: UInt64 = 1,
        change: (inout SearchPlan) -> Void = { _ in }
    ) throws -> FactorSearch {
        let seeds = seeds ?? space.knownScalings
        var plan = try SearchPlan.fitting(budget: budget, rungs: rungs, seedCount: seeds.count)
        change(&plan)
        return try FactorSearch(space: space, plan: plan, rungs: rungs, seeds: seeds, randomSeed: randomSeed)
    }

    /// The root of the mean square of ln(found / wanted).
    static func distance(_ found: Candidate, _ wanted: Candidate) -> Double {
        let squares = zip(found.factors, wanted.factors).map { pow(log($0 / $1), 2) }
        return (squares.reduce(0, +) / Double(squares.count)).squareRoot()
    }

    @Test(
        "The loss above the optimum falls to a quarter of the best seed's in an hour, to a fifteenth in six",
        arguments: Target.allCases, [1, 2, 3] as [UInt64])
    func findsOptimum(target: Target, randomSeed: UInt64) throws {
        let space = try SearchSpace.small(ceiling: 6)
        let model = Self.model(target)
        for (budget, factor, closeness) in [(3600.0, 4.0, 0.12), (21600, 15, 0.06)] {
            let search = try Self.search(space, budget: budget, randomSeed: randomSeed)
            var caller = Caller(score: model.score)
            let outcome = try #require(try caller.run(search))
            let bestSeed = try #require(outcome.seeds.map(\.searchScore).min())
            let (loss, seedLoss) = (outcome.best.searchScore - 2.5, bestSeed - 2.5)
            let distance = Self.distance(outcome.best.candidate, model.best)
            #expect(loss < seedLoss / factor)
            #expect(distance < closeness)
            #expect(outcome.history.count == search.plan.shapeGenerations + search.plan.generations + 1)
            #expect(zip(outcome.history, outcome.history.dropFirst()).allSatisfy { $0 >= $1 })
            #expect(outcome.evaluations == search.plan.evaluations(seedCount: 4))
            #expect(outcome.finalEvaluations == 5)
        }
    }

    @Test("Halving finds more than the paper's algorithm at the same cost")
    func againstPaper() throws {
        let space = try SearchSpace.small(ceiling: 6)
        var ratios: [Double] = []
        for target in Target.allCases {
            let model = Self.model(target)
            var caller = Caller(score: model.score)
            let ours = try #require(try caller.run(Self.search(space, budget: 10_800)))
            // 150 evaluations of 70 seconds.
            var plan = SearchPlan.paper()
            plan.population = 22
            plan.mutations = 8
            plan.crossovers = 8
            plan.parents = 16
            plan.generations = 8
            let search = try FactorSearch(
                space: space, plan: plan, rungs: [Self.rungs[2]], seeds: space.knownScalings, randomSeed: 1)
            var other = Caller { model.score(Trial(candidate: $0.candidate, rung: 2)) }
            let theirs = try #require(try other.run(search))
            ratios.append((theirs.best.score - 2.5) / (ours.best.searchScore - 2.5))
        }
        // 11, 3 and 9 times as far from the optimum.
        #expect(ratios.allSatisfy { $0 > 2 })
    }

    @Test("The paper's plan asks for 1,344 new candidates")
    func paperPlan() throws {
        let space = try SearchSpace.small()
        let search = try FactorSearch(
            space: space, plan: .paper(), rungs: [Rung(name: "full", cost: 1)],
            seeds: [space.linear, space.ntk, space.yarn()], randomSeed: 42)
        let model = SyntheticModel(best: Target.sigmoid.candidate)
        var caller = Caller(score: model.score)
        let outcome = try #require(try caller.run(search))
        #expect(outcome.evaluations == [1344] && Set(caller.asked).count == 1344)
        #expect(outcome.fullLengthEvaluationsSaved == 0 && outcome.finalists.isEmpty)
        let origins = Dictionary(grouping: caller.asked, by: \.candidate.origin).mapValues(\.count)
        // 61 and 40 * 16, and what the crossovers could not make.
        #expect(origins[.mutation, default: 0] >= 701 && origins[.crossover, default: 0] >= 500)
        #expect(caller.asked.suffix(1341).allSatisfy { (try? space.check($0.candidate)) != nil })
        #expect(outcome.best.score < (outcome.seeds.map(\.score).min() ?? 0))
    }

    @Test("Everything asked for is in the space, new on its rung, and climbs one rung at a time")
    func members() throws {
        var base: [Double] = (0..<32).map { 1 + 0.1 * Double($0) }
        base[5] += 0.3
        let spaces: [SearchSpace] = [
            try .small(), try .small(ceiling: 6), try .small(ceiling: 1.5), try .small(scale: 1, ceiling: 3),
            try .small(criticalPairs: 14...31), try .small(criticalPairs: 20...20), try .small(base: base),
            try .small(attentionFactors: 1.1902380714...1.1902380714),
        ]
        for space in spaces {
            for randomSeed in 1...3 {
                var caller = Caller(score: Self.model().score)
                let search = try Self.search(space, budget: 8000, randomSeed: UInt64(randomSeed))
                let outcome = try #require(try caller.run(search))
                #expect(Set(caller.asked).count == caller.asked.count)
                var reached: [Candidate: Int] = [:]
                for trial in caller.asked {
                    if !outcome.seeds.contains(where: { $0.candidate == trial.candidate }) {
                        try space.check(trial.candidate)
                    }
                    switch trial.purpose {
                    case .search:
                        #expect(trial.rung == reached[trial.candidate, default: -1] + 1)
                        reached[trial.candidate] = trial.rung
                    case .final:
                        #expect(trial.rung == 2 && reached[trial.candidate] == 2)
                    }
                }
                #expect(outcome.fullLengthEvaluationsSaved == reached.values.count { $0 < 2 })
                for rung in 0...2 {
                    #expect(outcome.evaluations[rung] == reached.values.count { $0 >= rung })
                }
                let cost = zip(outcome.evaluations, Self.rungs).reduce(0) { $0 + Double($1.0) * $1.1.cost }
                #expect(cost + Double(outcome.finalEvaluations) * 140 <= 8000)
            }
        }
    }

    @Test("The same seed asks the same, another seed does not")
    func determinism() throws {
        let space = try SearchSpace.small()
        func asked(_ randomSeed: UInt64) throws -> ([Trial], SearchOutcome?) {
            var caller = Caller(score: Self.model().score)
            let outcome = try caller.run(Self.search(space, randomSeed: randomSeed))
            return (caller.asked, outcome)
        }
        let (trials, outcome) = try asked(7)
        let (again, sameOutcome) = try asked(7)
        #expect(trials == again && outcome == sameOutcome)
        #expect(trials.map(\.candidate.origin) == again.map(\.candidate.origin))
        let (others, _) = try asked(8)
        #expect(others != trials && others.prefix(12) == trials.prefix(12))
    }

    @Test("A search that is killed after any step and replayed from its journal ends alike")
    func resumption() throws {
        for space in [try SearchSpace.small(), try SearchSpace.small(criticalPairs: 14...31)] {
            let search = try Self.search(space, budget: 2400) {
                $0.shapeGenerations = 3
                $0.generations = 3
                $0.population = 8
            }
            var whole = Caller(score: Self.model().score)
            let expected = try #require(try whole.run(search))
            var steps = 0
            while true {
                var first = Caller(score: Self.model().score)
                if try first.run(search, steps: steps) != nil { break }
                // Half of a step's results made it into the journal before the end.
                var journal = first.journal
                for trial in first.asked.suffix(2) { journal[trial] = nil }
                var second = Caller(journal: journal, score: Self.model().score)
                #expect(try second.run(search) == expected)
                #expect(second.asked == whole.asked && second.known == journal.count)
                steps += 1
            }
            #expect(steps >= 20)
        }
    }

    @Test("LongRoPE2: the closed form below the critical pair, the scale to its double from there on")
    func criticalPairs() throws {
        let space = try SearchSpace.small(criticalPairs: 14...31)
        // The best has its critical pair at 27, and a rising tail.
        let top = 4.4
        let below = (0..<27).map { pow(top, Double($0) / 27) }
        let factors = below + (0..<5).map { top + 0.2 * Double($0) }
        let best = Candidate(factors: factors, attentionFactor: 1.1)
        let model = SyntheticModel(best: best, noise: [0.01, 0.005, 0])
        for randomSeed in 1...3 {
            var caller = Caller(score: model.score)
            let outcome = try #require(
                try caller.run(Self.search(space, budget: 10_000, randomSeed: UInt64(randomSeed))))
            var critical: Set<Int> = []
            for trial in caller.asked where trial.candidate.origin != .yarn {
                let factors = trial.candidate.factors
                guard trial.candidate != space.linear, trial.candidate != space.ntk else { continue }
                // The first multiple of the step that is at least s, from which the others follow.
                let pair = (14...31).first { pair in
                    let top = factors[pair]
                    let closed = (0..<pair).map { pow(top, Double($0) / Double(pair)) }
                    return top >= 4 && zip(factors, closed).allSatisfy { abs($0 - $1) < 1e-9 }
                }
                let first = try #require(pair)
                critical.insert(first)
                #expect(factors[first...].allSatisfy { $0 >= 4 && $0 <= 8 })
            }
            let seedLoss = (outcome.seeds.map(\.searchScore).min() ?? 0) - 2.5
            let loss = outcome.best.searchScore - 2.5
            #expect(loss < seedLoss / 8 && critical.count >= 8)
        }
    }

    @Test("LongRoPE2's first population: one factor from every possible critical pair on")
    func algorithm1() throws {
        let space = try SearchSpace.small(criticalPairs: 14...20)
        var plan = SearchPlan.paper()
        plan.population = 1 + 14
        let search = try FactorSearch(
            space: space, plan: plan, rungs: [Self.rungs[2]], seeds: [space.ntk], randomSeed: 1)
        var caller = Caller { Self.model().score(Trial(candidate: $0.candidate, rung: 2)) }
        _ = try caller.run(search, steps: 2)
        let first = caller.asked.filter { $0.candidate.origin == .critical }.map(\.candidate.factors)
        #expect(first.count == 14)
        let starts = first.map { factors in factors.firstIndex(of: factors[31]) }
        #expect(starts == Array(14...20) + Array(14...20))
        #expect(Set(first.map { $0[31] }).count >= 12 && first.allSatisfy { (4...8).contains($0[31]) })
    }

    @Test("Second stage: multipliers of the base, monotone even where the base is not")
    func secondStage() throws {
        var base = Target.kinked.candidate.factors
        base[5] = 1.11
        let space = try SearchSpace.small(scale: 8, base: base)
        let wanted: [Double] = base.indices.map { base[$0] * (1 + 6.5 * min(1, pow(Double($0) / 25, 2))) }
        let model = SyntheticModel(
            best: Candidate(factors: wanted, attentionFactor: 1.1), noise: [0.01, 0.005, 0])
        var caller = Caller(score: model.score)
        let outcome = try #require(try caller.run(Self.search(space, budget: 10_000)))
        let multipliers = zip(outcome.best.candidate.factors, base).map { $0 / $1 }
        #expect(zip(multipliers, multipliers.dropFirst()).allSatisfy { $0 <= $1 + 1e-9 })
        #expect(multipliers.allSatisfy { abs($0 * 100 - ($0 * 100).rounded()) < 1e-6 })
        #expect(multipliers.allSatisfy { $0 >= 1 - 1e-9 && $0 <= 10 + 1e-9 })
        #expect((multipliers.last ?? 0) > 6)
        #expect(outcome.best.candidate.factors[5] >= base[5])
        let seedLoss = (outcome.seeds.map(\.searchScore).min() ?? 0) - 2.5
        #expect(outcome.best.searchScore - 2.5 < seedLoss / 4)
    }

    @Test("Recovery: a lower ceiling binds what is bred, not the seeds")
    func recovery() throws {
        let space = try SearchSpace.small(scale: 2, ceiling: 1.6)
        let best = Candidate(factors: (0..<32).map { 1 + 0.5 * Double($0) / 31 })
        let model = SyntheticModel(best: best, noise: [0.01, 0.005, 0])
        var caller = Caller(score: model.score)
        let outcome = try #require(try caller.run(Self.search(space, budget: 10_000)))
        #expect(outcome.seeds[0].candidate.factors[31] == 2)
        let bred = caller.asked.filter { $0.candidate.origin == .shape || $0.candidate.origin == .mutation }
        #expect(bred.count > 100 && bred.allSatisfy { ($0.candidate.factors.last ?? 0) <= 1.6 })
        #expect(Self.distance(outcome.best.candidate, best) < 0.05)
    }

    @Test("Finals decide, by the mean over all documents, and the best seed takes part")
    func finals() throws {
        let space = try SearchSpace.small()
        let model = Self.model()
        let seeds = space.knownScalings
        // The further documents find fault with all that was bred.
        var caller = Caller { trial in
            let isSeed = seeds.contains(trial.candidate)
            return model.score(trial) + (trial.purpose == .final && !isSeed ? 1 : 0)
        }
        let search = try Self.search(space)
        let outcome = try #require(try caller.run(search))
        let bestSeed = try #require(outcome.seeds.min { $0.searchScore < $1.searchScore })
        #expect(outcome.best == bestSeed && outcome.finalists.count == 5)
        #expect(outcome.finalists.dropFirst().allSatisfy { $0.searchScore < bestSeed.searchScore })
        for finalist in outcome.finalists {
            let final = try #require(finalist.finalScore)
            #expect(abs(finalist.score - (finalist.searchScore + 2 * final) / 3) < 1e-12)
        }
        #expect(zip(outcome.finalists, outcome.finalists.dropFirst()).allSatisfy { $0.score <= $1.score })
    }

    @Test("Scores that are no numbers are hopeless and break nothing")
    func hopeless() throws {
        let space = try SearchSpace.small()
        let model = Self.model()
        var caller = Caller { trial in
            let distortion = SyntheticModel.distortion(of: trial.candidate)
            if distortion > 0.6 { return .nan }
            if distortion < -0.8 && trial.rung == 2 { return .infinity }
            return distortion > 0.5 ? -.infinity : model.score(trial)
        }
        let outcome = try #require(try caller.run(Self.search(space)))
        #expect(outcome.best.score.isFinite && outcome.best.searchScore > 2.5)
        let hopeless = caller.asked.filter {
            $0.rung > 0
                && caller.journal[Trial(candidate: $0.candidate, rung: $0.rung - 1)]?.isFinite == false
        }
        #expect(hopeless.allSatisfy { trial in outcome.seeds.contains { $0.candidate == trial.candidate } })

        for score in [Double.nan, .infinity, -.infinity] {
            var nothing = Caller { _ in score }
            let outcome = try #require(try nothing.run(Self.search(space)))
            #expect(outcome.best.score == .infinity && outcome.best.candidate == space.linear)
            #expect(outcome.finalEvaluations == 0 && outcome.finalists.isEmpty)
        }
    }

    @Test("Equal scores everywhere: the search ends and the first seed wins")
    func equalScores() throws {
        let space = try SearchSpace.small()
        var caller = Caller { _ in 2.5 }
        let outcome = try #require(try caller.run(Self.search(space)))
        #expect(outcome.best.candidate == space.linear && outcome.best.score == 2.5)
    }

    @Test("A space of three vectors is used up")
    func tinySpace() throws {
        let space = try SearchSpace(
            pairs: 2, scale: 1, theta: 1e4, originalContext: 64, ceiling: 1.01, startTokens: [0],
            attentionFactors: 1...1)
        let best = Candidate(factors: [1, 1.01])
        for budget in [900, 3600, 100_000.0] {
            var caller = Caller(score: SyntheticModel(best: best).score)
            let search = try Self.search(space, budget: budget)
            let outcome = try #require(try caller.run(search))
            #expect(outcome.seeds.count == 1 && outcome.best.candidate == best)
            // The least plan has one generation of the smooth family, which lacks one of them.
            #expect(outcome.evaluations[0] == (budget < 1000 ? 2 : 3))
        }
        var one = Caller { _ in 1 }
        let single = try SearchSpace(
            pairs: 1, scale: 1, theta: 1e4, originalContext: 64, ceiling: 1, startTokens: [0],
            attentionFactors: 1...1)
        #expect(try one.run(Self.search(single))?.evaluations == [1, 1, 1])
    }

    @Test("Progress goes through the phases and counts")
    func progress() throws {
        let space = try SearchSpace.small()
        var search = try Self.search(space)
        let model = Self.model()
        var phases: [SearchProgress.Phase] = []
        #expect(search.progress.best == nil)
        var asked = 0
        while case .evaluate(let trials) = search.next() {
            let progress = search.progress
            if phases.last != progress.phase { phases.append(progress.phase) }
            #expect(progress.evaluations.reduce(progress.finalEvaluations, +) == asked)
            #expect((0...progress.generations).contains(progress.generation))
            try search.record(trials.map { [model.score($0)] })
            asked += trials.count
        }
        #expect(phases == [.seeds, .shapes, .pairs, .finals])
        let last = search.progress
        guard case .finished(let outcome) = search.next() else { return }
        #expect(last.phase == .finished && last.best == outcome.best && last.generations == 13)
        #expect(last.fullLengthEvaluationsSaved == 108 - 17)
        #expect(last.fullLengthEvaluationsSaved == outcome.fullLengthEvaluationsSaved)
    }

    @Test("Wrong results and seeds are refused with the figures, and change nothing")
    func refusals() throws {
        let space = try SearchSpace.small()
        var search = try Self.search(space)
        let step = search.next()
        refuses(.unexpectedResults, "3 results for 12 trials") { try search.record([[1], [2], [3]]) }
        #expect(search.next() == step)
        while case .evaluate(let trials) = search.next() { try search.record(trials.map { _ in [1] }) }
        refuses(.unexpectedResults, "0 results for a search that is finished") { try search.record([]) }

        refuses(.invalidCandidate, "there are 2 factors; 32 pairs need 32") {
            try Self.search(space, seeds: [Candidate(factors: [1, 2])])
        }
        let seeds = [space.linear, Candidate(factors: [0] + [Double](repeating: 1, count: 31))]
        refuses(.invalidCandidate, "factor 0 is 0.0") { try Self.search(space, seeds: seeds) }
    }
}
