// A search for the minimum of a function of a few numbers, from the order of its values alone.
import Foundation
package import Sampling

/// CMA-ES (Hansen, "The CMA evolution strategy: a tutorial", arXiv 1604.00772) with full covariance and the
/// tutorial's constants, in the unit cube. Points outside are drawn again, in the end moved to the nearest face.
package struct CMAES: Sendable {
    package private(set) var mean: [Double]
    /// The standard deviation along an axis of unit variance, 1e-9 to 1.
    package private(set) var deviation: Double
    private var covariance: [[Double]]
    /// Columns of unit length, and the roots of their variances: the covariance's eigenvectors.
    private var axes: [[Double]]
    private var lengths: [Double]
    private var deviationPath: [Double]
    private var covariancePath: [Double]
    private var generation = 0

    /// `mean` has 1 or more elements from 0 to 1.
    package init(mean: [Double], deviation: Double) {
        self.mean = mean
        self.deviation = deviation
        let n = mean.count
        axes = (0..<n).map { row in (0..<n).map { $0 == row ? 1 : 0 } }
        covariance = axes
        lengths = [Double](repeating: 1, count: n)
        deviationPath = [Double](repeating: 0, count: n)
        covariancePath = deviationPath
    }

    /// A point to evaluate.
    package func sample(_ random: inout SplitMix64) -> [Double] {
        var point = mean
        for _ in 0..<20 {
            let z = lengths.map { $0 * random.nextNormal() }
            for row in point.indices {
                point[row] = mean[row] + deviation * z.indices.reduce(0) { $0 + axes[row][$1] * z[$1] }
            }
            if point.allSatisfy({ (0...1).contains($0) }) { return point }
        }
        return point.map { min(1, max(0, $0)) }
    }

    /// Learns from points that were sampled, the best first. The better half counts.
    package mutating func learn(ranked points: [[Double]]) {
        let mu = points.count / 2
        guard mu >= 1 else { return }
        generation += 1
        let n = Double(mean.count)
        var weights = (1...mu).map { log(Double(points.count + 1) / 2) - log(Double($0)) }
        let sum = weights.reduce(0, +)
        weights = weights.map { $0 / sum }
        let muEffective = 1 / weights.reduce(0) { $0 + $1 * $1 }

        let cSigma = (muEffective + 2) / (n + muEffective + 5)
        let dSigma = 1 + 2 * max(0, ((muEffective - 1) / (n + 1)).squareRoot() - 1) + cSigma
        let cC = (4 + muEffective / n) / (n + 4 + 2 * muEffective / n)
        let c1 = 2 / ((n + 1.3) * (n + 1.3) + muEffective)
        let cMu = min(1 - c1, 2 * (muEffective - 2 + 1 / muEffective) / ((n + 2) * (n + 2) + muEffective))
        let expectedNorm = n.squareRoot() * (1 - 1 / (4 * n) + 1 / (21 * n * n))

        let steps = points.prefix(mu).map { point in zip(point, mean).map { ($0 - $1) / deviation } }
        let move = mean.indices.map { row in zip(weights, steps).reduce(0) { $0 + $1.0 * $1.1[row] } }
        for row in mean.indices { mean[row] += deviation * move[row] }

        let white = whitened(move)
        let gain = (cSigma * (2 - cSigma) * muEffective).squareRoot()
        for row in mean.indices { deviationPath[row] = (1 - cSigma) * deviationPath[row] + gain * white[row] }
        let norm = deviationPath.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let started = (1 - pow(1 - cSigma, 2 * Double(generation))).squareRoot()
        let stalls = norm / started >= (1.4 + 2 / (n + 1)) * expectedNorm
        let pathGain = stalls ? 0 : (cC * (2 - cC) * muEffective).squareRoot()
        for row in mean.indices {
            covariancePath[row] = (1 - cC) * covariancePath[row] + pathGain * move[row]
        }
        for row in mean.indices {
            for column in mean.indices {
                let rankMu = zip(weights, steps).reduce(0) { $0 + $1.0 * $1.1[row] * $1.1[column] }
                let lost = stalls ? c1 * cC * (2 - cC) * covariance[row][column] : 0
                covariance[row][column] =
                    (1 - c1 - cMu) * covariance[row][column] + lost
                    + c1 * covariancePath[row] * covariancePath[column] + cMu * rankMu
            }
        }
        deviation = min(1, max(1e-9, deviation * exp(cSigma / dSigma * (norm / expectedNorm - 1))))
        (axes, lengths) = Self.principalAxes(covariance)
    }

    /// C^(-1/2) v.
    private func whitened(_ v: [Double]) -> [Double] {
        let along = v.indices.map { column in
            v.indices.reduce(0) { $0 + axes[$1][column] * v[$1] } / lengths[column]
        }
        return v.indices.map { row in along.indices.reduce(0) { $0 + axes[row][$1] * along[$1] } }
    }

    /// Eigenvectors (columns) and the roots of the eigenvalues of a symmetric matrix, by Jacobi's rotations.
    private static func principalAxes(_ matrix: [[Double]]) -> (axes: [[Double]], lengths: [Double]) {
        var a = matrix
        let n = a.count
        var axes = (0..<n).map { row in (0..<n).map { $0 == row ? 1.0 : 0 } }
        for _ in 0..<30 {
            var isDiagonal = true
            for p in 0..<n {
                for q in (p + 1)..<max(n, p + 1)
                where abs(a[p][q]) > 1e-15 * (abs(a[p][p]) + abs(a[q][q])) {
                    isDiagonal = false
                    let ratio = (a[q][q] - a[p][p]) / (2 * a[p][q])
                    let tangent = (ratio < 0 ? -1 : 1) / (abs(ratio) + (ratio * ratio + 1).squareRoot())
                    let cosine = 1 / (tangent * tangent + 1).squareRoot()
                    let sine = tangent * cosine
                    for k in 0..<n {
                        (a[k][p], a[k][q]) = (
                            cosine * a[k][p] - sine * a[k][q], sine * a[k][p] + cosine * a[k][q]
                        )
                    }
                    for k in 0..<n {
                        (a[p][k], a[q][k]) = (
                            cosine * a[p][k] - sine * a[q][k], sine * a[p][k] + cosine * a[q][k]
                        )
                        (axes[k][p], axes[k][q]) = (
                            cosine * axes[k][p] - sine * axes[k][q],
                            sine * axes[k][p] + cosine * axes[k][q]
                        )
                    }
                }
            }
            if isDiagonal { break }
        }
        return (axes, (0..<n).map { max(a[$0][$0], 1e-20).squareRoot() })
    }
}
