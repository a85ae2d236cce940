// Limits of the search space, the scalings of the literature, and what is no member of a space.
import FactorSearch
import Foundation
import LongRoPE
import Testing

/// That `work` throws an error of this kind which says this.
func refuses<T>(_ code: FactorSearchError.Code, _ expected: String, _ work: () throws -> T) {
    #expect("\(expected)") {
        _ = try work()
    } throws: { error in
        let error = error as? FactorSearchError
        let said = error?.description.contains(expected) == true
        if !said { Issue.record("said instead: \(error?.description ?? "nothing")") }
        return error?.code == code && said
    }
}

@Suite("Search space")
struct SearchSpaceTests {
    @Test("The paper's limits are the defaults")
    func defaults() throws {
        let space = try SearchSpace(pairs: 64, scale: 4, theta: 1e4, originalContext: 4096)
        #expect(space.step == 0.01 && space.ceiling == 5)
        #expect(space.startTokens == [0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 64, 128, 256])
        let second = try SearchSpace(
            pairs: 64, scale: 4, theta: 1e4, originalContext: 4096, criticalPairs: 35...46)
        #expect(second.ceiling == 8)
    }

    @Test(
        "Critical pairs of the LongRoPE2 paper, and SmolLM2's",
        arguments: [
            (48, 1e4, 2048, 31, 19), (64, 5e5, 8192, 35, 24), (64, 1e4, 4096, 46, nil),
            (48, 1e4, 4096, 34, nil), (32, 1e5, 8192, 20, 14),
        ] as [(Int, Double, Int, Int, Int?)])
    func criticalPairs(pairs: Int, theta: Double, context: Int, theoretical: Int, tenTurns: Int?) {
        #expect(
            RotaryBase.criticalPair(pairs: pairs, theta: theta, originalContext: context) == theoretical)
        if let tenTurns {
            #expect(
                RotaryBase.criticalPair(
                    pairs: pairs, theta: theta, originalContext: context, periods: 10) == tenTurns)
        }
    }

    @Test("Critical pairs stay among the pairs")
    func extremeCriticalPairs() {
        #expect(RotaryBase.criticalPair(pairs: 8, theta: 2, originalContext: 1_000_000) == 8)
        #expect(RotaryBase.criticalPair(pairs: 8, theta: 1e4, originalContext: 1) == 0)
    }

    @Test("PI, NTK, YaRN")
    func knownScalings() throws {
        let space = try SearchSpace.small()
        #expect(space.knownScalings.map(\.origin) == [.linear, .ntk, .yarn, .yarn])
        #expect(space.linear.factors == Array(repeating: 4, count: 32))
        let ntk = space.ntk.factors
        #expect(ntk[0] == 1 && abs(ntk[31] - 4) < 1e-12 && abs(ntk[10] - pow(4, 10.0 / 31)) < 1e-12)

        // 32 turns: pair 10.3, 1 turn: pair 19.9; between them frequencies are mixed.
        let yarn = space.yarn()
        #expect(yarn.factors[...10].allSatisfy { $0 == 1 } && yarn.factors[20...].allSatisfy { $0 == 4 })
        #expect(abs(yarn.factors[15] - 1 / (0.5 / 4 + 0.5)) < 1e-12)
        #expect(abs(yarn.attentionFactor - 1.1386294) < 1e-7)
        #expect(space.yarn(attentionFactor: 1).factors == yarn.factors)

        let base = (0..<32).map { 1 + Double($0) / 10 }
        let second = try SearchSpace.small(base: base)
        #expect(second.linear.factors == base.map { $0 * 4 })
    }

    @Test("Origin is no part of a candidate's identity, and JSON keeps the rest exactly")
    func identity() throws {
        let space = try SearchSpace.small()
        let renamed = Candidate(factors: space.ntk.factors, origin: .mutation)
        #expect(renamed == space.ntk && renamed.hashValue == space.ntk.hashValue)
        let trial = Trial(candidate: space.yarn(), rung: 2, purpose: .final)
        let back = try JSONDecoder().decode(Trial.self, from: JSONEncoder().encode(trial))
        #expect(back == trial && back.candidate.origin == .yarn)
    }

    @Test("What is no member of the space")
    func members() throws {
        let space = try SearchSpace.small()
        func factors(_ change: (inout [Double]) -> Void) -> [Double] {
            var factors = [Double](repeating: 2, count: 32)
            change(&factors)
            return factors
        }
        func isRefused(
            _ expected: String, _ factors: [Double], tokens: Int = 0, attention: Double = 1,
            in other: SearchSpace? = nil
        ) {
            refuses(.invalidCandidate, expected) {
                try (other ?? space).check(
                    Candidate(factors: factors, startTokens: tokens, attentionFactor: attention))
            }
        }
        try space.check(Candidate(factors: factors { $0[31] = 5 }, startTokens: 256, attentionFactor: 0.9))
        isRefused("factor 7 is 1.5, less than factor 6, which is 2.0", factors { $0[7] = 1.5 })
        isRefused("there are 31 factors; 32 pairs need 32", factors { $0.removeLast() })
        isRefused("factor 3 is -2.0; every factor must be a number from 1e-6", factors { $0[3] = -2 })
        isRefused("factor 3 is nan", factors { $0[3] = .nan })
        isRefused("factor 31 is 5.01; it must be 1 to the ceiling 5.0", factors { $0[31] = 5.01 })
        isRefused("factor 0 is 0.99; it must be 1 to", factors { $0[0] = 0.99 })
        isRefused("factor 31 is 2.005, no multiple of the step 0.01", factors { $0[31] = 2.005 })
        isRefused("3 start tokens; possible are [0, 1, 2, 4", factors { _ in }, tokens: 3)
        isRefused("-1 start tokens; they must be 0 or more", factors { _ in }, tokens: -1)
        isRefused("the attention factor is 2.0; possible is 0.9...1.27", factors { _ in }, attention: 2)
        isRefused("the attention factor is 0.0; it must be finite", factors { _ in }, attention: 0)

        let second = try SearchSpace.small(base: factors { $0[4] = 1 })
        try second.check(Candidate(factors: second.linear.factors))
        isRefused("multiplier 5 is 1.0, less than multiplier 4", factors { _ in }, in: second)

        let critical = try SearchSpace.small(criticalPairs: 14...31)
        try critical.check(
            Candidate(factors: (0..<32).map { $0 < 20 ? pow(5, Double($0) / 20) : $0 < 30 ? 5 : 5.5 }))
        isRefused("the nearest vector of the space has", factors { _ in }, in: critical)
    }

    @Test("Impossible spaces")
    func refusals() {
        func isRefused(
            _ expected: String, pairs: Int = 32, scale: Double = 4, theta: Double = 1e5,
            context: Int = 8192, step: Double = 0.01, ceiling: Double? = nil, tokens: [Int] = [0],
            attention: ClosedRange<Double>? = nil, critical: ClosedRange<Int>? = nil, base: [Double]? = nil
        ) {
            refuses(.invalidSpace, expected) {
                try SearchSpace(
                    pairs: pairs, scale: scale, theta: theta, originalContext: context, step: step,
                    ceiling: ceiling, startTokens: tokens, attentionFactors: attention,
                    criticalPairs: critical, base: base)
            }
        }
        isRefused("0 pairs; 1 to 2048", pairs: 0)
        isRefused("the scale is 0.5; it must be 1 to", scale: 0.5)
        isRefused("the scale is nan", scale: .nan)
        isRefused("theta is 1.0", theta: 1)
        isRefused("the original context is 0 tokens", context: 0)
        isRefused("the step is 0.0", step: 0)
        isRefused("the ceiling is 0.9; it must be 1 to", ceiling: 0.9)
        isRefused("no multiple of the step 0.3 lies between 1.0 and the ceiling 1.1", step: 0.3, ceiling: 1.1)
        isRefused("the start tokens are []", tokens: [])
        isRefused("the start tokens are [0, -4]", tokens: [0, -4])
        isRefused("the attention factors are 0.0...1.0; they must be above 0", attention: 0...1)
        isRefused("the critical pairs are 14...32; with 32 pairs they must be in 1...31", critical: 14...32)
        isRefused("the ceiling is 3.0, below the scale 4.0", ceiling: 3, critical: 14...31)
        isRefused(
            "no critical pairs; leave one", critical: 14...31, base: Array(repeating: 1, count: 32))
        isRefused("there are 2 base factors; 32 pairs need 32", base: [1, 2])
        isRefused("base factor 31 is 0.0", base: Array(repeating: 1, count: 31) + [0])
    }
}
