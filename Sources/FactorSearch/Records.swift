// Everything that was evaluated, and its ranking.

/// One candidate and its results.
struct Individual: Sendable {
    let candidate: Candidate
    /// What is bred from it; for a seed outside the space the member that is like it.
    let genome: Genome
    /// On the search's documents, by rung, as far as it came: the parts of each result.
    var results: [[Double]] = []
    var finalScore: Double?
}

/// All individuals of a search, by number in the order in which they were first asked for.
struct Records: Sendable {
    private(set) var individuals: [Individual] = []
    private(set) var evaluations: [Int]
    private var weights: [RungWeights]
    private(set) var finalEvaluations = 0
    private var numbers: [Candidate: Int] = [:]

    init(rungs: [Rung]) {
        evaluations = [Int](repeating: 0, count: rungs.count)
        weights = rungs.map { RungWeights(parts: $0.parts) }
    }

    func number(of candidate: Candidate) -> Int? { numbers[candidate] }

    /// Returns nil where the candidate is known.
    mutating func add(_ candidate: Candidate, _ genome: Genome) -> Int? {
        guard numbers[candidate] == nil else { return nil }
        numbers[candidate] = individuals.count
        individuals.append(Individual(candidate: candidate, genome: genome))
        return individuals.count - 1
    }

    /// A result that is no number means hopeless, like infinity.
    mutating func note(_ parts: [Double], of number: Int, _ purpose: Trial.Purpose, rung: Int) {
        let parts = parts.map { $0.isFinite ? $0 : .infinity }
        switch purpose {
        case .search:
            individuals[number].results.append(parts)
            evaluations[rung] += 1
        case .final:
            individuals[number].finalScore = parts.first ?? .infinity
            finalEvaluations += 1
        }
    }

    /// What ranks an individual among those that came as far: at full length its mean negative log-likelihood.
    func score(_ number: Int) -> Double {
        let results = individuals[number].results
        return results.last.map { weights[results.count - 1].score($0) } ?? .infinity
    }

    /// Learns from all that were evaluated at full length how to read the cheap rungs.
    mutating func fitWeights() {
        let full = individuals.filter { $0.results.count == evaluations.count }
        for rung in weights.indices.dropLast() {
            weights[rung].fit(full.map { ($0.results[rung], $0.results[evaluations.count - 1][0]) })
        }
    }

    /// By the last rung reached and the score there, the hopeless last; among equals by number.
    func precedes(_ a: Int, _ b: Int) -> Bool {
        let (x, y) = (score(a), score(b))
        if x.isFinite != y.isFinite { return x.isFinite }
        let (came, went) = (individuals[a].results.count, individuals[b].results.count)
        return came == went ? (x, a) < (y, b) : came > went
    }

    func ranked(_ numbers: some Sequence<Int>) -> [Int] { numbers.sorted(by: precedes) }

    /// What to breed from: the best, the hopeless only where there is nothing else.
    func parents(_ count: Int) -> [Int] {
        let ranked = ranked(individuals.indices)
        let hopeful = ranked.filter { score($0).isFinite }
        return Array((hopeful.isEmpty ? ranked : hopeful).prefix(count))
    }

    /// The individuals that were evaluated at full length, the best first.
    var atFullLength: [Int] {
        ranked(individuals.indices.filter { individuals[$0].results.count == evaluations.count })
    }

    var fullLengthEvaluationsSaved: Int {
        individuals.reduce(0) { $0 + (!$1.results.isEmpty && $1.results.count < evaluations.count ? 1 : 0) }
    }
}
