// Whether one text gives the same bits on any number of workers: a table and a verdict. No I/O.

import Crypto
package import JSONText
import Numerals

/// What `lariat verify` found.
package struct VerifyReport {
    /// One scoring of the text.
    package struct Run: Equatable {
        /// Workers that took part.
        package var workers: Int
        /// Negative log-likelihood of the second token and of every later one.
        package var scores: [Float]
        package var seconds: Double

        package init(workers: Int, scores: [Float], seconds: Double) {
            self.workers = workers
            self.scores = scores
            self.seconds = seconds
        }

        /// SHA-256 of the scores' bits, little-endian: the first 16 hexadecimal digits.
        package var digest: String {
            var hash = SHA256()
            for score in scores {
                withUnsafeBytes(of: score.bitPattern.littleEndian) { hash.update(bufferPointer: $0) }
            }
            return hash.finalize().prefix(8).hexadecimal
        }

        package var mean: Double { scores.reduce(0) { $0 + Double($1) } / Double(max(scores.count, 1)) }

        /// The first token whose score has other bits, by its position in the text.
        package func firstDifference(from other: Run) -> Int? {
            guard scores.count == other.scores.count else { return min(scores.count, other.scores.count) + 1 }
            return zip(scores, other.scores).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }
                .map { $0.offset + 1 }
        }
    }

    package private(set) var runs: [Run] = []

    package init() {}

    package mutating func add(_ run: Run) { runs.append(run) }

    /// All runs gave the same bits.
    package var agrees: Bool { differences.isEmpty }

    private var differences: [(run: Run, position: Int)] {
        guard let first = runs.first else { return [] }
        return runs.compactMap { run in run.firstDifference(from: first).map { (run, $0) } }
    }

    package func lines() -> [String] {
        var table = Table([
            ("workers", .right), ("tokens", .right), ("mean NLL", .right), ("time", .right),
            ("digest", .left),
        ])
        for run in runs {
            table.add([
                "\(run.workers)", Quantity.count(UInt64(run.scores.count + 1)),
                Quantity.number(run.mean, decimals: 6), Quantity.duration(run.seconds), run.digest,
            ])
        }
        return table.lines() + [""] + verdict
    }

    private var verdict: [String] {
        guard let first = runs.first, !agrees else {
            return [
                runs.count > 1
                    ? "The same bits on \(runs.map { "\($0.workers)" }.listed) workers."
                    : "Nothing to compare: only one number of workers was possible."
            ]
        }
        return differences.map { run, position in
            "Other bits on \(run.workers) workers than on \(first.workers): from token \(position) on. This is a fault of "
                + "Lariat or of a host: run it again, and tell the developers what it says."
        }
    }

    /// `{"agrees", "runs": [{"workers", "tokens", "mean_nll", "seconds", "digest", "first_difference"}]}`
    package var json: JSONValue {
        .object([
            ("agrees", .bool(agrees)),
            (
                "runs",
                .array(
                    runs.map { run in
                        let difference = runs.first.flatMap(run.firstDifference)
                        return .object([
                            ("workers", .integer(Int64(run.workers))),
                            ("tokens", .integer(Int64(run.scores.count + 1))),
                            ("mean_nll", .number(run.mean)), ("seconds", .number(run.seconds)),
                            ("digest", .string(run.digest)),
                            ("first_difference", difference.map { .integer(Int64($0)) } ?? .null),
                        ])
                    })
            ),
        ])
    }
}
