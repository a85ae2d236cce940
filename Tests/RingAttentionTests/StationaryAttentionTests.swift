// Decode over shards that stay, against attention in double precision.
import RingAttention
import TestSupport
import Testing

@Suite(.serialized) struct StationaryAttentionTests {
    /// One rank's KV: rows and their positions.
    private struct Cache {
        var kv: [Float]
        var positions: [Int]
    }

    private func decode(ranks: Int, prompt: Int, appended: Int, capacities: [Int]? = nil) throws -> Double {
        let layers = 2
        let problems = (0..<layers).map {
            Problem(tokens: prompt + appended, heads: 4, kvHeads: 2, headSize: 4, seed: UInt64($0 + 1))
        }
        let layout = try Layout(
            tokens: prompt, reserved: appended, speeds: (0..<ranks).map { Double(1 + $0 % 3) },
            capacities: capacities)
        let holders = layout.holders(in: prompt + appended)
        let first = layout.owner(of: prompt - 1)
        let ring = LoopbackRing(ranks: ranks)
        let results = onThreads(ranks) { rank -> [Float] in
            var caches = problems.map { problem in
                let runs = layout.positions(of: rank, in: prompt)
                return Cache(kv: problem.keyValues(runs), positions: runs.flatMap { Array($0) })
            }
            /// The payload: a query (heads, headSize), then k and v if this rank keeps them.
            func answer(_ layer: Int, _ position: Int, _ floats: [Float]) -> AttentionPartial {
                let problem = problems[layer]
                let size = problem.heads * problem.headSize
                if floats.count > size {
                    caches[layer].kv += floats[size...]
                    caches[layer].positions.append(position)
                }
                var partial = AttentionPartial(heads: problem.heads, headSize: problem.headSize)
                for head in 0..<problem.heads {
                    let (o, l) = problem.attend(
                        query: floats[head * problem.headSize..<(head + 1) * problem.headSize],
                        position: position,
                        head: head, kv: caches[layer].kv, positions: caches[layer].positions)
                    partial.output.replaceSubrange(
                        head * problem.headSize..<(head + 1) * problem.headSize, with: o.map { Float($0) })
                    partial.logSumExp[head] = Float(l)
                }
                return partial
            }
            if rank != first {
                guard holders.contains(rank) else { return [] }
                let follower = try StationaryFollower(
                    peer: ring.peer(rank), rank: rank, leader: first, layers: layers,
                    stall: .seconds(30))
                let answered = try follower.run(firstPosition: prompt) { answer($0, $1, $2.floats) }
                guard answered == appended * layers else { throw RingError.attention("\(answered) answers") }
                return caches[0].positions.map { Float($0) }
            }
            let leader = try StationaryLeader(
                peer: ring.peer(rank), rank: rank, followers: holders, stall: .seconds(30))
            var output: [Float] = []
            for index in 0..<appended {
                let owner = layout.owner(of: prompt + index)
                for layer in 0..<layers {
                    let problem = problems[layer]
                    let position = prompt + index
                    let query = (0..<problem.heads).flatMap { problem.query(position, $0) }
                    func floats(_ rank: Int) -> [Float] {
                        rank == owner ? query + problem.keyValues([position..<position + 1]) : query
                    }
                    let result = try leader.attend(
                        layer: layer, position: position, heads: problem.heads, headSize: problem.headSize,
                        query: { BytesPayload(floats: floats($0)) },
                        own: { answer(layer, position, floats(rank)) })
                    output += result.output
                }
            }
            try leader.end()
            return output
        }
        let lists = try results.map { try #require($0).get() }
        // Appends went where the plan says.
        for rank in 0..<ranks where rank != first {
            #expect(lists[rank].count == layout.count(of: rank, in: prompt + appended))
        }
        let oracles = problems.map { $0.oracle() }
        let row = problems[0].heads * problems[0].headSize
        var worst = 0.0
        let output = lists[first]
        #expect(output.count == appended * layers * row)
        for at in output.indices {
            let (step, d) = at.quotientAndRemainder(dividingBy: row)
            let (index, layer) = step.quotientAndRemainder(dividingBy: layers)
            let difference = abs(Double(output[at]) - oracles[layer][(prompt + index) * row + d])
            worst = difference.isNaN ? .infinity : max(worst, difference)
        }
        return worst
    }

    @Test(arguments: 1...9) func equalsOneMachine(ranks: Int) throws {
        for prompt in [1, 2, 5, 57] {
            #expect(try decode(ranks: ranks, prompt: prompt, appended: 90) < 2e-6)
        }
    }

    @Test func appendsFindRoom() throws {
        #expect(try decode(ranks: 3, prompt: 30, appended: 60, capacities: [10, 30, 50]) < 2e-6)
    }

    @Test(arguments: [false, true]) func aLostFollowerIsNamed(dies: Bool) {
        let ring = LoopbackRing(ranks: 4)
        let results = onThreads(4) { rank in
            if rank == 0 {
                let leader = try StationaryLeader(
                    peer: ring.peer(0), rank: 0, followers: [1, 2, 3], stall: .seconds(2))
                for position in 0..<100 {
                    _ = try leader.attend(
                        layer: 0, position: position, heads: 1, headSize: 1, query: { _ in BytesPayload([]) },
                        own: { AttentionPartial(heads: 1, headSize: 1) })
                }
            } else {
                let follower = try StationaryFollower(
                    peer: ring.peer(rank), rank: rank, leader: 0, layers: 1, stall: .seconds(2))
                try follower.run { _, position, _ in
                    if rank == 2, position == 5 { dies ? ring.kill(2) : ring.freeze(2) }
                    return AttentionPartial(heads: 1, headSize: 1)
                }
            }
        }
        var blame = Blame()
        for rank in [0, 1, 3] {
            let complaint = (results[rank]?.error as? RingError)?.complaint(by: rank)
            #expect(complaint != nil, "rank \(rank): \(String(describing: results[rank]))")
            if let complaint { blame.add(complaint, by: rank) }
        }
        #expect(blame.verdict?.culprit == 2)
    }

    @Test func outOfTurnMessagesAreRefused() throws {
        let payload = BytesPayload([])
        let wrong: [RingMessage] = [
            .query(layer: 1, position: 7, payload: payload), .query(layer: 0, position: 8, payload: payload),
            .query(layer: -1, position: .min, payload: payload),
            .partial(layer: 0, from: 0, payload: payload),
        ]
        for message in wrong {
            let ring = LoopbackRing(ranks: 2)
            try ring.peer(0).send(message, to: 1, deadline: .now + .seconds(60))
            let follower = try StationaryFollower(
                peer: ring.peer(1), rank: 1, leader: 0, layers: 2, stall: .seconds(60))
            let error = #expect(throws: RingError.self) {
                try follower.run(firstPosition: 7) { _, _, _ in AttentionPartial(heads: 1, headSize: 1) }
            }
            guard case .protocolViolation(0, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
        let ring = LoopbackRing(ranks: 2)
        try ring.peer(1).send(
            .partial(layer: 0, from: 1, payload: BytesPayload([1])), to: 0, deadline: .now + .seconds(60))
        let leader = try StationaryLeader(peer: ring.peer(0), rank: 0, followers: [1], stall: .seconds(60))
        #expect(throws: RingError.self) {
            try leader.attend(
                layer: 0, position: 0, heads: 1, headSize: 1, query: { _ in payload },
                own: { AttentionPartial(heads: 1, headSize: 1) })
        }
    }
}
