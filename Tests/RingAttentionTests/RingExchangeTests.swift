// The ring on real threads against attention in double precision.
import Foundation
import RingAttention
import TestSupport
import Testing

@Suite(.serialized) struct RingExchangeTests {
    struct Shape: Sendable {
        var tokens = 100
        var heads = 2
        var kvHeads = 1
        var headSize = 4
        var logit: Float = 4
        var pieceTokens = 9
        var inbox = 1
        var layers = 2
    }

    /// Runs `layers` rings and returns the last one's output in token order, checking each pair is met once.
    private func prefill(
        _ shape: Shape, weights: [Double], capacities: [Int]? = nil, ring: LoopbackRing? = nil
    ) throws -> (output: [Float], problem: Problem) {
        let problem = Problem(
            tokens: shape.tokens, heads: shape.heads, kvHeads: shape.kvHeads, headSize: shape.headSize,
            logit: shape.logit)
        let plan = try ShardPlan(tokens: shape.tokens, weights: weights, capacities: capacities)
        let pieces = try PiecePlan(plan: plan, pieceTokens: shape.pieceTokens)
        let ring = ring ?? LoopbackRing(ranks: weights.count)
        let results = onThreads(weights.count) { rank -> [Float] in
            let queries = plan.runs[rank].flatMap { Array($0) }
            let exchange = try RingExchange(
                peer: ring.peer(rank), rank: rank,
                schedule: RingSchedule(rank: rank, pieceCounts: pieces.counts), inboxPieces: shape.inbox,
                stall: .seconds(30), pieces: pieces, bytesPerToken: 8 * shape.kvHeads * shape.headSize)
            var output: [Float] = []
            for layer in 0..<shape.layers {
                let own = pieces.pieces[rank].map {
                    RingPiece(
                        layer: layer, origin: rank, piece: $0.index, runs: $0.runs,
                        payload: BytesPayload(floats: problem.keyValues($0.runs)))
                }
                output = [Float](repeating: 0, count: queries.count * shape.heads * shape.headSize)
                var logSumExp = [Float](repeating: -.infinity, count: queries.count * shape.heads)
                var met = [Int](repeating: 0, count: shape.tokens)
                let timings = try exchange.run(layer: layer, own: own) { piece in
                    let positions = piece.runs.flatMap { Array($0) }
                    for position in positions { met[position] += 1 }
                    let (o, l) = problem.partial(
                        queries: queries, kv: piece.payload.floats, positions: positions)
                    try merge(
                        output: &output, logSumExp: &logSumExp, with: o, l, headSize: shape.headSize)
                }
                // Every key comes by once, so every causal pair (query, key) is attended exactly once.
                guard met.allSatisfy({ $0 == 1 }) else { throw RingError.attention("keys met \(met)") }
                let others = (shape.tokens - queries.count) * 8 * shape.kvHeads * shape.headSize
                guard timings.bytesReceived == others, timings.steps.count == weights.count,
                    timings.steps.allSatisfy({ $0.compute >= .zero && $0.wait >= .zero }),
                    timings.steps.enumerated().allSatisfy({ hops, step in
                        let origin = (rank + weights.count - hops) % weights.count
                        return step.bytes == plan.count(of: origin) * 8 * shape.kvHeads * shape.headSize
                    })
                else { throw RingError.attention("\(timings)") }
            }
            return output
        }
        var output = [Float](repeating: .nan, count: shape.tokens * shape.heads * shape.headSize)
        let row = shape.heads * shape.headSize
        for (rank, result) in results.enumerated() {
            let mine = try #require(result, "rank \(rank) did not end").get()
            for (at, position) in plan.runs[rank].joined().enumerated() {
                output.replaceSubrange(
                    position * row..<(position + 1) * row, with: mine[at * row..<(at + 1) * row])
            }
        }
        return (output, problem)
    }

    private func worst(_ output: [Float], _ problem: Problem) -> Double {
        zip(output, problem.oracle()).reduce(0) {
            let difference = abs(Double($1.0) - $1.1)
            return difference.isNaN ? .infinity : max($0, difference)
        }
    }

    @Test(arguments: 1...9) func equalsOneMachine(ranks: Int) throws {
        for tokens in [0, 1, 2, 5, 17, 100, 257] {
            let weights = (0..<ranks).map { Double(1 + ($0 * 3) % 4) }
            let (output, problem) = try prefill(Shape(tokens: tokens), weights: weights)
            #expect(worst(output, problem) < 2e-6, "\(tokens) tokens")
        }
    }

    @Test(arguments: [1, 4, 7]) func equalsOneMachineAt1000(ranks: Int) throws {
        let shape = Shape(tokens: 1000, pieceTokens: 64, inbox: 4, layers: 1)
        let (output, problem) = try prefill(shape, weights: .init(repeating: 1, count: ranks))
        #expect(worst(output, problem) < 2e-6)
    }

    @Test(arguments: [(1, 1), (3, 1), (4, 1), (8, 1), (8, 2), (9, 3), (4, 4)])
    func groupedQueries(heads: Int, kvHeads: Int) throws {
        let (output, problem) = try prefill(
            Shape(tokens: 61, heads: heads, kvHeads: kvHeads, headSize: 6), weights: [1, 2, 1])
        #expect(worst(output, problem) < 2e-6)
    }

    @Test func hugeLogits() throws {
        // Log-sum-exps near 1e4 have steps of 1e-3 in fp32, so weights are as exact as that.
        let (output, problem) = try prefill(Shape(logit: 1e4), weights: [1, 1, 2])
        #expect(worst(output, problem) < 2e-3)
    }

    @Test func emptyShardsAndCapacities() throws {
        let (one, problem) = try prefill(Shape(tokens: 40), weights: [0, 1, 0, 3, 0])
        #expect(worst(one, problem) < 2e-6)
        let (two, other) = try prefill(
            Shape(tokens: 120, pieceTokens: 5), weights: [1, 1, 1, 1], capacities: [1, 100, 0, 40])
        #expect(worst(two, other) < 2e-6)
    }

    @Test func theSameBitsAndMessagesEveryTime() throws {
        let first = LoopbackRing(ranks: 5)
        let (one, _) = try prefill(Shape(inbox: 1), weights: [1, 1, 3, 1, 2], ring: first)
        let second = LoopbackRing(ranks: 5, capacity: 3, bytesPerSecond: 1e7, delay: .milliseconds(1))
        let (two, _) = try prefill(Shape(inbox: 3), weights: [1, 1, 3, 1, 2], ring: second)
        #expect(one == two)
        for rank in 0..<5 {
            #expect(first.sends(of: rank) == second.sends(of: rank))
            #expect(first.receives(of: rank) == second.receives(of: rank))
            #expect(!first.sends(of: rank).isEmpty)
        }
    }

    private func pieces(of rank: Int, _ count: Int) -> [RingPiece] {
        (0..<count).map {
            RingPiece(layer: 0, origin: rank, piece: $0, runs: [], payload: BytesPayload([UInt8(rank)]))
        }
    }

    @Test func theInboxIsBounded() throws {
        let ring = LoopbackRing(ranks: 2, capacity: 20)
        for piece in pieces(of: 1, 12) {
            try ring.peer(1).send(.keyValues(piece), to: 0, deadline: .now + .seconds(60))
        }
        let exchange = try RingExchange(
            peer: ring.peer(0), rank: 0, schedule: RingSchedule(rank: 0, pieceCounts: [3, 12]),
            inboxPieces: 2,
            stall: .seconds(60))
        var begun = 0
        var most = 0
        _ = try exchange.run(layer: 0, own: pieces(of: 0, 3)) { piece in
            if piece.origin == 1 { begun += 1 }
            Thread.sleep(forTimeInterval: 0.01)  // gives the receiver time to take too many
            most = max(most, ring.receives(of: 0).count - begun)
        }
        #expect(begun == 12)
        #expect(most <= 2)
    }

    @Test func piecesGoOnBeforeTheyAreAttended() throws {
        let ring = LoopbackRing(ranks: 3, capacity: 4)
        let results = onThreads(3) { rank in
            let exchange = try RingExchange(
                peer: ring.peer(rank), rank: rank,
                schedule: RingSchedule(rank: rank, pieceCounts: [1, 1, 1]),
                stall: .seconds(60))
            _ = try exchange.run(layer: 0, own: pieces(of: rank, 1)) { piece in
                guard rank == 1, piece.origin == 1 else { return }
                // Rank 1 is still busy with its own piece when rank 0's arrives and goes on to rank 2.
                let deadline = ContinuousClock.now + .seconds(30)
                while !ring.sends(of: 1).contains("to 2: piece 0 of 0, layer 0") {
                    guard .now < deadline else { throw RingError.attention("nothing was forwarded") }
                    Thread.sleep(forTimeInterval: 0.005)
                }
            }
        }
        for result in results { try #require(result).get() }
    }

    @Test func wrongOwnPiecesAreRefused() throws {
        let schedule = try RingSchedule(rank: 0, pieceCounts: [1])
        let exchange = try RingExchange(
            peer: LoopbackRing(ranks: 1).peer(0), rank: 0, schedule: schedule, stall: .seconds(1))
        #expect(throws: RingError.self) { try exchange.run(layer: 0, own: []) { _ in } }
        #expect(throws: RingError.self) {
            try RingExchange(
                peer: LoopbackRing(ranks: 2).peer(1), rank: 1, schedule: schedule, stall: .seconds(1))
        }
    }
}
