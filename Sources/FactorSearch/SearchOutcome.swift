// What a search says about itself while it runs and when it is done.

/// A candidate and what was measured of it at full length. Scores are mean negative log-likelihoods: less is better.
public struct JudgedCandidate: Sendable, Hashable {
    public let candidate: Candidate
    /// On the search's documents; infinite where the evaluation gave no number.
    public let searchScore: Double
    /// On the final documents; nil where it was not among the finalists.
    public let finalScore: Double?
    /// The mean over all documents that it was evaluated on, each of equal weight.
    public let score: Double
}

/// The result of a search.
public struct SearchOutcome: Sendable, Hashable {
    /// The least score among the finalists, or, where the plan has no finals, of the search. The seed with the best
    /// search score is among the finalists, so it did no better. Infinite when no evaluation at all gave a number.
    public let best: JudgedCandidate
    /// By score, the best first, the best seed among them; empty where the plan has no finals.
    public let finalists: [JudgedCandidate]
    /// As given, with their scores.
    public let seeds: [JudgedCandidate]
    /// Evaluations on the search's documents, one number per rung.
    public let evaluations: [Int]
    /// Evaluations on the final documents.
    public let finalEvaluations: Int
    /// Individuals that were judged by cheap rungs alone.
    public let fullLengthEvaluationsSaved: Int
    /// The best score at full length on the search's documents after each generation, from 0, the seeds'.
    public let history: [Double]
}

/// Where a search is.
public struct SearchProgress: Sendable, Hashable {
    public enum Phase: String, Sendable {
        /// Generation 0: what the caller gave, and mutations of it.
        case seeds
        /// The smooth family.
        case shapes
        /// Single pairs.
        case pairs
        case finals, finished
    }

    public let phase: Phase
    /// From 0, of `generations`.
    public let generation: Int
    /// The last generation's number.
    public let generations: Int
    /// The best at full length so far; nil before the first result.
    public let best: JudgedCandidate?
    /// Evaluations done on the search's documents, one number per rung.
    public let evaluations: [Int]
    /// Evaluations done on the final documents.
    public let finalEvaluations: Int
    /// Individuals that were judged by cheap rungs alone so far.
    public let fullLengthEvaluationsSaved: Int
}

/// What a search wants next.
public enum SearchStep: Sendable, Equatable {
    /// Evaluate these, in any order and at the same time, and give the results to `record`.
    case evaluate([Trial])
    case finished(SearchOutcome)
}
