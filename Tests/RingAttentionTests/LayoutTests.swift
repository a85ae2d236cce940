// Who holds what: every position once, even work, memory to the token.
import RingAttention
import Testing

private let lengths = [0, 1, 2, 5, 17, 100, 257, 1000, 4099, 131_071]

@Suite struct LayoutTests {
    /// Every position has exactly one owner, and all that a layout says of a sequence agrees with that.
    private func check(_ layout: Layout, tokens: Int) {
        var owner = [Int](repeating: -1, count: tokens)
        for rank in 0..<layout.ranks {
            let runs = layout.positions(of: rank, in: tokens)
            var last = -1
            for run in runs {
                #expect(!run.isEmpty)
                #expect(run.lowerBound > last, "neighbours are joined")
                last = run.upperBound
                #expect(owner[run].allSatisfy { $0 == -1 })
                for position in run { owner[position] = rank }
            }
            #expect(layout.count(of: rank, in: tokens) == runs.reduce(0) { $0 + $1.count })
            #expect(layout.holders(in: tokens).contains(rank) == !runs.isEmpty)
            let stripes = layout.stripes(of: rank, in: tokens)
            #expect(stripes.allSatisfy { layout.owner(ofStripe: $0) == rank })
            #expect(
                stripes.flatMap { Array(layout.positions(ofStripe: $0, in: tokens)) }
                    == runs.flatMap { Array($0) })
        }
        #expect(!owner.contains(-1))
        #expect(owner.indices.allSatisfy { layout.owner(of: $0) == owner[$0] })
        var rows = [Int](repeating: 0, count: layout.ranks)
        for position in stride(from: 0, to: tokens, by: max(1, tokens / 50)) {
            for rank in rows.indices { rows[rank] = layout.count(of: rank, in: position) }
            #expect(rows.reduce(0, +) == position)
        }
    }

    @Test(arguments: 1...9) func coversEveryPositionOnce(ranks: Int) throws {
        for tokens in lengths {
            let even = [Double](repeating: 1, count: ranks)
            let uneven = (0..<ranks).map { Double(1 + ($0 * 7) % 5) }
            check(try Layout(tokens: tokens, speeds: even), tokens: tokens)
            check(try Layout(tokens: tokens, reserved: 40, speeds: uneven), tokens: tokens + 40)
            let caps = (0..<ranks).map { $0 == 0 ? 3 : tokens / ranks + 40 * $0 }
            if caps.reduce(0, +) >= tokens {
                let layout = try Layout(tokens: tokens, speeds: uneven, capacities: caps)
                check(layout, tokens: tokens)
                #expect(caps.indices.allSatisfy { layout.count(of: $0, in: tokens) <= caps[$0] })
            }
        }
    }

    @Test func stripesAreDealtBySmoothRoundRobin() throws {
        let even = try Layout(stripeTokens: 4, weights: [5, 5, 5])
        #expect((0..<7).map(even.owner(ofStripe:)) == [0, 1, 2, 0, 1, 2, 0])
        #expect(even.positions(of: 1, in: 18) == [4..<8, 16..<18])
        #expect(even.count(of: 1, in: 17) == 5 && even.owner(of: 17) == 1)
        let uneven = try Layout(stripeTokens: 1, weights: [1, 0, 3])
        #expect((0..<9).map(uneven.owner(ofStripe:)) == [2, 0, 2, 2, 2, 0, 2, 2, 2])
        let alone = try Layout(stripeTokens: 1024, weights: [7])
        #expect(alone.positions(of: 0, in: 5000) == [0..<5000])
    }

    /// Behind every key each rank has its share of the queries to within about a stripe.
    @Test(arguments: [[1, 1, 1], [1, 1, 2], [1, 1, 1, 1, 4], [683, 341, 1024], [3, 1]])
    func workIsEvenAtEveryMoment(weights: [Int]) throws {
        let layout = try Layout(stripeTokens: 1, weights: weights)
        let sum = weights.reduce(0, +)
        for tokens in 0...2 * sum {
            for rank in weights.indices {
                let share = Double(tokens) * Double(weights[rank]) / Double(sum)
                #expect(abs(Double(layout.count(of: rank, in: tokens)) - share) < 1.5)
            }
        }
    }

    @Test(
        arguments: [[1, 1, 2], [1, 1, 1, 1, 4], [1], [3, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]] as [[Double]])
    func areaFollowsSpeed(weights: [Double]) throws {
        for tokens in [2048, 8192, 32_768, 100_003, 1_000_000] {
            let layout = try Layout(tokens: tokens, speeds: weights)
            let areas = weights.indices.map { layout.causalArea(of: $0, in: tokens) }
            #expect(areas.reduce(0, +) == tokens * (tokens + 1) / 2)
            let ideal = Double(areas.reduce(0, +)) / weights.reduce(0, +)
            for (area, weight) in zip(areas, weights) {
                // 5% by the width of stripes, and one stripe's queries more or less.
                let stripe = Double(layout.stripeTokens) / Double(tokens) * weights.reduce(0, +) / weight
                #expect(Double(area) / weight <= (1.05 + 2 * stripe) * ideal, "\(tokens) tokens")
            }
            #expect(layout.stripeTokens == 1024 || layout.stripes(in: tokens) < 32 * weights.count)
        }
    }

    @Test func capacitiesAreRespectedToTheToken() throws {
        // All full: one layout only.
        let full = try Layout(tokens: 1000, speeds: [1, 1, 1], capacities: [333, 600, 67])
        #expect((0..<3).map { full.count(of: $0, in: 1000) } == [333, 600, 67])
        check(full, tokens: 1000)
        // The short rank is full, the others share the rest by speed, and its stripes lie everywhere.
        let one = try Layout(tokens: 3000, speeds: [1, 2, 3], capacities: [10_000, 10_000, 600])
        #expect(one.count(of: 2, in: 3000) <= 600 && one.count(of: 2, in: 3000) > 600 - 128)
        #expect(abs(one.count(of: 1, in: 3000) - 2 * one.count(of: 0, in: 3000)) < 3 * 128)
        #expect(abs(one.count(of: 2, in: 1500) - 300) <= 2 * one.stripeTokens)
        #expect(throws: RingError.insufficientCapacity(needed: 1001, available: 1000)) {
            try Layout(tokens: 1001, speeds: [1, 1, 1], capacities: [333, 600, 67])
        }
        #expect(throws: RingError.insufficientCapacity(needed: 1001, available: 1000)) {
            try Layout(tokens: 990, reserved: 11, speeds: [1, 1, 1], capacities: [333, 600, 67])
        }
        let caps = [500, 600, 700]
        let answer = try Layout(tokens: 1200, reserved: 300, speeds: [9, 1, 1], capacities: caps)
        for rank in 0..<3 { #expect(answer.count(of: rank, in: 1500) <= caps[rank]) }
    }

    @Test func aRankWithoutSpeedGetsNothing() throws {
        let layout = try Layout(tokens: 100, speeds: [0, 1, 0])
        #expect((0..<3).map { layout.positions(of: $0, in: 100) } == [[], [0..<100], []])
        let extremes = try Layout(tokens: 1000, speeds: [1e-300, 1e300], capacities: [500, 600])
        #expect((571...600).contains(extremes.count(of: 1, in: 1000)))
    }

    @Test func shortPromptsAreSharedTooAndLongAnswersGoRound() throws {
        let layout = try Layout(tokens: 5, reserved: 300, speeds: [1, 1, 1])
        #expect((0..<3).map { layout.count(of: $0, in: 5) } == [2, 2, 1])
        #expect((0..<3).allSatisfy { abs(layout.count(of: $0, in: 305) - 101) <= 1 })
        #expect(layout.holders(in: 1) == [0] && layout.holders(in: 2) == [0, 1])
    }

    @Test func noStripeIsWiderThanAllowed() throws {
        #expect(try Layout(tokens: 1_000_000, speeds: [1, 1]).stripeTokens == 1024)
        #expect(try Layout(tokens: 1_000_000, speeds: [1, 1], widest: 256).stripeTokens == 256)
        #expect(try Layout(tokens: 1_000_000, speeds: [1, 1], widest: 300).stripeTokens == 256)
        #expect(try Layout(tokens: 1024, speeds: [1, 1]).stripeTokens == 64)
    }

    @Test func nonsenseIsRefused() {
        #expect(throws: RingError.self) { try Layout(tokens: -1, speeds: [1]) }
        #expect(throws: RingError.self) { try Layout(tokens: .max, speeds: [1]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, reserved: .max, speeds: [1]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: []) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: [.nan]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: [0]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: [1], capacities: [1, 1]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: [1], capacities: [-1]) }
        #expect(throws: RingError.self) { try Layout(tokens: 1, speeds: [1], widest: 0) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: 0, weights: [1]) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: .max, weights: [1]) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: 1, weights: []) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: 1, weights: [0, 0]) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: 1, weights: [-1, 2]) }
        #expect(throws: RingError.self) { try Layout(stripeTokens: 1, weights: [.max, .max]) }
        #expect(throws: RingError.self) {
            try Layout(stripeTokens: 1, weights: [Layout.maximumCycle, 1])
        }
    }

    /// Cut at multiples of the slab, whatever comes before them.
    @Test func slabsEndWhereTilesAndStripesDo() {
        #expect(Layout.slabs(of: 128..<640, tokens: 256) == [128..<256, 256..<512, 512..<640])
        #expect(Layout.slabs(of: 0..<512, tokens: 256) == [0..<256, 256..<512])
        #expect(Layout.slabs(of: 256..<300, tokens: 1024) == [256..<300])
        #expect(Layout.slabs(of: 0..<0, tokens: 256) == [0..<0])
    }
}
