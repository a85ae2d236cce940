// Causal attention by plain loops in double precision, and in canonical order in fp32.
import Foundation
import RingAttention

/// Numbers that are the same everywhere: SplitMix64.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func unit() -> Float { Float.random(in: -1...1, using: &self) }
}

/// Queries, keys and values of a whole sequence. Shapes: q (tokens, heads, headSize), k and v (tokens, kvHeads,
/// headSize). Query head h uses key/value head h / (heads / kvHeads).
struct Problem: Sendable {
    let tokens, heads, kvHeads, headSize: Int
    let q, k, v: [Float]

    /// - Parameter logit: about the largest logit.
    init(tokens: Int, heads: Int, kvHeads: Int, headSize: Int, logit: Float = 4, seed: UInt64 = 1) {
        (self.tokens, self.heads, self.kvHeads, self.headSize) = (tokens, heads, kvHeads, headSize)
        var random = SplitMix(state: seed)
        let scale = logit / Float(headSize)
        q = (0..<tokens * heads * headSize).map { _ in random.unit() * scale }
        k = (0..<tokens * kvHeads * headSize).map { _ in random.unit() }
        v = (0..<tokens * kvHeads * headSize).map { _ in random.unit() }
    }

    /// Rows of k and v as a stripe carries them: (tokens, 2, kvHeads, headSize).
    func keyValues(_ runs: [Range<Int>]) -> [Float] {
        let row = kvHeads * headSize
        return runs.joined().flatMap { k[$0 * row..<($0 + 1) * row] + v[$0 * row..<($0 + 1) * row] }
    }

    /// Attention of one query and head over keys at `positions`, whose rows are in `kv`. Nothing visible: (0, -inf).
    func attend(
        query: ArraySlice<Float>, position: Int, head: Int, kv: [Float], positions: [Int]
    ) -> (output: [Double], logSumExp: Double) {
        let row = kvHeads * headSize
        let group = head / (heads / kvHeads) * headSize
        var logits: [(Int, Double)] = []
        for (at, other) in positions.enumerated() where other <= position {
            var sum = 0.0
            for d in 0..<headSize {
                sum += Double(query[query.startIndex + d]) * Double(kv[2 * row * at + group + d])
            }
            logits.append((at, sum))
        }
        var output = [Double](repeating: 0, count: headSize)
        guard let largest = logits.map(\.1).max() else { return (output, -.infinity) }
        var total = 0.0
        for (at, logit) in logits {
            let weight = exp(logit - largest)
            total += weight
            for d in 0..<headSize { output[d] += weight * Double(kv[2 * row * at + row + group + d]) }
        }
        return (output.map { $0 / total }, largest + log(total))
    }

    func query(_ position: Int, _ head: Int) -> ArraySlice<Float> {
        let start = (position * heads + head) * headSize
        return q[start..<start + headSize]
    }

    /// Attention of every token's heads over all keys up to its own: (tokens, heads, headSize), in double precision.
    func oracle() -> [Double] {
        let all = Array(0..<tokens)
        let kv = keyValues([0..<tokens])
        return all.flatMap { position in
            (0..<heads).flatMap { head in
                attend(query: query(position, head), position: position, head: head, kv: kv, positions: all)
                    .output
            }
        }
    }

    /// Queries at these positions that have seen nothing yet.
    func running(queries: [Int]) -> Running { Running(queries: queries, heads: heads, headSize: headSize) }

    /// Attention in canonical order: (maximum, sum, output) are carried from key to key in fp32.
    struct Running {
        let queries: [Int]
        let heads, headSize: Int
        /// Shapes (queries, heads) and (queries, heads, headSize).
        private var maximum, sum, output: [Float]

        init(queries: [Int], heads: Int, headSize: Int) {
            (self.queries, self.heads, self.headSize) = (queries, heads, headSize)
            maximum = .init(repeating: -.infinity, count: queries.count * heads)
            sum = .init(repeating: 0, count: queries.count * heads)
            output = .init(repeating: 0, count: queries.count * heads * headSize)
        }

        mutating func attend(_ problem: Problem, _ kv: [Float], at positions: Range<Int>) {
            let row = problem.kvHeads * headSize
            for (n, query) in queries.enumerated() {
                for head in 0..<heads {
                    let (at, q) = (n * heads + head, problem.query(query, head))
                    let group = head / (heads / problem.kvHeads) * headSize
                    for (key, position) in positions.enumerated() where position <= query {
                        let k = 2 * row * key + group
                        let logit = (0..<headSize).reduce(Float(0)) { $0 + q[q.startIndex + $1] * kv[k + $1] }
                        let top = max(maximum[at], logit)
                        let (old, new) = (exp(maximum[at] - top), exp(logit - top))
                        maximum[at] = top
                        sum[at] = sum[at] * old + new
                        for d in 0..<headSize {
                            output[at * headSize + d] =
                                output[at * headSize + d] * old + new * kv[k + row + d]
                        }
                    }
                }
            }
        }

        /// Normalised: (queries, heads, headSize).
        var finished: [Float] { output.indices.map { output[$0] / sum[$0 / headSize] } }
    }
}

extension BytesPayload {
    init(floats: [Float]) { self.init(floats.withUnsafeBytes { Array($0) }) }
}

extension RingPayload {
    var floats: [Float] {
        withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}

extension Result {
    var error: (any Error)? {
        if case .failure(let error) = self { return error }
        return nil
    }
}
