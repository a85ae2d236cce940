// Rings that cannot finish: every rank must notice, soon, and name the culprit.
import RingAttention
import TestSupport
import Testing

@Suite struct RingFailureTests {
    /// Runs layers until an error; `during` is called by each rank for each sweep. Nil: a rank that never ended.
    private func run(
        _ ring: LoopbackRing, stripes: Int = 3, layers: Int = 50, stall: Duration = .seconds(3),
        during: @escaping @Sendable (_ rank: Int, _ layer: Int, _ exchange: RingExchange) throws -> Void = {
            _, _, _ in
        }
    ) -> [(any Error)?] {
        let weights = [Int](repeating: 1, count: ring.ranks)
        let results = onThreads(ring.ranks, within: .seconds(60)) { rank in
            let schedule = try RingSchedule(
                rank: rank, layout: Layout(stripeTokens: 1, weights: weights), tokens: stripes * ring.ranks)
            let exchange = try RingExchange(
                peer: ring.peer(rank), schedule: schedule, stall: stall, sweepTokens: 1)
            for layer in 0..<layers {
                let own = schedule.layout.stripes(of: rank, in: schedule.tokens).map {
                    RingPiece(
                        layer: layer, origin: rank, stripe: $0, positions: schedule.positions($0),
                        payload: BytesPayload([1, 2, 3]))
                }
                _ = try exchange.run(layer: layer, own: own) { _ in try during(rank, layer, exchange) }
            }
        }
        return results.map { result in
            guard let result else { return nil }
            return result.error ?? RingError.invalidPlan("no error at all")
        }
    }

    /// Whom the errors of all ranks but one accuse together.
    private func culprit(_ errors: [(any Error)?], without silent: Int? = nil) -> Int? {
        var blame = Blame()
        for (rank, error) in errors.enumerated() where rank != silent {
            guard let complaint = (error as? RingError)?.complaint(by: rank) else { continue }
            blame.add(complaint, by: rank)
        }
        return blame.verdict?.culprit
    }

    @Test(arguments: [2, 3, 5, 8]) func aDeadRankIsNamed(ranks: Int) {
        let ring = LoopbackRing(ranks: ranks)
        let victim = ranks / 2
        let errors = run(ring) { rank, layer, _ in
            if rank == victim, layer == 3 { ring.kill(victim) }
        }
        #expect(errors.enumerated().allSatisfy { $0 == victim || ($1 as? RingError)?.rank != nil })
        #expect(culprit(errors, without: victim) == victim, "\(errors)")
    }

    @Test(arguments: [2, 5, 8]) func aHangingRankIsNamed(ranks: Int) {
        let ring = LoopbackRing(ranks: ranks)
        let victim = ranks - 1
        let errors = run(ring) { rank, layer, _ in
            if rank == victim, layer == 3 { ring.freeze(victim) }
        }
        #expect(errors.enumerated().allSatisfy { $0 == victim || ($1 as? RingError)?.rank != nil })
        #expect(culprit(errors, without: victim) == victim, "\(errors)")
    }

    @Test func cancelWakesEverybody() {
        // The stall limit is longer than the test may take: only waking can end it.
        let ring = LoopbackRing(ranks: 4)
        let errors = run(ring, stall: .seconds(600)) { rank, layer, exchange in
            if rank == 1, layer == 2 { exchange.cancel() }
        }
        #expect(errors[1] as? RingError == .cancelled)
        for rank in [0, 2, 3] {
            guard case .gaveUp? = errors[rank] as? RingError else {
                Issue.record("rank \(rank): \(String(describing: errors[rank]))")
                continue
            }
        }
        #expect(culprit(errors) == 1)
    }

    @Test func cancelFromOutsideWhileWaiting() throws {
        let ring = LoopbackRing(ranks: 2)
        let exchange = try RingExchange(
            peer: ring.peer(0),
            schedule: RingSchedule(rank: 0, layout: Layout(stripeTokens: 1, weights: [0, 1]), tokens: 1),
            stall: .seconds(600))
        let results = onThreads(2) { thread in
            if thread == 1 { exchange.cancel() } else { _ = try exchange.run(layer: 0, own: []) { _ in } }
        }
        #expect(results[0]?.error as? RingError == .cancelled)
        #expect(throws: RingError.cancelled) { try exchange.run(layer: 1, own: []) { _ in } }
    }

    @Test func anErrorOfTheCallerStopsTheRing() {
        struct Broken: Error {}
        let errors = run(LoopbackRing(ranks: 3), stall: .seconds(600)) { rank, layer, _ in
            if rank == 2, layer == 1 { throw Broken() }
        }
        #expect(errors[2] as? RingError == .attention("Broken()"))
        #expect((errors[0] as? RingError)?.rank != nil && (errors[1] as? RingError)?.rank != nil)
        #expect(culprit(errors) == 2)
    }

    private enum Nonsense: CaseIterable { case reordered, twice, otherLayer, otherOrigin, end, query }

    @Test(arguments: Nonsense.allCases) private func nonsenseIsAnErrorNotACrash(kind: Nonsense) {
        let ring = LoopbackRing(ranks: 3) { message, from, _, number in
            guard from == 0, number == 2, case .keyValues(let piece) = message else { return [message] }
            func changed(layer: Int, origin: Int, stripe: Int) -> [RingMessage] {
                [
                    .keyValues(
                        RingPiece(
                            layer: layer, origin: origin, stripe: stripe, positions: piece.positions,
                            payload: piece.payload))
                ]
            }
            switch kind {
            case .reordered:
                return changed(layer: piece.layer, origin: piece.origin, stripe: piece.stripe + 1)
            case .twice: return [message, message]
            case .otherLayer: return changed(layer: .max, origin: piece.origin, stripe: piece.stripe)
            case .otherOrigin: return changed(layer: piece.layer, origin: -7, stripe: piece.stripe)
            case .end: return [.end]
            case .query: return [.query(layer: 0, position: 0, payload: piece.payload)]
            }
        }
        let errors = run(ring, stall: .seconds(600))
        guard case .protocolViolation(0, _)? = errors[1] as? RingError else {
            Issue.record("\(String(describing: errors[1]))")
            return
        }
        #expect(!errors.contains { $0 == nil })
    }

    @Test func positionsAndSizesAreCompared() throws {
        let layout = try Layout(stripeTokens: 4, weights: [1, 1])
        let schedule = try RingSchedule(rank: 1, layout: layout, tokens: 8)
        for (positions, bytes) in [(0..<1, 8), (0..<4, 9), (0..<Int.max, 0)] {
            let ring = LoopbackRing(ranks: 2, capacity: 4)
            let exchange = try RingExchange(
                peer: ring.peer(1), schedule: schedule, stall: .seconds(60), bytesPerToken: 2)
            let bad = RingPiece(
                layer: 0, origin: 0, stripe: 0, positions: positions,
                payload: BytesPayload(.init(repeating: 0, count: bytes)))
            try ring.peer(0).send(.keyValues(bad), to: 1, deadline: .now + .seconds(60))
            let own = [
                RingPiece(layer: 0, origin: 1, stripe: 1, positions: 4..<8, payload: BytesPayload([]))
            ]
            let error = #expect(throws: RingError.self) { try exchange.run(layer: 0, own: own) { _ in } }
            guard case .protocolViolation(0, _)? = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func errorsSayWhatToDo() {
        #expect("\(RingError.insufficientCapacity(needed: 5, available: 4))".contains("shorten the prompt"))
        #expect("\(RingError.stalled(rank: 3, seconds: 1))".contains("rank 3"))
    }
}
