// How cheap rungs with several parts are read: learnt from what full length said.
import FactorSearch
import Sampling
import Testing

@Suite("Weights of a rung's parts")
struct RungWeightsTests {
    /// Candidates whose full-length loss is `truth` of two independent parts.
    private func points(_ count: Int, truth: [Double]) -> [(parts: [Double], full: Double)] {
        var random = SplitMix64(seed: 3)
        return (0..<count).map { _ in
            let parts = [
                3 + 0.1 * Double.random(in: 0...1, using: &random),
                4 + 0.1 * Double.random(in: 0...1, using: &random),
            ]
            return (parts, 0.7 + truth[0] * parts[0] + truth[1] * parts[1])
        }
    }

    @Test(
        "With many candidates the truth is found, whatever the guess",
        arguments: [[1.5, 0], [0.2, 2], [1, 0.2]])
    func learns(truth: [Double]) {
        var weights = RungWeights(parts: 2)
        weights.fit(points(200, truth: truth))
        for (found, wanted) in zip(weights.values, truth) { #expect(abs(found - wanted) < 0.1) }
    }

    @Test("Few candidates hardly move the guess, two not at all")
    func few() {
        let guess = RungWeights(parts: 2)
        var weights = guess
        weights.fit(points(2, truth: [0, 3]))
        #expect(weights == guess)
        weights.fit(points(3, truth: [0, 3]))
        #expect(weights.values[1] < 3 && weights.values[1] >= 0)
    }

    @Test("Hopeless candidates, equal ones and a single part change nothing")
    func degenerate() {
        var weights = RungWeights(parts: 2)
        let guess = weights
        weights.fit(Array(repeating: (parts: [3, 4], full: 3), count: 10))
        #expect(weights == guess)
        weights.fit((0..<10).map { (parts: [.infinity, Double($0)], full: Double($0)) })
        #expect(weights == guess)
        #expect(weights.score([1, .nan]) == .infinity)
        var single = RungWeights(parts: 1)
        single.fit((0..<10).map { (parts: [Double($0)], full: 2 * Double($0)) })
        #expect(single.score([7]) == 7)
    }

    @Test("A search reads its cheap rung better for having learnt")
    func search() throws {
        // The first part is misleading, the second is the truth.
        let space = try SearchSpace(pairs: 16, scale: 4, theta: 1e4, originalContext: 4096, startTokens: [0])
        let rungs = [Rung(name: "cheap", cost: 1, parts: 2), Rung(name: "full", cost: 20)]
        let plan = try SearchPlan.fitting(budget: 1500, rungs: rungs, seedCount: 3)
        var search = try FactorSearch(
            space: space, plan: plan, rungs: rungs, seeds: [space.linear, space.ntk, space.yarn()],
            randomSeed: 5)
        func truth(_ candidate: Candidate) -> Double {
            2
                + candidate.factors.enumerated().reduce(0) {
                    let wanted = min(4.2, 1 + 0.25 * Double($1.offset))
                    return $0 + ($1.element / wanted - 1) * ($1.element / wanted - 1) / 16
                }
        }
        while case .evaluate(let trials) = search.next() {
            try search.record(
                trials.map { trial in
                    let loss = truth(trial.candidate)
                    return trial.rung == 0 ? [2.5 + 0.02 * (trial.candidate.factors[3]), loss] : [loss]
                })
        }
        guard case .finished(let outcome) = search.next() else { return }
        let seeds = outcome.seeds.map(\.searchScore).min() ?? 0
        #expect(outcome.best.score - 2 < 0.2 * (seeds - 2))
        #expect(throws: FactorSearchError.self) {
            var other = try FactorSearch(
                space: space, plan: plan, rungs: rungs, seeds: [space.ntk, space.linear, space.yarn()],
                randomSeed: 1)
            guard case .evaluate(let trials) = other.next() else { return }
            try other.record(trials.map { _ in [1] })
        }
    }
}
