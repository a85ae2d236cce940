// The covariance matrix adaptation on functions whose minimum is known.
import FactorSearch
import Foundation
import Sampling
import Testing

@Suite("CMA-ES")
struct CMAESTests {
    /// Minimises in `evaluations`, 8 points a generation; the least value seen.
    static func minimum(
        of f: ([Double]) -> Double, from mean: [Double], evaluations: Int, seed: UInt64
    ) -> (value: Double, search: CMAES) {
        var search = CMAES(mean: mean, deviation: 0.3)
        var random = SplitMix64(seed: seed)
        var least = Double.infinity
        for _ in 0..<(evaluations / 8) {
            let points = (0..<8).map { _ in search.sample(&random) }
            #expect(points.allSatisfy { $0.allSatisfy { (0...1).contains($0) } })
            let values = points.map(f)
            least = min(least, values.min() ?? .infinity)
            let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
            search.learn(ranked: order.map { points[$0] })
        }
        return (least, search)
    }

    /// Axes along the diagonals of the coordinates' planes, one of them 30 times as steep as another.
    static func rotatedQuadratic(_ point: [Double]) -> Double {
        let optimum = [0.3, 0.62, 0.45, 0.7]
        let x = zip(point, optimum).map { $0 - $1 }
        let half = [
            x[0] + x[1] + x[2] + x[3], x[0] - x[1] + x[2] - x[3], x[0] + x[1] - x[2] - x[3],
            x[0] - x[1] - x[2] + x[3],
        ]
        return zip(half, [1.0, 10, 100, 900]).reduce(0) { $0 + $1.1 * $1.0 * $1.0 / 4 }
    }

    @Test("A rotated quadratic with condition 900", arguments: [1, 2, 3, 4, 5] as [UInt64])
    func quadratic(seed: UInt64) {
        let start = [Double](repeating: 0.5, count: 4)
        let (value, search) = Self.minimum(
            of: Self.rotatedQuadratic, from: start, evaluations: 1200, seed: seed)
        #expect(value < 1e-9)
        #expect(zip(search.mean, [0.3, 0.62, 0.45, 0.7]).allSatisfy { abs($0 - $1) < 1e-4 })
        #expect(search.deviation < 0.01)
    }

    @Test("A minimum in a corner of the cube")
    func corner() {
        let f: ([Double]) -> Double = { $0.reduce(0, +) }
        #expect(Self.minimum(of: f, from: [0.5, 0.5, 0.5], evaluations: 400, seed: 1).value < 0.01)
    }

    @Test("A constant, one dimension, one point: nothing breaks")
    func degenerate() {
        let constant = Self.minimum(of: { _ in 1 }, from: [0.5, 0.5], evaluations: 8000, seed: 1).search
        #expect(constant.mean.allSatisfy { (0...1).contains($0) } && constant.deviation <= 1)
        #expect(
            Self.minimum(of: { abs($0[0] - 0.2) }, from: [0.9], evaluations: 400, seed: 1).value < 1e-6)
        var search = CMAES(mean: [0.5], deviation: 0.1)
        search.learn(ranked: [[0.6]])
        search.learn(ranked: [])
        #expect(search.mean == [0.5])
    }
}
