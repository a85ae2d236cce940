// A stand-in for a model whose best factors are known, and a caller with a journal.
import FactorSearch
import Foundation
import Sampling

/// Mean negative log-likelihood with its minimum at a candidate of one's choice.
struct SyntheticModel: Sendable {
    var best: Candidate
    var floor = 2.5
    /// Of a unit of ln(factor) squared, summed over the pairs.
    var weight = 0.02
    /// How far a rung's scores are off at most, by rung; none: every rung is exact.
    var noise: [Double] = []

    func score(_ trial: Trial) -> Double {
        let candidate = trial.candidate
        var loss = 0.0
        for (pair, (factor, wanted)) in zip(candidate.factors, best.factors).enumerated() {
            // Fast pairs matter more.
            let weight = weight * (2 - Double(pair) / Double(best.factors.count))
            loss += weight * pow(log(factor / wanted), 2)
        }
        loss += 0.002 * pow(log(Double(candidate.startTokens + 1) / Double(best.startTokens + 1)), 2)
        loss += 4 * pow(candidate.attentionFactor - best.attentionFactor, 2)
        let documents = trial.purpose == .final ? 0.01 : 0
        return floor + loss + documents
            + (noise.isEmpty ? 0 : noise[trial.rung] * Self.distortion(of: candidate))
    }

    /// From -1 to 1, the same whenever it is asked for: a rung that misranks.
    static func distortion(of candidate: Candidate) -> Double {
        var hash: UInt64 = 0
        for value in candidate.factors + [Double(candidate.startTokens), candidate.attentionFactor] {
            var generator = SplitMix64(seed: hash ^ value.bitPattern)
            hash = generator.next()
        }
        return Double(hash >> 11) * 0x1p-52 - 1
    }
}

extension SearchSpace {
    /// 32 pairs from 8,192 to 32,768 tokens: SmolLM2's numbers.
    static func small(
        scale: Double = 4, ceiling: Double? = nil, criticalPairs: ClosedRange<Int>? = nil,
        attentionFactors: ClosedRange<Double>? = nil, base: [Double]? = nil
    ) throws -> SearchSpace {
        try SearchSpace(
            pairs: 32, scale: scale, theta: 1e5, originalContext: 8192, ceiling: ceiling,
            attentionFactors: attentionFactors, criticalPairs: criticalPairs, base: base)
    }
}

/// Runs a search to its end.
struct Caller {
    let score: (Trial) -> Double
    /// What was evaluated before.
    var journal: [Trial: Double] = [:]
    /// All trials in the order asked, and how many of them the journal knew.
    private(set) var asked: [Trial] = []
    private(set) var known = 0

    init(journal: [Trial: Double] = [:], score: @escaping (Trial) -> Double) {
        self.journal = journal
        self.score = score
    }

    /// Returns nil where `steps` were not enough.
    mutating func run(_ search: FactorSearch, steps: Int = .max) throws -> SearchOutcome? {
        var search = search
        var left = steps
        while true {
            switch search.next() {
            case .finished(let outcome): return outcome
            case .evaluate(let trials):
                guard left > 0 else { return nil }
                left -= 1
                asked += trials
                try search.record(
                    trials.map { trial in
                        if let result = journal[trial] {
                            known += 1
                            return [result]
                        }
                        let result = score(trial)
                        journal[trial] = result
                        return [result]
                    })
            }
        }
    }
}
