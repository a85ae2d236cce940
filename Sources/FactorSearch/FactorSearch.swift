// The search for LongRoPE factors as a value: it says which candidates to evaluate and is told the results. It knows
// nothing of models, files or clocks.
import Sampling

/// A search for the factors, start tokens and attention factor of least perplexity.
///
/// LongRoPE's evolutionary search (arXiv 2402.13753, algorithm 1) with two savings: it begins in a smooth family of
/// vectors, and it evaluates at full length only what cheaper rungs found good. What wins is decided at full length.
///
/// The trials depend on the arguments of `init` and the results recorded so far, on nothing else. An interrupted
/// search is continued by making the same search again and recording the same results. (On a platform whose `exp`
/// or `pow` differ in the last bit some trials may be new.)
///
///     var search = try FactorSearch(space: space, plan: plan, rungs: rungs, seeds: seeds, randomSeed: 1)
///     while case .evaluate(let trials) = search.next() { try search.record(evaluate(trials)) }
public struct FactorSearch: Sendable {
    private enum Stage {
        case seeds([Int])
        case race(Race)
        case finals([Int])
        case finished(SearchOutcome)
    }

    /// A generation on its way up the rungs.
    private struct Race {
        /// What is being evaluated now.
        var running: [Int]
        var rung = 0
        /// For a generation of the smooth family: its points with the individuals they stand for.
        var points: [(point: [Double], number: Int)] = []
    }

    public let space: SearchSpace
    public let plan: SearchPlan
    public let rungs: [Rung]
    private let variation: Variation
    private var random: SplitMix64
    private var records: Records
    private var seeds: [Int] = []
    private var stage = Stage.seeds([])
    private var generation = 0
    private var shapes: (family: ShapeFamily, search: CMAES)?
    private var history: [Double] = []

    /// - Parameters:
    ///   - rungs: the cheapest first; the last is the full length.
    ///   - seeds: one or more candidates to begin with and to beat, such as `space.knownScalings` and published
    ///     vectors. They may lie outside the space; repeated ones are dropped.
    /// - Throws: `invalidPlan`; `invalidCandidate` for a seed with impossible values.
    public init(
        space: SearchSpace, plan: SearchPlan, rungs: [Rung], seeds: [Candidate], randomSeed: UInt64
    ) throws(FactorSearchError) {
        try plan.check(rungs: rungs, seedCount: seeds.count)
        self.space = space
        self.plan = plan
        self.rungs = rungs
        variation = Variation(
            space: space, probability: plan.mutationProbability, crossoverPasses: plan.crossoverPasses)
        random = SplitMix64(seed: randomSeed)
        records = Records(rungs: rungs)
        for seed in seeds {
            try space.checkSeed(seed)
            if let number = records.add(seed, space.genome(of: seed)) { self.seeds.append(number) }
        }
        stage = .seeds(self.seeds)
    }

    /// What to do now; the same until `record` is called.
    public func next() -> SearchStep {
        switch stage {
        case .seeds(let numbers):
            .evaluate(
                numbers.flatMap { number in
                    rungs.indices.map { Trial(candidate: records.individuals[number].candidate, rung: $0) }
                })
        case .race(let race):
            .evaluate(
                race.running.map { Trial(candidate: records.individuals[$0].candidate, rung: race.rung) })
        case .finals(let numbers):
            .evaluate(
                numbers.map {
                    Trial(
                        candidate: records.individuals[$0].candidate, rung: rungs.count - 1, purpose: .final)
                })
        case .finished(let outcome): .finished(outcome)
        }
    }

    /// Takes the results of the trials that `next` asked for, in the order in which it asked: of each the mean negative
    /// log-likelihood, or on a rung with several parts one for each part. One that is not finite means that the
    /// candidate is hopeless.
    /// - Throws: `unexpectedResults` where their number is not that of the trials or parts; the search is unchanged then.
    public mutating func record(_ results: [[Double]]) throws(FactorSearchError) {
        guard case .evaluate(let trials) = next() else {
            throw FactorSearchError(
                .unexpectedResults, "\(results.count) results for a search that is finished")
        }
        guard results.count == trials.count else {
            throw FactorSearchError(
                .unexpectedResults,
                "\(results.count) results for \(trials.count) trials; one for each is needed")
        }
        for (trial, result) in zip(trials, results) where result.count != rungs[trial.rung].parts {
            throw FactorSearchError(
                .unexpectedResults,
                "a result of \(result.count) parts; rung \(rungs[trial.rung].name) has \(rungs[trial.rung].parts)"
            )
        }
        for (trial, result) in zip(trials, results) {
            guard let number = records.number(of: trial.candidate) else { continue }
            records.note(result, of: number, trial.purpose, rung: trial.rung)
        }
        switch stage {
        case .seeds: beginGeneration(with: firstPopulation())
        case .race(let race): promote(race)
        case .finals: finish()
        case .finished: break
        }
    }

    public var progress: SearchProgress {
        let phase: SearchProgress.Phase =
            switch stage {
            case .seeds: .seeds
            case .race where generation == 0: .seeds
            case .race(let race): race.points.isEmpty ? .pairs : .shapes
            case .finals: .finals
            case .finished: .finished
            }
        let generations = plan.shapeGenerations + plan.generations
        var best = records.atFullLength.first.map(judged)
        if case .finished(let outcome) = stage { best = outcome.best }
        return SearchProgress(
            phase: phase, generation: min(generation, generations), generations: generations,
            best: best, evaluations: records.evaluations, finalEvaluations: records.finalEvaluations,
            fullLengthEvaluationsSaved: records.fullLengthEvaluationsSaved)
    }

    // MARK: Generations

    /// Starts the race of new individuals; nothing new means the generation is over.
    private mutating func beginGeneration(
        with members: [Int], points: [(point: [Double], number: Int)] = []
    ) {
        if members.isEmpty {
            endGeneration()
        } else {
            stage = .race(Race(running: members, points: points))
        }
    }

    /// The best of a rung go on to the next, the hopeless never.
    private mutating func promote(_ race: Race) {
        var race = race
        let hopeful = records.ranked(race.running).filter { records.score($0).isFinite }
        if race.rung + 1 < rungs.count, !hopeful.isEmpty {
            race.running = Array(hopeful.prefix(plan.survivors(of: race.running.count, on: race.rung)))
            race.rung += 1
            stage = .race(race)
            return
        }
        if !race.points.isEmpty {
            let order = race.points.indices.sorted {
                let (a, b) = (race.points[$0].number, race.points[$1].number)
                return a == b ? $0 < $1 : records.precedes(a, b)
            }
            shapes?.search.learn(ranked: order.map { race.points[$0].point })
        }
        endGeneration()
    }

    /// Notes the best so far and begins the next generation; the finals after the last, or where nothing new is left.
    private mutating func endGeneration() {
        records.fitWeights()
        history.append(records.atFullLength.first.map { records.score($0) } ?? .infinity)
        generation += 1
        if generation <= plan.shapeGenerations {
            let (members, points) = shapeGeneration()
            if !members.isEmpty { return beginGeneration(with: members, points: points) }
            // The smooth family is used up.
            generation = plan.shapeGenerations + 1
        }
        let members = generation <= plan.shapeGenerations + plan.generations ? pairGeneration() : []
        if members.isEmpty {
            beginFinals()
        } else {
            beginGeneration(with: members)
        }
    }

    /// Mutations of the seeds, as many as the plan's population lacks; LongRoPE2: one random factor from each
    /// possible critical pair on (algorithm 1).
    private mutating func firstPopulation() -> [Int] {
        var members: [Int] = []
        for index in 0..<max(0, plan.population - seeds.count) {
            let parent = records.individuals[seeds[index % seeds.count]].genome
            if let range = space.criticalPairs {
                let candidate = newIndividual(.critical) { search in
                    var genome = parent
                    let factor = search.random.nextInteger(in: search.space.units)
                    genome.units = [Int](repeating: factor, count: search.space.pairs)
                    genome.criticalPair = range.lowerBound + index % range.count
                    return genome
                }
                if let candidate { members.append(candidate) }
            } else if let number = mutation(of: parent) {
                members.append(number)
            }
        }
        return members
    }

    private mutating func shapeGeneration() -> (members: [Int], points: [(point: [Double], number: Int)]) {
        let (family, search) = shapes ?? shapesRoundTheBest()
        shapes = (family, search)
        var members: [Int] = []
        var points: [(point: [Double], number: Int)] = []
        for _ in 0..<plan.shapePopulation {
            // A point that stands for a known individual counts again, but is not evaluated again.
            for attempt in 1...20 {
                let point = search.sample(&random)
                let genome = family.genome(point)
                let candidate = space.express(genome, origin: .shape)
                if let number = records.add(candidate, genome) {
                    members.append(number)
                    points.append((point, number))
                    break
                }
                if attempt == 20, let number = records.number(of: candidate) {
                    points.append((point, number))
                }
            }
        }
        return (members, points)
    }

    private func shapesRoundTheBest() -> (family: ShapeFamily, search: CMAES) {
        let best = records.parents(1).first.map { records.individuals[$0].genome }
        let family = ShapeFamily(space: space)
        let mean = best.map { family.point(like: $0) } ?? [Double](repeating: 0.5, count: family.dimensions)
        return (family, CMAES(mean: mean, deviation: 0.15))
    }

    /// Algorithm 1: mutations and crossovers of the best of all generations.
    private mutating func pairGeneration() -> [Int] {
        let parents = records.parents(plan.parents)
        guard !parents.isEmpty else { return [] }
        var members: [Int] = []
        for _ in 0..<plan.mutations {
            let parent = parents[random.nextInteger(in: 0...(parents.count - 1))]
            if let number = mutation(of: records.individuals[parent].genome) { members.append(number) }
        }
        for _ in 0..<plan.crossovers {
            if let number = crossover(parents) { members.append(number) }
        }
        return members
    }

    private mutating func crossover(_ parents: [Int]) -> Int? {
        // Ranks: the lower is the better one.
        let first = random.nextInteger(in: 0...(parents.count - 1))
        guard parents.count > 1 else { return mutation(of: records.individuals[parents[first]].genome) }
        let offset = random.nextInteger(in: 1...(parents.count - 1))
        let second = (first + offset) % parents.count
        let better = records.individuals[parents[min(first, second)]].genome
        let other = records.individuals[parents[max(first, second)]].genome
        let (space, records) = (space, records)
        let child = variation.cross(better, other, &random) {
            records.number(of: space.express($0, origin: .crossover)) == nil
        }
        guard let child else { return mutation(of: better) }
        return self.records.add(space.express(child, origin: .crossover), child)
    }

    private mutating func mutation(of parent: Genome) -> Int? {
        newIndividual(.mutation) { $0.variation.mutate(parent, &$0.random) }
    }

    /// Draws until something new comes; nil after 100 draws, since a small space may be used up.
    private mutating func newIndividual(
        _ origin: Candidate.Origin, _ draw: (inout FactorSearch) -> Genome
    ) -> Int? {
        for _ in 0..<100 {
            let genome = draw(&self)
            if let number = records.add(space.express(genome, origin: origin), genome) { return number }
        }
        return nil
    }

    // MARK: Finals

    private var bestSeed: Int? { records.ranked(seeds).first }

    private mutating func beginFinals() {
        var finalists = Array(
            records.atFullLength.filter { records.score($0).isFinite }.prefix(plan.finalists))
        if let bestSeed, !finalists.isEmpty, !finalists.contains(bestSeed) { finalists.append(bestSeed) }
        stage = .finals(finalists)
        if finalists.isEmpty { finish() }
    }

    private mutating func finish() {
        let finalists =
            records.individuals.indices.filter { records.individuals[$0].finalScore != nil }
            .map { (number: $0, judged: judged($0)) }
            .sorted { ($0.judged.score, $0.number) < ($1.judged.score, $1.number) }
            .map(\.judged)
        guard let best = finalists.first ?? (records.atFullLength.first ?? seeds.first).map(judged) else {
            return
        }
        stage = .finished(
            SearchOutcome(
                best: best, finalists: finalists, seeds: seeds.map(judged),
                evaluations: records.evaluations, finalEvaluations: records.finalEvaluations,
                fullLengthEvaluationsSaved: records.fullLengthEvaluationsSaved, history: history))
    }

    private func judged(_ number: Int) -> JudgedCandidate {
        let individual = records.individuals[number]
        let last = records.score(number)
        let (search, final) = (Double(plan.searchDocuments), Double(plan.finalDocuments))
        let score = individual.finalScore.map { (last * search + $0 * final) / (search + final) }
        return JudgedCandidate(
            candidate: individual.candidate, searchScore: last,
            finalScore: individual.finalScore, score: score ?? last)
    }
}
