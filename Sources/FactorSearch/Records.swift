// Everything that was evaluated, and its ranking.

/// One candidate and its results.
struct Individual: Sendable {
    let candidate: Candidate
    /// What is bred from it; for a seed outside the space the member that is like it.
    let genome: Genome
    /// On the search's documents, by rung, as far as it came.
    var scores: [Double] = []
    var finalScore: Double?

    var last: Double { scores.last ?? .infinity }
}

/// All individuals of a search, by number in the order in which they were first asked for.
struct Records: Sendable {
    private(set) var individuals: [Individual] = []
    private(set) var evaluations: [Int]
    private(set) var finalEvaluations = 0
    private var numbers: [Candidate: Int] = [:]

    init(rungs: Int) { evaluations = [Int](repeating: 0, count: rungs) }

    func number(of candidate: Candidate) -> Int? { numbers[candidate] }

    /// Returns nil where the candidate is known.
    mutating func add(_ candidate: Candidate, _ genome: Genome) -> Int? {
        guard numbers[candidate] == nil else { return nil }
        numbers[candidate] = individuals.count
        individuals.append(Individual(candidate: candidate, genome: genome))
        return individuals.count - 1
    }

    /// A result that is no number means hopeless, like infinity.
    mutating func note(_ result: Double, of number: Int, _ purpose: Trial.Purpose, rung: Int) {
        let score = result.isFinite ? result : .infinity
        switch purpose {
        case .search:
            individuals[number].scores.append(score)
            evaluations[rung] += 1
        case .final:
            individuals[number].finalScore = score
            finalEvaluations += 1
        }
    }

    /// By the last rung reached and the score there, the hopeless last; among equals by number.
    func precedes(_ a: Int, _ b: Int) -> Bool {
        let (x, y) = (individuals[a], individuals[b])
        if x.last.isFinite != y.last.isFinite { return x.last.isFinite }
        if x.scores.count != y.scores.count { return x.scores.count > y.scores.count }
        return (x.last, a) < (y.last, b)
    }

    func ranked(_ numbers: some Sequence<Int>) -> [Int] { numbers.sorted(by: precedes) }

    /// What to breed from: the best, the hopeless only where there is nothing else.
    func parents(_ count: Int) -> [Int] {
        let ranked = ranked(individuals.indices)
        let hopeful = ranked.filter { individuals[$0].last.isFinite }
        return Array((hopeful.isEmpty ? ranked : hopeful).prefix(count))
    }

    /// The individuals that were evaluated at full length, the best first.
    var atFullLength: [Int] {
        ranked(individuals.indices.filter { individuals[$0].scores.count == evaluations.count })
    }

    var fullLengthEvaluationsSaved: Int {
        individuals.reduce(0) { $0 + (!$1.scores.isEmpty && $1.scores.count < evaluations.count ? 1 : 0) }
    }
}
