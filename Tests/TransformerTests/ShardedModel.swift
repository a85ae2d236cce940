// Runs a model over a ring of threads in this process, as workers would over the network.
import KVCache
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

    /// What is in memory already, and the layout that it lies in.
    var past: Past?
    /// Tokens that are prefilled together; nil: all.
    var slabTokens: Int?
    /// What is behind the past is computed by the leader, and keys and values stay.
    var isStationary = false

    /// The beginning of a prompt.
    struct Past: Sendable {
        let tokens: Int
        let layout: Layout
        /// By rank.
        let sequences: [KVSequence]
    }

    /// Runs `body` on every rank's shard of `tokens`, not prefilled yet, and returns the results by rank.
    func run<R: Sendable>(
        _ tokens: [Int32], maxTokens: Int = 0, _ body: @escaping @Sendable (Shard) throws -> R
    ) async throws -> [R] {
        let layout = try layout(of: tokens.count, maxTokens)
        let profile = try model.scaling.profile(promptTokens: tokens.count, reservedTokens: maxTokens)
        let ring = LoopbackRing(ranks: workers, capacity: 2)
        let (model, isa, precision, past, slabTokens, isStationary) = (
            model, isa, precision, past, slabTokens, isStationary
        )
        let threads = threads ?? (workers == 1 ? 2 : 1)
        let workers = workers
        let results = try await offThePool {
            onThreads(workers, within: .seconds(600)) { rank in
                let assignment = try ShardAssignment(
                    rank: rank, layout: layout, past: past?.tokens ?? 0, promptTokens: tokens.count,
                    maxTokens: maxTokens, slabTokens: slabTokens, isStationary: isStationary)
                let compute = try Compute(threads: threads, isa: isa, precision: precision)
                let engine = try LayerEngine(model: model, compute: compute)
                let memory = KVMemory(limit: .max)
                let sequence: KVSequence
                if let past {
                    sequence = try KVSequence(
                        continuing: past.sequences[rank], rows: layout.count(of: rank, in: past.tokens),
                        capacity: assignment.capacity, memory: memory)
                } else {
                    sequence = try KVSequence(
                        shape: engine.kvShape, capacity: assignment.capacity, memory: memory)
                }
                let (peer, stall, recorder) = (ring.peer(rank), Duration.seconds(120), PassRecorder())
                return try body(
                    Shard(
                        assignment: assignment, sequence: sequence,
                        pass: PrefillPass(
                            engine: engine, assignment: assignment, profile: profile, sequence: sequence,
                            peer: peer, stall: stall, recorder: recorder),
                        stationary: StationaryPass(
                            engine: engine, assignment: assignment, profile: profile, sequence: sequence,
                            peer: peer, stall: stall, recorder: recorder),
                        tokens: assignment.runs.flatMap { tokens[$0] }))
            }
        }
        return try results.map { result in
            guard let result else { throw Failure(description: "a rank did not finish") }
            return try result.get()
        }
    }

    private func layout(of tokens: Int, _ maxTokens: Int) throws -> Layout {
        if let past { return past.layout }
        return try Layout(
            tokens: tokens, reserved: maxTokens, speeds: speeds ?? Array(repeating: 1, count: workers),
            capacities: capacities, widest: widest)
    }

    /// Prefills tokens, and gives what a later run can continue: the first `kept` of them.
    func past(_ tokens: [Int32], kept: Int) async throws -> Past {
        let sequences = try await run(tokens) { shard in
            try shard.prefill()
            let rows = shard.assignment.layout.count(of: shard.assignment.rank, in: kept)
            return KVSequence(beginning: shard.sequence, rows: rows)
        }
        return Past(tokens: kept, layout: try layout(of: tokens.count, 0), sequences: sequences)
    }

    /// Logits (tokens, vocabulary) of a whole sequence, row by row.
    func logits(_ tokens: [Int32]) async throws -> [[Float]] { try await rows(tokens).map(\.logits) }

    /// What a prefill makes of one token.
    struct Row: Sendable, Equatable {
        var logits: [Float]
        /// In all layers, as they lie in memory.
        var keyValues: [UInt8]
    }

    /// Logits, keys and values of the tokens of a sequence that are computed, in ascending position.
    func rows(_ tokens: [Int32]) async throws -> [Row] {
        var rows = [Row?](repeating: nil, count: tokens.count)
        let parts = try await run(tokens) { shard in
            try shard.prefilledRows().map {
                ($0.position, Row(logits: $0.logits, keyValues: shard.keyValues(row: $0.row)))
            }
        }
        for (position, row) in parts.joined() { rows[position] = row }
        return rows.compactMap { $0 }
    }

    /// Negative log-likelihood of tokens 1, 2, ... of a sequence.
    func negativeLogLikelihood(_ tokens: [Int32]) async throws -> [Float] {
        var nll = [Float](repeating: .nan, count: tokens.count)
        let parts = try await run(tokens) { shard in
            var scores: [(Int, Float)] = []
            try shard.prefill { slab, _ in
                let positions = shard.assignment.runs(in: slab).flatMap { Array($0) }
                let next = positions.map { $0 + 1 < tokens.count ? tokens[$0 + 1] : -1 }
                scores += zip(positions, try shard.pass.scores(next: next)).map { ($0, $1) }
            }
            return scores
        }
        for (position, value) in parts.joined() { nll[position] = value }
        return Array(nll.dropLast())
    }

    /// Greedy continuation: tokens, and at each step the difference between the best and the second logit.
    func greedy(_ tokens: [Int32], count: Int) async throws -> (tokens: [Int32], margins: [Float]) {
        let parts = try await run(tokens, maxTokens: count) {
            shard -> (tokens: [Int32], margins: [Float]) in
            let assignment = shard.assignment
            try shard.prefill()
            guard assignment.isLeader else {
                guard assignment.followers.contains(assignment.rank) else { return ([], []) }
                if assignment.isStationary { try shard.stationary.followExtension() }
                try shard.stationary.follow()
                return ([], [])
            }
            var logits =
                assignment.isStationary
                ? try shard.stationary.extend(tokens: shard.tokens) : try shard.pass.lastLogits()
            var answer: (tokens: [Int32], margins: [Float]) = ([], [])
            for index in 0..<count {
                let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
                let second = logits.indices.filter { $0 != best }.map { logits[$0] }.max() ?? 0
                answer.tokens.append(Int32(best))
                answer.margins.append(logits[best] - second)
                if index + 1 < count {
                    logits = try shard.stationary.decode(token: Int32(best), index: index)
                }
            }
            try shard.stationary.end()
            return answer
        }
        return parts.first { !$0.tokens.isEmpty } ?? ([], [])
    }
}
