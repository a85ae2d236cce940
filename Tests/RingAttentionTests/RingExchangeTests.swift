// The ring on real threads against attention in double precision, and against itself, bit for bit.
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
        var widest = 8
        var sweepTokens = 20
        var layers = 2
    }

    /// Runs `layers` rings and returns the last one's output in token order, checking each key is met once, in order.
    private func prefill(
        _ shape: Shape, speeds: [Double], capacities: [Int]? = nil, ring: LoopbackRing? = nil
    ) throws -> (output: [Float], problem: Problem) {
        let problem = Problem(
            tokens: shape.tokens, heads: shape.heads, kvHeads: shape.kvHeads, headSize: shape.headSize,
            logit: shape.logit)
        let layout = try Layout(
            tokens: shape.tokens, speeds: speeds, capacities: capacities, widest: shape.widest)
        let ring = ring ?? LoopbackRing(ranks: speeds.count)
        let results = onThreads(speeds.count) { rank -> [Float] in
            let schedule = try RingSchedule(rank: rank, layout: layout, tokens: shape.tokens)
            let queries = layout.positions(of: rank, in: shape.tokens).flatMap { Array($0) }
            let exchange = try RingExchange(
                peer: ring.peer(rank), schedule: schedule, stall: .seconds(30),
                bytesPerToken: 8 * shape.kvHeads * shape.headSize, sweepTokens: shape.sweepTokens)
            var output: [Float] = []
            for layer in 0..<shape.layers {
                let own = layout.stripes(of: rank, in: shape.tokens).map { stripe in
                    RingPiece(
                        layer: layer, origin: rank, stripe: stripe, positions: schedule.positions(stripe),
                        payload: BytesPayload(floats: problem.keyValues([schedule.positions(stripe)])))
                }
                var running = problem.running(queries: queries)
                var met = 0
                let timings = try exchange.run(layer: layer, own: own) { pieces in
                    // Every key comes by once, in ascending position.
                    guard !pieces.isEmpty, pieces.map(\.positions.lowerBound).first == met else {
                        throw RingError.attention("\(pieces.map(\.positions)) after \(met)")
                    }
                    for piece in pieces {
                        guard piece.positions.lowerBound == met else { throw RingError.attention("a gap") }
                        met = piece.positions.upperBound
                        running.attend(problem, piece.payload.floats, at: piece.positions)
                    }
                }
                output = running.finished
                guard met == shape.tokens else { throw RingError.attention("keys up to \(met)") }
                let others = (shape.tokens - queries.count) * 8 * shape.kvHeads * shape.headSize
                guard timings.bytesReceived == others, timings.steps.count == speeds.count,
                    timings.steps.allSatisfy({ $0.compute >= .zero && $0.wait >= .zero }),
                    timings.steps.enumerated().allSatisfy({ hops, step in
                        let origin = (rank + speeds.count - hops) % speeds.count
                        return step.bytes
                            == layout.count(of: origin, in: shape.tokens) * 8 * shape.kvHeads * shape.headSize
                    })
                else { throw RingError.attention("\(timings)") }
            }
            return output
        }
        var output = [Float](repeating: .nan, count: shape.tokens * shape.heads * shape.headSize)
        let row = shape.heads * shape.headSize
        for (rank, result) in results.enumerated() {
            let mine = try #require(result, "rank \(rank) did not end").get()
            for (at, position) in layout.positions(of: rank, in: shape.tokens).joined().enumerated() {
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
            let speeds = (0..<ranks).map { Double(1 + ($0 * 3) % 4) }
            let (output, problem) = try prefill(Shape(tokens: tokens), speeds: speeds)
            #expect(worst(output, problem) < 2e-6, "\(tokens) tokens")
            let (alone, _) = try prefill(Shape(tokens: tokens, widest: 1 << ranks), speeds: [1])
            #expect(output == alone, "\(tokens) tokens")
        }
    }

    @Test(arguments: [1, 4, 7]) func equalsOneMachineAt1000(ranks: Int) throws {
        let shape = Shape(tokens: 1000, widest: 64, sweepTokens: 300, layers: 1)
        let (output, problem) = try prefill(shape, speeds: .init(repeating: 1, count: ranks))
        #expect(worst(output, problem) < 2e-6)
    }

    @Test(arguments: [(1, 1), (3, 1), (4, 1), (8, 1), (8, 2), (9, 3), (4, 4)])
    func groupedQueries(heads: Int, kvHeads: Int) throws {
        let (output, problem) = try prefill(
            Shape(tokens: 61, heads: heads, kvHeads: kvHeads, headSize: 6), speeds: [1, 2, 1])
        #expect(worst(output, problem) < 2e-6)
    }

    @Test func hugeLogits() throws {
        // Weights are as exact as exponents near 1e4 in fp32.
        let (output, problem) = try prefill(Shape(logit: 1e4), speeds: [1, 1, 2])
        #expect(worst(output, problem) < 2e-3)
    }

    @Test func emptyShardsAndCapacities() throws {
        let (one, problem) = try prefill(Shape(tokens: 40), speeds: [0, 1, 0, 3, 0])
        #expect(worst(one, problem) < 2e-6)
        let (two, other) = try prefill(
            Shape(tokens: 120), speeds: [1, 1, 1, 1], capacities: [1, 100, 0, 40])
        #expect(worst(two, other) < 2e-6)
    }

    @Test func theSameBitsAndMessagesEveryTime() throws {
        let first = LoopbackRing(ranks: 5)
        let (one, _) = try prefill(Shape(sweepTokens: 1), speeds: [1, 1, 3, 1, 2], ring: first)
        let second = LoopbackRing(ranks: 5, capacity: 3, bytesPerSecond: 1e7, delay: .milliseconds(1))
        let (two, _) = try prefill(Shape(sweepTokens: 50), speeds: [1, 1, 3, 1, 2], ring: second)
        #expect(one == two)
        for rank in 0..<5 {
            #expect(first.sends(of: rank) == second.sends(of: rank))
            #expect(first.receives(of: rank) == second.receives(of: rank))
            #expect(!first.sends(of: rank).isEmpty)
        }
    }

    private func pieces(_ schedule: RingSchedule, of rank: Int) -> [RingPiece] {
        schedule.layout.stripes(of: rank, in: schedule.tokens).map {
            RingPiece(
                layer: 0, origin: rank, stripe: $0, positions: schedule.positions($0),
                payload: BytesPayload([UInt8(rank)]))
        }
    }

    @Test func theInboxIsBounded() throws {
        let ring = LoopbackRing(ranks: 2, capacity: 20)
        let schedule = try RingSchedule(
            rank: 0, layout: Layout(stripeTokens: 1, weights: [1, 4]), tokens: 15)
        let theirs = pieces(schedule, of: 1)
        for stripe in schedule.receives {
            let piece = try #require(theirs.first { $0.stripe == stripe })
            try ring.peer(1).send(.keyValues(piece), to: 0, deadline: .now + .seconds(60))
        }
        let exchange = try RingExchange(
            peer: ring.peer(0), schedule: schedule, stall: .seconds(60), sweepTokens: 1)
        var begun = 0
        var most = 0
        _ = try exchange.run(layer: 0, own: pieces(schedule, of: 0)) { pieces in
            begun += pieces.count { $0.origin == 1 }
            Thread.sleep(forTimeInterval: 0.01)  // gives the receiver time to take too many
            most = max(most, ring.receives(of: 0).count - begun)
        }
        #expect(begun == 12)
        #expect(most <= schedule.inboxStripes)
    }

    @Test func stripesGoOnBeforeTheyAreAttended() throws {
        let ring = LoopbackRing(ranks: 3, capacity: 4)
        let layout = try Layout(stripeTokens: 1, weights: [1, 1, 1])
        let results = onThreads(3) { rank in
            let schedule = try RingSchedule(rank: rank, layout: layout, tokens: 3)
            let exchange = try RingExchange(
                peer: ring.peer(rank), schedule: schedule, stall: .seconds(60), sweepTokens: 1)
            _ = try exchange.run(layer: 0, own: pieces(schedule, of: rank)) { pieces in
                guard rank == 1, pieces.first?.stripe == 0 else { return }
                // Rank 1 is still busy with rank 0's stripe when that has gone on to rank 2.
                let deadline = ContinuousClock.now + .seconds(30)
                while !ring.sends(of: 1).contains("to 2: stripe 0 of 0, layer 0") {
                    guard .now < deadline else { throw RingError.attention("nothing was forwarded") }
                    Thread.sleep(forTimeInterval: 0.005)
                }
            }
        }
        for result in results { try #require(result).get() }
    }

    @Test func wrongOwnStripesAreRefused() throws {
        let schedule = try RingSchedule(
            rank: 0, layout: Layout(stripeTokens: 1, weights: [1]), tokens: 1)
        let exchange = try RingExchange(
            peer: LoopbackRing(ranks: 1).peer(0), schedule: schedule, stall: .seconds(1))
        #expect(throws: RingError.self) { try exchange.run(layer: 0, own: []) { _ in } }
    }
}
