// Candidates as whole numbers, which is what variation works on, and the way there and back.
import Foundation

/// A member of a search space.
struct Genome: Sendable, Hashable {
    /// Factors or multipliers in steps, one per pair, never falling. Those below a critical pair repeat its value.
    var units: [Int]
    var startTokens: Int
    /// In thousandths.
    var attention: Int
    var criticalPair: Int?

    var isMonotone: Bool { zip(units, units.dropFirst()).allSatisfy { $0 <= $1 } }

    /// Gives the pairs below the critical one its value.
    mutating func levelBelowCriticalPair() {
        guard let criticalPair else { return }
        for pair in 0..<criticalPair { units[pair] = units[criticalPair] }
    }
}

extension SearchSpace {
    /// The least factor that is searched.
    var least: Double { criticalPairs == nil ? 1 : scale }

    /// What the units of a genome may be. Rounding errors of the division must not lose a limit.
    var units: ClosedRange<Int> {
        let low = Int((least / step - 1e-6).rounded(.up))
        return low...max(low, Int((ceiling / step + 1e-6).rounded(.down)))
    }

    /// What the attention of a genome may be; the outermost stand for the exact limits.
    var attentionUnits: ClosedRange<Int> {
        let low = Int((attentionFactors.lowerBound * 1000).rounded(.down))
        guard attentionFactors.lowerBound < attentionFactors.upperBound else { return low...low }
        return low...Int((attentionFactors.upperBound * 1000).rounded(.up))
    }

    /// The multiple of the step, as near to the decimal number as a double can be.
    private func value(_ units: Int) -> Double {
        let perOne = (1 / step).rounded()
        return abs(perOne * step - 1) < 1e-12 ? Double(units) / perOne : Double(units) * step
    }

    func units(nearest value: Double) -> Int {
        let limits = units
        let units = (value / step).rounded()
        return Int(min(Double(limits.upperBound), max(Double(limits.lowerBound), units)))
    }

    func attention(nearest value: Double) -> Int {
        let limits = attentionUnits
        return Int(min(Double(limits.upperBound), max(Double(limits.lowerBound), (value * 1000).rounded())))
    }

    func multipliers(_ factors: [Double]) -> [Double] {
        guard let base else { return factors }
        return zip(factors, base).map { $0 / $1 }
    }

    func express(_ genome: Genome, origin: Candidate.Origin) -> Candidate {
        var factors = genome.units.map(value)
        if let critical = genome.criticalPair {
            let top = factors[critical]
            for pair in 0..<critical { factors[pair] = pow(top, Double(pair) / Double(critical)) }
        }
        if let base {
            for pair in factors.indices { factors[pair] *= base[pair] }
        }
        let attention = min(
            attentionFactors.upperBound, max(attentionFactors.lowerBound, Double(genome.attention) / 1000))
        return Candidate(
            factors: factors, startTokens: genome.startTokens, attentionFactor: attention, origin: origin)
    }

    /// The member of the space that is like the candidate: rounded to the step, cut at the limits, and where it falls
    /// raised to the pair before.
    func genome(of candidate: Candidate) -> Genome {
        var units: [Int] = []
        for value in multipliers(candidate.factors) {
            units.append(max(units.last ?? 0, self.units(nearest: value)))
        }
        let tokens = startTokens.min {
            (abs($0 - candidate.startTokens), $0) < (abs($1 - candidate.startTokens), $1)
        }
        let genome = Genome(
            units: units, startTokens: tokens ?? 0, attention: attention(nearest: candidate.attentionFactor))
        guard let criticalPairs else { return genome }
        func distance(_ genome: Genome) -> Double {
            zip(express(genome, origin: .published).factors, candidate.factors).reduce(0) {
                $0 + pow(log($1.0 / $1.1), 2)
            }
        }
        let variants = criticalPairs.map { pair in
            var variant = genome
            variant.criticalPair = pair
            variant.levelBelowCriticalPair()
            return (variant, distance(variant))
        }
        return variants.min { $0.1 < $1.1 }?.0 ?? genome
    }
}
