// What a cheap rung says about full length: how much each part of its results counts.

/// Weights of the parts of a cheap rung's results, whose weighted sum ranks candidates.
///
/// They are fitted to the candidates that have been evaluated at full length, by least squares of the differences
/// between candidates, near the best one above all, and held near a first guess while there are few. On
/// SmolLM2-135M at twice its trained length the beginning of a text alone said nearly everything (correlation 0.91
/// over eight good candidates), the same tokens spread over the window nearly nothing (0.13); the longer the window,
/// the more the second counts.
package struct RungWeights: Sendable, Equatable {
    package private(set) var values: [Double]
    private let guess: [Double]

    /// Loss over the best at which a candidate counts half, in nats.
    private static let halfWeight = 0.05
    /// The first guess counts like so many candidates.
    private static let guessWeight = 2.0
    private static let range = 0.0...5.0

    /// The first part 1, others 0.2.
    package init(parts: Int) {
        guess = (0..<parts).map { $0 == 0 ? 1 : 0.2 }
        values = guess
    }

    package func score(_ parts: [Double]) -> Double {
        parts.allSatisfy(\.isFinite) ? zip(parts, values).reduce(0) { $0 + $1.0 * $1.1 } : .infinity
    }

    /// Points with a part that is not finite are left out.
    package mutating func fit(_ points: [(parts: [Double], full: Double)]) {
        let points = points.filter { $0.full.isFinite && $0.parts.allSatisfy(\.isFinite) }
        guard values.count > 1, points.count > 2, let best = points.map(\.full).min() else { return }
        let counts = points.map { point in
            let off = (point.full - best) / Self.halfWeight
            return 1 / (1 + off * off)
        }
        let total = counts.reduce(0, +)
        func mean(_ value: (_ point: Int) -> Double) -> Double {
            points.indices.reduce(0) { $0 + counts[$1] * value($1) } / total
        }
        let fullMean = mean { points[$0].full }
        let means = values.indices.map { part in mean { points[$0].parts[part] } }
        // (X'UX + K) w = X'Uy + K guess, with differences from the means.
        var rows = values.indices.map { row in
            values.indices.map { column in
                mean { (points[$0].parts[row] - means[row]) * (points[$0].parts[column] - means[column]) }
            } + [mean { (points[$0].parts[row] - means[row]) * (points[$0].full - fullMean) }]
        }
        for part in values.indices {
            let hold = rows[part][part] * Self.guessWeight / total
            rows[part][part] += hold
            rows[part][values.count] += hold * guess[part]
        }
        guard let solution = Self.solve(rows) else { return }
        values = solution.map { min(max($0, Self.range.lowerBound), Self.range.upperBound) }
    }

    /// Gauss's elimination of rows that end with their right-hand side; nil where there is no one solution.
    private static func solve(_ given: [[Double]]) -> [Double]? {
        var rows = given
        for column in rows.indices {
            guard
                let pivot = rows.indices[column...].max(by: { abs(rows[$0][column]) < abs(rows[$1][column]) }
                ),
                abs(rows[pivot][column]) > 1e-15
            else { return nil }
            rows.swapAt(column, pivot)
            for row in rows.indices where row != column {
                let factor = rows[row][column] / rows[column][column]
                for other in rows[row].indices { rows[row][other] -= factor * rows[column][other] }
            }
        }
        return rows.indices.map { rows[$0][rows.count] / rows[$0][$0] }
    }
}
