// What is searched for, and one question about it.

/// LongRoPE factors, start tokens and attention factor: what a rotary profile adds to a model's own numbers.
public struct Candidate: Sendable, Hashable, Codable {
    /// How a candidate came about; for reports only.
    public enum Origin: String, Sendable, Codable {
        /// Position interpolation: the same factor for every pair.
        case linear = "PI"
        case ntk = "NTK"
        case yarn = "YaRN"
        /// Given by the caller, who knows where it is from.
        case published
        /// What a search at a shorter length found, stretched.
        case stretched
        /// A member of a smooth family with a few numbers.
        case shape
        /// LongRoPE2's first population: one factor from the critical pair on (arXiv 2502.20082, algorithm 1).
        case critical
        case mutation, crossover
    }

    /// One per pair: what the wavelength is stretched by (lambda; arXiv 2402.13753, equation 3). Found ones are
    /// multiples of the space's step, except below a critical pair and in a second stage.
    public let factors: [Double]
    /// n-hat: positions below it use unstretched wavelengths.
    public let startTokens: Int
    /// Multiplies cos and sin.
    public let attentionFactor: Double
    /// No part of the candidate's identity: equal values are equal candidates.
    public let origin: Origin

    public init(
        factors: [Double], startTokens: Int = 0, attentionFactor: Double = 1, origin: Origin = .published
    ) {
        self.factors = factors
        self.startTokens = startTokens
        self.attentionFactor = attentionFactor
        self.origin = origin
    }

    public static func == (a: Candidate, b: Candidate) -> Bool {
        a.startTokens == b.startTokens && a.attentionFactor == b.attentionFactor && a.factors == b.factors
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(factors)
        hasher.combine(startTokens)
        hasher.combine(attentionFactor)
    }
}

/// One evaluation: the mean negative log-likelihood of a candidate by one yardstick.
///
/// A search never asks for the same trial twice, so a journal may hold results by trial.
public struct Trial: Sendable, Hashable, Codable {
    /// Which documents are to be used.
    public enum Purpose: String, Sendable, Codable {
        /// The documents that guide the search.
        case search
        /// Further documents, which no candidate has been chosen by.
        case final
    }

    public let candidate: Candidate
    /// The index of the rung, from 0, the cheapest; `final` trials are always on the last one.
    public let rung: Int
    public let purpose: Purpose

    public init(candidate: Candidate, rung: Int, purpose: Purpose = .search) {
        self.candidate = candidate
        self.rung = rung
        self.purpose = purpose
    }
}
