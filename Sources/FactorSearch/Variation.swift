// New genomes from old ones: LongRoPE's mutation and crossover as its released code does them, and LongRoPE2's
// mutation.
import Foundation
import Sampling

extension SplitMix64 {
    /// A whole number, each equally likely but for rounding.
    mutating func nextInteger(in range: ClosedRange<Int>) -> Int {
        min(
            range.upperBound,
            range.lowerBound + Int(nextUnit() * Double(range.upperBound - range.lowerBound + 1)))
    }

    /// Mean 0, standard deviation 1 (Box and Muller).
    mutating func nextNormal() -> Double {
        let radius = (-2 * log(1 - nextUnit())).squareRoot()
        return radius * cos(2 * .pi * nextUnit())
    }
}

/// Draws variations within a space. All of them stay inside its limits and keep the order of the factors.
struct Variation {
    let space: SearchSpace
    /// The probability that a gene changes.
    let probability: Double
    let crossoverPasses: Int

    /// Redraws each pair, with the probability, uniformly between its present neighbours; only the last pair can
    /// raise the largest factor (LongRoPE, algorithm 1; microsoft/LongRoPE, dim_mono). With a critical pair only
    /// pairs from there on are free (LongRoPE2, algorithm 2), and the pair itself moves by up to two.
    func mutate(_ parent: Genome, _ random: inout SplitMix64) -> Genome {
        var child = parent
        let limits = space.units
        if let range = space.criticalPairs, let critical = child.criticalPair, hits(&random) {
            let moved = critical + random.nextInteger(in: -2...2)
            child.criticalPair = min(range.upperBound, max(range.lowerBound, moved))
            child.levelBelowCriticalPair()
        }
        let first = child.criticalPair ?? 0
        for pair in first..<child.units.count where hits(&random) {
            let low = pair == first ? limits.lowerBound : child.units[pair - 1]
            let high = pair + 1 < child.units.count ? child.units[pair + 1] : limits.upperBound
            child.units[pair] = random.nextInteger(in: low...max(low, high))
        }
        child.levelBelowCriticalPair()
        changeScalars(&child, &random)
        return child
    }

    /// Copies genes of `other` into `better`, a few in each pass, until the child is new and in order; nil where it
    /// never is. Such a child differs from `better` in very few genes (microsoft/LongRoPE, dim_mono).
    func cross(
        _ better: Genome, _ other: Genome, _ random: inout SplitMix64, isNew: (Genome) -> Bool
    ) -> Genome? {
        func picks(_ random: inout SplitMix64) -> Bool { hits(&random) && random.nextUnit() < 0.5 }
        var child = better
        for _ in 0..<crossoverPasses {
            for pair in child.units.indices where picks(&random) && child.units[pair] != other.units[pair] {
                child.units[pair] = other.units[pair]
                if let found = settled(child), isNew(found) { return found }
            }
            if picks(&random) { child.startTokens = other.startTokens }
            if picks(&random) { child.attention = other.attention }
            if picks(&random) { child.criticalPair = other.criticalPair }
            if let found = settled(child), isNew(found) { return found }
        }
        return nil
    }

    /// The child as a member of the space, if its factors are in order.
    private func settled(_ child: Genome) -> Genome? {
        var child = child
        child.levelBelowCriticalPair()
        return child.isMonotone ? child : nil
    }

    private func changeScalars(_ child: inout Genome, _ random: inout SplitMix64) {
        if hits(&random) {
            child.startTokens = space.startTokens[random.nextInteger(in: 0...(space.startTokens.count - 1))]
        }
        if hits(&random) {
            let limits = space.attentionUnits
            let width = Double(limits.upperBound - limits.lowerBound)
            let moved = Double(child.attention) + (random.nextNormal() * 0.1 * width).rounded()
            child.attention = space.attention(nearest: moved / 1000)
        }
    }

    private func hits(_ random: inout SplitMix64) -> Bool { random.nextUnit() < probability }
}
