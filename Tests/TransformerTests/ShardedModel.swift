// Runs a model over a ring of threads in this process, as workers would over the network.
import Kernels
import LongRoPE
import RingAttention
import TestSupport
import Transformer

/// A model on a ring of `workers` threads.
struct ShardedModel {
    let model: Model
    let workers: Int
    var isa: ISA = .best
    var precision: Precision = .f32
    /// In proportion to their speeds; nil: all the same.
    var speeds: [Double]?
    var capacities: [Int]?
    /// Most tokens of a stripe; small, so that short sequences have several.
    var widest = 512
    /// Of each worker; nil: two for one alone, else one.
    var threads: Int?

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Runs `body` on every rank's engine, prefilled with its part of `tokens`, and returns the results by rank.
    func run<R: Sendable>(
        _ tokens: [Int32], maxTokens: Int = 0,
        _ body: @escaping @Sendable (ShardEngine, ShardAssignment) throws -> R
    ) async throws -> [R] {
        let layout = try Layout(
            tokens: tokens.count, reserved: maxTokens, speeds: speeds ?? Array(repeating: 1, count: workers),
            capacities: capacities, widest: widest)
        let profile = try model.scaling.profile(promptTokens: tokens.count, reservedTokens: maxTokens)
        let ring = LoopbackRing(ranks: workers, capacity: 2)
        let (model, isa, precision) = (model, isa, precision)
        let threads = threads ?? (workers == 1 ? 2 : 1)
        let workers = workers
        let results = try await offThePool {
            onThreads(workers, within: .seconds(600)) { rank in
                let assignment = try ShardAssignment(
                    rank: rank, layout: layout, promptTokens: tokens.count, maxTokens: maxTokens)
                let compute = try Compute(threads: threads, isa: isa, precision: precision)
                let engine = try ShardEngine(
                    model: model, compute: compute,
                    weights: UnpackedWeights(model: model, compute: compute), profile: profile,
                    assignment: assignment, peer: ring.peer(rank), stall: .seconds(120))
                try engine.prefill(tokens: assignment.runs.flatMap { tokens[$0] }) { _ in }
                return try body(engine, assignment)
            }
        }
        return try results.map { result in
            guard let result else { throw Failure(description: "a rank did not finish") }
            return try result.get()
        }
    }

    /// Logits (tokens, vocabulary) of a whole sequence, row by row.
    func logits(_ tokens: [Int32]) async throws -> [[Float]] {
        var rows = [[Float]](repeating: [], count: tokens.count)
        let parts = try await run(tokens) { engine, assignment in
            let positions = assignment.runs.flatMap { Array($0) }
            var part: [(Int, [Float])] = []
            try engine.eachLogits { range, logits in
                for (at, row) in range.enumerated() {
                    part.append((positions[row], logits.withRow(at) { row in row.indices.map { row[$0] } }))
                }
            }
            return part
        }
        for (position, row) in parts.joined() { rows[position] = row }
        return rows
    }

    /// What a prefill makes of one token.
    struct Row: Sendable, Equatable {
        var logits: [Float]
        /// In all layers, as they lie in memory.
        var keyValues: [UInt8]
    }

    /// Logits, keys and values of a whole sequence, token by token.
    func rows(_ tokens: [Int32]) async throws -> [Row] {
        let layers = model.shape.layers
        var rows = [Row?](repeating: nil, count: tokens.count)
        let parts = try await run(tokens) { engine, assignment in
            let positions = assignment.runs.flatMap { Array($0) }
            var part: [(Int, Row)] = []
            try engine.eachLogits { range, logits in
                for (at, row) in range.enumerated() {
                    let keyValues = (0..<layers).flatMap { engine.keyValues(layer: $0, row: row) }
                    part.append(
                        (
                            positions[row],
                            Row(
                                logits: logits.withRow(at) { row in row.indices.map { row[$0] } },
                                keyValues: keyValues)
                        ))
                }
            }
            return part
        }
        for (position, row) in parts.joined() { rows[position] = row }
        return rows.compactMap { $0 }
    }

    /// Negative log-likelihood of tokens 1, 2, ... of a sequence.
    func negativeLogLikelihood(_ tokens: [Int32]) async throws -> [Float] {
        var nll = [Float](repeating: .nan, count: tokens.count)
        let parts = try await run(tokens) { engine, assignment in
            let positions = assignment.runs.flatMap { Array($0) }
            let next = positions.map { $0 + 1 < tokens.count ? tokens[$0 + 1] : -1 }
            return zip(positions, try engine.scores(next: next)).map { ($0, $1) }
        }
        for (position, value) in parts.joined() { nll[position] = value }
        return Array(nll.dropLast())
    }

    /// Greedy continuation: tokens, and at each step the difference between the best and the second logit.
    func greedy(_ tokens: [Int32], count: Int) async throws -> (tokens: [Int32], margins: [Float]) {
        let parts = try await run(tokens, maxTokens: count) {
            engine, assignment -> (tokens: [Int32], margins: [Float]) in
            guard assignment.isLeader else {
                if assignment.followers.contains(assignment.rank) { try engine.follow() }
                return ([], [])
            }
            var logits = try engine.lastLogits()
            var answer: (tokens: [Int32], margins: [Float]) = ([], [])
            for index in 0..<count {
                let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
                let second = logits.indices.filter { $0 != best }.map { logits[$0] }.max() ?? 0
                answer.tokens.append(Int32(best))
                answer.margins.append(logits[best] - second)
                if index + 1 < count { logits = try engine.decode(token: Int32(best), index: index) }
            }
            try engine.endDecode()
            return answer
        }
        return parts.first { !$0.tokens.isEmpty } ?? ([], [])
    }
}
