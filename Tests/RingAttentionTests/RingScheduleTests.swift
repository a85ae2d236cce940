// The order on every link, its freedom from deadlock, and how well it hides transfers.
import RingAttention
import Testing

@Suite struct RingScheduleTests {
    private static let deals: [@Sendable (Int) -> Int] = [
        { _ in 1 }, { $0 % 3 + 1 }, { $0 == 0 ? 7 : 0 }, { ($0 * 5 + 2) % 7 + 1 }, { $0 % 2 == 0 ? 9 : 1 },
    ]

    private func schedules(_ weights: [Int], stripes: Int) throws -> [RingSchedule] {
        let layout = try Layout(stripeTokens: 4, weights: weights)
        return try weights.indices.map { try RingSchedule(rank: $0, layout: layout, tokens: 4 * stripes) }
    }

    @Test(arguments: 1...9) func everyStripeReachesEveryRankOnce(ranks: Int) throws {
        for deal in Self.deals {
            for stripes in [0, 1, ranks, 40] {
                let all = try schedules((0..<ranks).map(deal), stripes: stripes)
                for (rank, schedule) in all.enumerated() {
                    let own = schedule.layout.stripes(of: rank, in: schedule.tokens)
                    #expect((ranks > 1 ? own + schedule.receives : own).sorted() == Array(0..<stripes))
                    #expect(schedule.sends == all[schedule.next].receives)
                    // P-1 hops: own stripes and all received ones but the next rank's own.
                    let forwarded = schedule.receives.filter { schedule.forwards($0) }
                    #expect(schedule.sends.filter { schedule.hops($0) > 0 } == forwarded)
                    // Round by round.
                    for list in [schedule.sends, schedule.receives] {
                        #expect(zip(list, list.dropFirst()).allSatisfy { $0 / ranks <= $1 / ranks })
                    }
                    if ranks == 1 { #expect(schedule.sends.isEmpty && schedule.receives.isEmpty) }
                }
            }
        }
    }

    @Test func theOrderIsTheDocumentedOne() throws {
        // Owners: 0 1 2 0 1 2 0.
        let schedule = try schedules([1, 1, 1], stripes: 7)[1]
        #expect(schedule.receives == [0, 2, 3, 5, 6])
        #expect(schedule.sends == [1, 0, 4, 3, 6])
        #expect(schedule.inboxStripes == 6)
        let layout = try Layout(stripeTokens: 1, weights: [1, 1, 1])
        #expect(throws: RingError.self) { try RingSchedule(rank: 3, layout: layout, tokens: 1) }
        #expect(throws: RingError.self) { try RingSchedule(rank: 0, layout: layout, tokens: -1) }
        #expect(throws: RingError.self) {
            try RingSchedule(rank: 0, layout: layout, tokens: RingSchedule.maximumStripes + 1)
        }
    }

    @Test(arguments: 1...9) func neverDeadlocksWithOneRoundOfRoom(ranks: Int) throws {
        for (number, deal) in Self.deals.enumerated() {
            let all = try schedules((0..<ranks).map(deal), stripes: 5 * ranks + 2)
            for slow in 0..<ranks {
                let simulation = RingSimulation(
                    schedules: all, capacity: ranks,
                    attend: { rank, stripe in rank == slow ? 10 : Double((rank + stripe) % 3) },
                    transfer: { Double(($0 + number) % 4) })
                #expect(simulation.run() != nil, "deal \(number), slow rank \(slow)")
            }
        }
    }

    @Test func theSimulationSeesADeadlock() throws {
        let schedules = try schedules([1, 1, 1], stripes: 9)
        #expect(
            RingSimulation(schedules: schedules, capacity: 0, attend: { _, _ in 1 }, transfer: { _ in 1 })
                .run() == nil)
    }

    /// Time of a ring whose ranks compute `rho` times as long as a link needs for the whole sequence, over the longer of
    /// the two.
    private func slowdown(_ weights: [Int], stripes: Int, rho: Double) throws -> Double {
        let all = try schedules(weights, stripes: stripes)
        let layout = all[0].layout
        let (tokens, speed) = (4 * stripes, weights.map(Double.init))
        let ideal = Double(tokens) * Double(tokens + 1) / 2 / speed.reduce(0, +)
        func pairs(_ rank: Int, _ stripe: Int) -> Double {
            let keys = layout.positions(ofStripe: stripe, in: tokens)
            let later = layout.count(of: rank, in: tokens) - layout.count(of: rank, in: keys.upperBound)
            let inside = layout.owner(ofStripe: stripe) == rank ? (keys.count + 1) * keys.count / 2 : 0
            return Double(keys.count * later + inside)
        }
        let simulation = RingSimulation(
            schedules: all, capacity: all[0].inboxStripes, attend: { pairs($0, $1) / speed[$0] },
            transfer: {
                Double(layout.positions(ofStripe: $0, in: tokens).count) / Double(tokens) * ideal / rho
            })
        return try #require(simulation.run()?.max()) / max(ideal, ideal / rho)
    }

    /// Where the ranks compute longer than the wire needs, the wire hides.
    @Test(
        arguments: [
            ([1, 1, 1], 256, [20: 1.01, 5: 1.02, 2: 1.07, 1: 1.26]),
            (.init(repeating: 1, count: 8), 256, [20: 1.04, 5: 1.04, 2: 1.07, 1: 1.24]),
            (.init(repeating: 1, count: 32), 1024, [20: 1.04, 5: 1.04, 2: 1.07, 1: 1.24]),
            ([1, 1, 2], 256, [20: 1.01, 5: 1.03, 2: 1.07, 1: 1.26]),
            ([1, 1, 1, 1, 4], 256, [20: 1.03, 5: 1.03, 2: 1.07, 1: 1.26]),
        ] as [([Int], Int, [Double: Double])])
    func transfersHideBehindAttention(weights: [Int], stripes: Int, limits: [Double: Double]) throws {
        for (rho, limit) in limits.sorted(by: { $0.key > $1.key }) {
            let slowdown = try slowdown(weights, stripes: stripes, rho: rho)
            #expect(slowdown < limit, "weights \(weights), rho \(rho): \(slowdown)")
        }
    }
}
