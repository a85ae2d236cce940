// Shard, append and piece plans.
import RingAttention
import Testing

private let lengths = [0, 1, 2, 5, 17, 100, 257, 1000, 4099, 131_071]

@Suite struct ShardPlanTests {
    /// Every position has exactly one owner, runs ascend, and the last token's owner leads.
    private func check(_ plan: ShardPlan, tokens: Int) {
        var owner = [Int](repeating: -1, count: tokens)
        for (rank, runs) in plan.runs.enumerated() {
            var last = -1
            for run in runs {
                #expect(!run.isEmpty)
                #expect(run.lowerBound > last, "adjacent runs are joined")
                last = run.upperBound
                #expect(owner[run].allSatisfy { $0 == -1 })
                for position in run { owner[position] = rank }
            }
            #expect(plan.count(of: rank) == runs.reduce(0) { $0 + $1.count })
        }
        #expect(!owner.contains(-1))
        #expect(owner.indices.allSatisfy { plan.owner(of: $0) == owner[$0] })
        #expect(plan.leader == owner.last ?? 0)
        #expect(plan.tokens == tokens)
        if plan.count(of: 0) > 0 { #expect(plan.leader == 0) }
        #expect(plan.runs.allSatisfy { $0.count <= 2 })
    }

    @Test(arguments: 1...9) func coversEveryPositionOnce(ranks: Int) throws {
        for tokens in lengths {
            let even = [Double](repeating: 1, count: ranks)
            let uneven = (0..<ranks).map { Double(1 + ($0 * 7) % 5) }
            check(try ShardPlan(tokens: tokens, weights: even, capacities: nil), tokens: tokens)
            check(try ShardPlan(tokens: tokens, weights: uneven, capacities: nil), tokens: tokens)
            let caps = (0..<ranks).map { $0 == 0 ? 3 : tokens / ranks + 40 * $0 }
            if caps.reduce(0, +) >= tokens {
                let plan = try ShardPlan(tokens: tokens, weights: uneven, capacities: caps)
                check(plan, tokens: tokens)
                #expect(caps.indices.allSatisfy { plan.count(of: $0) <= caps[$0] })
            }
        }
    }

    @Test(
        arguments: [[1, 1, 2], [1, 1, 1, 1, 4], [1], [3, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]] as [[Double]])
    func areaFollowsSpeed(weights: [Double]) throws {
        for tokens in [8_192, 32_768, 100_003, 1_000_000] {
            let plan = try ShardPlan(tokens: tokens, weights: weights, capacities: nil)
            let total = plan.runs.indices.reduce(0) { $0 + plan.causalArea(of: $1) }
            #expect(total == tokens * (tokens + 1) / 2)
            let ideal = Double(total) / weights.reduce(0, +)
            for (rank, weight) in weights.enumerated() {
                // No rank finishes more than 5.5% after the ideal: 5% by alignment, the rest by whole tokens.
                #expect(Double(plan.causalArea(of: rank)) / weight <= 1.055 * ideal)
            }
            if tokens >= 100_000 {
                #expect(plan.runs.joined().allSatisfy { $0.lowerBound % 128 == 0 })
            }
        }
    }

    @Test func capacitiesAreRespectedToTheToken() throws {
        // All full: one plan only.
        let full = try ShardPlan(tokens: 1000, weights: [1, 1, 1], capacities: [333, 600, 67])
        #expect((0..<3).map { full.count(of: $0) } == [333, 600, 67])
        check(full, tokens: 1000)
        // The capped rank is full, the others share the rest by speed.
        let one = try ShardPlan(tokens: 3000, weights: [1, 2, 3], capacities: [10_000, 10_000, 600])
        #expect(one.count(of: 2) <= 600 && one.count(of: 2) > 600 - 128)
        #expect(abs(one.count(of: 1) - 2 * one.count(of: 0)) < 3 * 128)
        #expect(throws: RingError.insufficientCapacity(needed: 1001, available: 1000)) {
            try ShardPlan(tokens: 1001, weights: [1, 1, 1], capacities: [333, 600, 67])
        }
        #expect(throws: RingError.insufficientCapacity(needed: 1001, available: 1000)) {
            try ShardPlan(tokens: 990, weights: [1, 1, 1], capacities: [333, 600, 67], reserved: 11)
        }
    }

    @Test func reservedTokensLeaveRoomForAppends() throws {
        let caps = [500, 600, 700]
        let plan = try ShardPlan(tokens: 1200, weights: [9, 1, 1], capacities: caps, reserved: 300)
        let appends = try AppendPlan(plan: plan)
        for rank in 0..<3 {
            #expect(plan.count(of: rank) + appends.count(of: rank, appended: 300) <= caps[rank])
        }
    }

    @Test func aRankWithoutSpeedGetsNothing() throws {
        let plan = try ShardPlan(tokens: 100, weights: [0, 1, 0], capacities: nil)
        #expect(plan.runs == [[], [0..<100], []])
        #expect(plan.leader == 1)
    }

    @Test func nonsenseIsRefused() {
        #expect(throws: RingError.self) { try ShardPlan(tokens: -1, weights: [1], capacities: nil) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: .max, weights: [1], capacities: nil) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: 1, weights: [], capacities: nil) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: 1, weights: [.nan], capacities: nil) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: 1, weights: [0], capacities: nil) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: 1, weights: [1], capacities: [1, 1]) }
        #expect(throws: RingError.self) { try ShardPlan(tokens: 1, weights: [1], capacities: [-1]) }
        #expect(throws: RingError.self) {
            try ShardPlan(tokens: 1, weights: [1], capacities: nil, alignment: 0)
        }
        #expect(throws: RingError.self) { try ShardPlan(runs: []) }
        #expect(throws: RingError.self) { try ShardPlan(runs: [[0..<4], [3..<6]]) }
        #expect(throws: RingError.self) { try ShardPlan(runs: [[0..<4], [5..<6]]) }
        #expect(throws: RingError.self) { try ShardPlan(runs: [[4..<6, 0..<4]]) }
        #expect(throws: RingError.self) { try ShardPlan(runs: [[0..<Int.max]]) }
    }

    @Test func aPlanSurvivesBeingSentAsRuns() throws {
        let plan = try ShardPlan(tokens: 1000, weights: [1, 3, 2], capacities: nil)
        #expect(try ShardPlan(runs: plan.runs) == plan)
        let extremes = try ShardPlan(tokens: 1000, weights: [1e-300, 1e300], capacities: [500, 600])
        #expect(extremes.count(of: 1) == 600)
    }
}

@Suite struct AppendPlanTests {
    @Test(arguments: 1...9) func dealsRunsOfSixteen(ranks: Int) throws {
        let plan = try ShardPlan(tokens: 50, weights: .init(repeating: 1, count: ranks), capacities: nil)
        let appends = try AppendPlan(plan: plan)
        var counts = [Int](repeating: 0, count: ranks)
        for index in 0..<1000 {
            let owner = try appends.owner(ofAppended: index)
            #expect(owner == (index / 16 + plan.leader) % ranks)
            counts[owner] += 1
        }
        #expect(counts == (0..<ranks).map { appends.count(of: $0, appended: 1000) })
        #expect(counts.max() == AppendPlan.evenShare(ranks: ranks, appended: 1000))
    }

    @Test func passesOverFullRanks() throws {
        let plan = try ShardPlan(runs: [[0..<10], [10..<20], [20..<30]])
        let appends = try AppendPlan(plan: plan, capacities: [60, 15, 110])
        #expect(appends.room == 50 + 5 + 100)
        var counts = [0, 0, 0]
        var owners: [Int] = []
        for index in 0..<155 {
            owners.append(try appends.owner(ofAppended: index))
            counts[owners[index]] += 1
            for rank in 0..<3 { #expect(appends.count(of: rank, appended: index + 1) == counts[rank]) }
        }
        #expect(counts == [50, 5, 100])
        #expect(owners[0] == 2 && owners[16] == 0 && owners[32] == 1 && owners[37] == 2)
        #expect(throws: RingError.insufficientCapacity(needed: 156, available: 155)) {
            try appends.owner(ofAppended: 155)
        }
        #expect(throws: RingError.self) { try appends.owner(ofAppended: -1) }
        #expect(throws: RingError.self) { try AppendPlan(plan: plan, capacities: [9, 10, 10]) }
    }

    @Test func holdersGrowWithTheAnswer() throws {
        let plan = try ShardPlan(tokens: 1, weights: [1, 1, 1], capacities: nil)
        let appends = try AppendPlan(plan: plan)
        #expect(appends.holders(appended: 0) == [0])
        #expect(appends.holders(appended: 16) == [0])
        #expect(appends.holders(appended: 17) == [0, 1])
        #expect(appends.holders(appended: 100) == [0, 1, 2])
    }
}

@Suite struct PiecePlanTests {
    @Test(arguments: 1...9) func piecesPartitionEveryShard(ranks: Int) throws {
        for tokens in lengths {
            let weights = (0..<ranks).map { Double(1 + $0 % 3) }
            let plan = try ShardPlan(tokens: tokens, weights: weights, capacities: nil)
            let size = max(1, tokens / 50)
            let pieces = try PiecePlan(plan: plan, pieceTokens: size)
            for rank in 0..<ranks {
                let mine = pieces.pieces[rank]
                #expect(mine.map(\.index) == Array(0..<mine.count))
                #expect(mine.allSatisfy { $0.rank == rank && !$0.rows.isEmpty && $0.rows.count <= size })
                #expect((mine.map(\.rows.count).max() ?? 0) - (mine.map(\.rows.count).min() ?? 0) <= 1)
                #expect(mine.allSatisfy { $0.runs.reduce(0) { $0 + $1.count } == $0.rows.count })
                let ordered = mine.sorted { $0.rows.lowerBound < $1.rows.lowerBound }
                #expect(ordered.flatMap { Array($0.rows) } == Array(0..<plan.count(of: rank)))
                #expect(ordered.flatMap { $0.runs.joined() } == plan.runs[rank].flatMap { Array($0) })
            }
        }
    }

    @Test func earlyAndLateRowsAlternate() throws {
        let plan = try ShardPlan(tokens: 80, weights: [1, 1], capacities: nil)
        let pieces = try PiecePlan(plan: plan, pieceTokens: 10).pieces[0]
        #expect(pieces.map(\.rows) == [0..<10, 20..<30, 10..<20, 30..<40])
        #expect(pieces.map(\.runs) == [[0..<10], [60..<70], [10..<20], [70..<80]])
    }

    @Test func absurdPiecesAreRefused() throws {
        let plan = try ShardPlan(tokens: 1_000_000, weights: [1], capacities: nil)
        #expect(throws: RingError.self) { try PiecePlan(plan: plan, pieceTokens: 0) }
        #expect(throws: RingError.self) { try PiecePlan(plan: plan, pieceTokens: 1) }
        #expect(try PiecePlan(plan: plan, pieceTokens: .max).counts == [1])
    }
}
