// The order on every link, its freedom from deadlock, and how well it hides transfers.
import RingAttention
import Testing

@Suite struct RingScheduleTests {
    private static let uneven: [@Sendable (Int) -> Int] = [
        { _ in 1 }, { _ in 5 }, { $0 % 3 }, { $0 == 0 ? 7 : 0 }, { _ in 0 }, { ($0 * 5 + 2) % 7 },
        { $0 % 2 == 0 ? 9 : 1 },
    ]

    private func schedules(_ counts: [Int]) throws -> [RingSchedule] {
        try counts.indices.map { try RingSchedule(rank: $0, pieceCounts: counts) }
    }

    @Test(arguments: 1...9) func everyPieceReachesEveryRankOnce(ranks: Int) throws {
        for shape in Self.uneven {
            let counts = (0..<ranks).map(shape)
            let all = try schedules(counts)
            for (rank, schedule) in all.enumerated() {
                #expect(schedule.attends.count == counts.reduce(0, +))
                #expect(Set(schedule.attends).count == schedule.attends.count)
                #expect(schedule.receives == schedule.attends.filter { $0.origin != rank })
                #expect(schedule.sends == all[schedule.next].receives)
                // P-1 hops: own pieces and all received ones but the next rank's own.
                let forwarded = schedule.receives.filter { schedule.forwards($0) }
                #expect(schedule.sends.filter { $0.origin != rank } == forwarded)
                if ranks > 1 { #expect(!schedule.sends.contains { $0.origin == schedule.next }) }
                if ranks == 1 { #expect(schedule.sends.isEmpty && schedule.receives.isEmpty) }
            }
        }
    }

    @Test func theOrderIsTheDocumentedOne() throws {
        let schedule = try RingSchedule(rank: 1, pieceCounts: [2, 1, 2])
        func slots(_ pairs: [(Int, Int)]) -> [RingSchedule.Slot] {
            pairs.map { RingSchedule.Slot(origin: $0.0, piece: $0.1) }
        }
        #expect(schedule.attends == slots([(1, 0), (0, 0), (2, 0), (0, 1), (2, 1)]))
        #expect(schedule.receives == slots([(0, 0), (2, 0), (0, 1), (2, 1)]))
        #expect(schedule.sends == slots([(1, 0), (0, 0), (0, 1)]))
        #expect(throws: RingError.self) { try RingSchedule(rank: 3, pieceCounts: [1, 1, 1]) }
        #expect(throws: RingError.self) { try RingSchedule(rank: 0, pieceCounts: [-1]) }
        #expect(throws: RingError.self) { try RingSchedule(rank: 0, pieceCounts: [.max, 1]) }
        #expect(throws: RingError.self) {
            try RingSchedule(rank: 0, pieceCounts: .init(repeating: 16_384, count: 17))
        }
    }

    @Test(arguments: 1...9) func neverDeadlocksWithOnePieceOfRoom(ranks: Int) throws {
        for (number, shape) in Self.uneven.enumerated() {
            let counts = (0..<ranks).map(shape)
            for slow in 0..<ranks {
                let simulation = RingSimulation(
                    schedules: try schedules(counts), capacity: 1,
                    attend: { rank, slot in rank == slow ? 10 : Double((rank + slot.piece) % 3) },
                    transfer: { Double(($0.origin + number) % 4) })
                #expect(simulation.run() != nil, "counts \(counts), slow rank \(slow)")
            }
        }
    }

    @Test func theSimulationSeesADeadlock() throws {
        let schedules = try schedules([3, 3, 3])
        #expect(
            RingSimulation(schedules: schedules, capacity: 0, attend: { _, _ in 1 }, transfer: { _ in 1 })
                .run() == nil)
    }

    @Test(arguments: [2, 3, 5, 8]) func transfersHideBehindAttention(ranks: Int) throws {
        let pieces = 24
        // Both take the same time in all: the hardest case.
        let compute = Double(ranks * pieces)
        let simulation = RingSimulation(
            schedules: try schedules(.init(repeating: pieces, count: ranks)), capacity: 4,
            attend: { _, _ in 1 }, transfer: { _ in Double(ranks) / Double(ranks - 1) })
        let total = try #require(simulation.run()?.max())
        #expect(total < 1.1 * compute)
        #expect(total < 0.75 * (compute + compute))
    }

    /// Causal costs of a real plan: pairs of a rank's queries and a piece's keys, over the rank's speed.
    /// Returns the ideal time over the simulated one.
    private func efficiency(_ weights: [Double], alternating: Bool = true) throws -> Double {
        let tokens = 65_536
        let pieceTokens = 1024
        let plan = try ShardPlan(tokens: tokens, weights: weights, capacities: nil)
        let pieces = try PiecePlan(plan: plan, pieceTokens: pieceTokens)
        let cut = pieces.pieces.map { mine in
            alternating ? mine : mine.sorted { $0.rows.lowerBound < $1.rows.lowerBound }
        }
        func pairs(_ rank: Int, _ slot: RingSchedule.Slot) -> Double {
            var sum = 0.0
            for q in plan.runs[rank] {
                for k in cut[slot.origin][slot.piece].runs {
                    // Runs are disjoint or k lies inside q.
                    if k.lowerBound >= q.lowerBound, k.upperBound <= q.upperBound {
                        sum +=
                            Double(k.count) * (Double(q.upperBound - k.upperBound) + Double(k.count + 1) / 2)
                    } else if k.upperBound <= q.lowerBound {
                        sum += Double(k.count) * Double(q.count)
                    }
                }
            }
            return sum
        }
        let total = Double(tokens) * Double(tokens + 1) / 2
        let ideal = total / weights.reduce(0, +)
        let simulation = RingSimulation(
            schedules: try schedules(pieces.counts), capacity: 4,
            attend: { pairs($0, $1) / weights[$0] },
            // All of the sequence over one link takes half as long as a rank's attention.
            transfer: { Double(cut[$0.origin][$0.piece].rows.count) * 0.5 * ideal / Double(tokens) })
        return ideal / (try #require(simulation.run()?.max()))
    }

    private static let speeds: [[Double]] = [
        [1, 1], [1, 1, 1, 1], [1, 1, 2], [1, 1, 1, 1, 4], .init(repeating: 1, count: 8),
    ]

    @Test(arguments: speeds) func causalWorkStaysEvenRoundTheRing(weights: [Double]) throws {
        let alternating = try efficiency(weights)
        let inOrder = try efficiency(weights, alternating: false)
        #expect(alternating > 0.88, "speeds \(weights): \(alternating)")
        #expect(alternating >= inOrder, "speeds \(weights): \(inOrder) in buffer order")
        print("efficiency", weights, alternating, inOrder)
    }
}
