// From the likelihoods of tokens to perplexities that can be compared, with their errors.
import Foundation
import Numerals

/// The negative log-likelihoods (natural logarithm) of one document, added up.
public struct DocumentScore: Sendable, Hashable {
    /// How many tokens were scored.
    public private(set) var tokens = 0
    /// The sum of their negative log-likelihoods.
    public private(set) var total = 0.0

    /// A document of which nothing has been scored yet.
    public init() {}

    /// A document scored in one go.
    public init(_ nlls: some Sequence<Double>) { add(nlls) }

    /// Adds the scored tokens of one window.
    public mutating func add(_ nlls: some Sequence<Double>) {
        for nll in nlls {
            tokens += 1
            total += nll
        }
    }

    /// Adds what was scored of the same document in another window.
    public mutating func add(_ other: DocumentScore) {
        tokens += other.tokens
        total += other.total
    }

    /// The mean a token; NaN before a token was scored.
    public var mean: Double { total / Double(tokens) }
}

/// A method's perplexity over documents.
///
/// Every document counts alike, as in LongRoPE's released code: the mean is that of the documents' means.
public struct PerplexitySummary: Sendable, Hashable {
    public let documents: Int
    /// The scored tokens of all documents.
    public let tokens: Int
    /// The mean negative log-likelihood a token.
    public let meanNLL: Double
    /// The standard error of `meanNLL` over documents; nil for one document, which says nothing about others.
    public let standardError: Double?

    /// Throws `invalidScores` when there is no document, or one without a token or with a score that is no number.
    public init(_ documents: [DocumentScore]) throws(EvaluationError) {
        guard !documents.isEmpty else {
            throw EvaluationError(
                .invalidScores, "there is no document to take a perplexity of; score at least one")
        }
        for (index, document) in documents.enumerated() { try document.check(index) }
        self.documents = documents.count
        tokens = documents.reduce(0) { $0 + $1.tokens }
        (meanNLL, standardError) = documents.map(\.mean).meanAndError
    }

    /// e to the mean negative log-likelihood.
    public var perplexity: Double { exp(meanNLL) }

    /// The standard error of the perplexity, to first order.
    public var perplexityError: Double? { standardError.map { perplexity * $0 } }
}

/// Two methods over the same documents. Documents differ far more than methods do, so the differences are taken
/// document by document.
public struct PairedComparison: Sendable, Hashable {
    public let documents: Int
    /// The mean of the first method's mean negative log-likelihood less the second's: below 0 when the first is
    /// better.
    public let meanDifference: Double
    /// The standard error of `meanDifference` over documents; nil for one document.
    public let standardError: Double?

    /// Throws `invalidScores` as `PerplexitySummary` does, and when the two did not score the same tokens.
    public init(_ first: [DocumentScore], _ second: [DocumentScore]) throws(EvaluationError) {
        guard first.count == second.count, !first.isEmpty else {
            throw EvaluationError(
                .invalidScores,
                "one method scored \(first.count) documents, the other \(second.count); a comparison needs the same "
                    + "documents, at least one")
        }
        for (index, (a, b)) in zip(first, second).enumerated() {
            try a.check(index)
            try b.check(index)
            guard a.tokens == b.tokens else {
                throw EvaluationError(
                    .invalidScores,
                    "of document \(index + 1) one method scored \(a.tokens.grouped) tokens, the other "
                        + "\(b.tokens.grouped); score the same windows with both")
            }
        }
        documents = first.count
        (meanDifference, standardError) = zip(first, second).map { $0.mean - $1.mean }.meanAndError
    }

    /// The first method's perplexity over the second's: 0.98 is two per cent better.
    public var perplexityRatio: Double { exp(meanDifference) }
}

extension DocumentScore {
    fileprivate func check(_ index: Int) throws(EvaluationError) {
        guard tokens > 0 else {
            throw EvaluationError(
                .invalidScores, "no token of document \(index + 1) was scored; leave it out or score it")
        }
        guard total.isFinite else {
            throw EvaluationError(
                .invalidScores,
                "the log-likelihoods of document \(index + 1) add up to \(total): the model's computation went wrong"
            )
        }
    }
}

extension [Double] {
    /// The mean, and its standard error from the sample's variance (n - 1).
    fileprivate var meanAndError: (mean: Double, error: Double?) {
        let count = Double(self.count)
        let mean = reduce(0, +) / count
        guard self.count > 1 else { return (mean, nil) }
        let squares = reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / (count - 1) / count).squareRoot())
    }
}
