// Smooth vectors with three to five numbers: they come within a few percent of what a search of every pair finds,
// for a tenth of the evaluations.
import Foundation
import Sampling
import LongRoPE

/// Points of the unit cube as genomes.
///
/// Every pair free: ceiling c, critical pair b, first stretched pair a and bend g, with
/// lambda_i = c^(clamp((i - a)/(b - a), 0, 1)^g). NTK is a = 0, b the last pair, g = 1; LongRoPE2's vectors have a
/// smaller b; PI is the limit of small g. With critical pairs: one factor c from the critical pair b on. In both:
/// the attention factor, and the start tokens by their place in the space's list, unless there is only one.
struct ShapeFamily {
    let space: SearchSpace

    var dimensions: Int {
        shapeDimensions + (space.attentionUnits.count > 1 ? 1 : 0) + (space.startTokens.count > 1 ? 1 : 0)
    }

    /// Of the factors: the first elements of a point. Attention factor and start tokens follow.
    private var shapeDimensions: Int { space.criticalPairs == nil ? 4 : 2 }

    func genome(_ point: [Double]) -> Genome {
        var scalars = point[shapeDimensions...]
        func scalar(_ range: ClosedRange<Int>) -> Int {
            range.count > 1 ? whole(range, scalars.removeFirst()) : range.lowerBound
        }
        var genome = Genome(
            units: curve(point).map { space.units(nearest: $0) }, startTokens: 0,
            attention: scalar(space.attentionUnits),
            criticalPair: space.criticalPairs.map { whole($0, point[1]) })
        genome.startTokens = space.startTokens[scalar(0...(space.startTokens.count - 1))]
        genome.levelBelowCriticalPair()
        return genome
    }

    /// The factors, not rounded, and without what lies below a critical pair.
    private func curve(_ point: [Double]) -> [Double] {
        let last = Double(space.pairs - 1)
        // A ceiling up to the scale is one for recovery: there the least is none.
        let low = space.ceiling > space.scale || space.criticalPairs != nil ? space.scale : 1
        let exponent = log(low) + point[0] * (log(space.ceiling) - log(low))
        guard space.criticalPairs == nil else {
            return [Double](repeating: exp(exponent), count: space.pairs)
        }
        let manyTurns = RotaryBase.criticalPair(
            pairs: space.pairs, theta: space.theta, originalContext: space.originalContext, periods: 10)
        let least = min(last, max(1, Double(manyTurns - 2)))
        let b = least + point[1] * (last - least)
        let a = point[2] * max(0, b - 1)
        let bend = exp(log(0.4) + point[3] * log(3 / 0.4))
        return (0..<space.pairs).map { pair in
            let place = min(1, max(0, (Double(pair) - a) / max(1e-9, b - a)))
            return exp(exponent * pow(place, bend))
        }
    }

    private func whole(_ range: ClosedRange<Int>, _ position: Double) -> Int {
        range.lowerBound + Int((position * Double(range.upperBound - range.lowerBound)).rounded())
    }

    /// The point whose vector is most like a genome: where a search begins that has seen the genome do well.
    func point(like genome: Genome) -> [Double] {
        let target = space.express(genome, origin: .shape)
        let goal = space.multipliers(target.factors).map { log($0) }
        var search = CMAES(mean: [Double](repeating: 0.5, count: dimensions), deviation: 0.3)
        var random = SplitMix64(seed: 1)
        for _ in 0..<60 {
            let points = (0..<12).map { _ in search.sample(&random) }
            let errors = points.map { point in
                let candidate = space.express(self.genome(point), origin: .shape)
                let off = zip(space.multipliers(candidate.factors), goal).reduce(0) { sum, both in
                    sum + (log(both.0) - both.1) * (log(both.0) - both.1)
                }
                let attention = candidate.attentionFactor - target.attentionFactor
                let tokens = log(Double(candidate.startTokens + 1) / Double(target.startTokens + 1))
                return off + attention * attention + 0.01 * tokens * tokens
            }
            let order = points.indices.sorted { (errors[$0], $0) < (errors[$1], $1) }
            search.learn(ranked: order.map { points[$0] })
        }
        return search.mean.map { min(1, max(0, $0)) }
    }
}
