// What can be wrong with a search's space, candidates, plan or results.

/// A search that cannot be made or continued, with the figures that say why.
public struct FactorSearchError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of problem, for code that has to tell them apart.
    public enum Code: Sendable, Equatable {
        /// A limit of the search space is out of its range, or two of them contradict each other.
        case invalidSpace
        /// A candidate cannot be used as a seed, or is no member of the search space.
        case invalidCandidate
        /// A number of the plan is out of its range, or does not fit the rungs.
        case invalidPlan
        /// The budget does not even cover the seeds, one small generation and the finals.
        case budgetTooSmall
        /// The results do not answer what was asked.
        case unexpectedResults
    }

    public let code: Code
    /// One sentence for people: the thing, the limit and, where there is one, the remedy.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    static func require(
        _ holds: Bool, _ code: Code, _ problem: @autoclosure () -> String
    ) throws(FactorSearchError) {
        guard holds else { throw FactorSearchError(code, problem()) }
    }
}
