// Choosing a token: each step alone, their order, reproducibility, frequencies.
import Foundation
import Sampling
import Testing

/// Logits of a vocabulary-sized kind, the same on every run.
func pseudoLogits(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in Float.random(in: -8...12, using: &generator) }
}

@Suite("Sampler")
struct SamplerTests {
    static func sample(_ options: SamplingOptions, _ logits: [Float], times: Int) throws -> [Int32] {
        var sampler = Sampler(options)
        return try (0..<times).map { _ in try sampler.next(logits: logits.span).token }
    }

    @Test("Greedy takes the largest, the lowest id among equals")
    func greedy() throws {
        #expect(try Self.sample(.init(), [1, 5, 5, -.infinity, 5], times: 3) == [1, 1, 1])
        #expect(try Self.sample(.init(), [-.infinity, -3], times: 1) == [1])
        let large = pseudoLogits(200_000, seed: 1)
        let best = large.firstIndex(of: large.max()!)!
        #expect(try Self.sample(.init(), large, times: 1) == [Int32(best)])
    }

    @Test("The log-probability is that of the model, whatever the options", arguments: [5, 8, 1023, 50_257])
    func logProbability(count: Int) throws {
        let logits = pseudoLogits(count, seed: 2)
        let top = Double(logits.max()!)
        let normaliser = top + log(logits.reduce(0) { $0 + exp(Double($1) - top) })
        for options in try [
            SamplingOptions(), SamplingOptions(temperature: 1.5, seed: 3),
            SamplingOptions(temperature: 0.1, topK: 2, repetitionPenalty: 2),
        ] {
            var sampler = Sampler(options)
            sampler.accept(token: 1)
            let (token, logProbability) = try sampler.next(logits: logits.span)
            #expect(abs(Double(logProbability) - (Double(logits[Int(token)]) - normaliser)) < 2e-5)
        }
    }

    @Test("The log-probability of extreme logits is finite and never above 0")
    func extremeLogProbability() throws {
        for logits: [Float] in [[1e4, -1e4, 0], [-1e30, 1e30], [0], Array(repeating: -2, count: 100)] {
            var sampler = Sampler(try SamplingOptions())
            let (_, logProbability) = try sampler.next(logits: logits.span)
            #expect(logProbability <= 0 && logProbability.isFinite)
        }
        var sampler = Sampler(try SamplingOptions())
        let equal = [Float](repeating: 3, count: 64)
        #expect(abs(try sampler.next(logits: equal.span).logProbability + log(64)) < 1e-6)
    }

    @Test("Frequencies follow softmax(logit / temperature)", arguments: [0.5, 1, 2] as [Float])
    func frequencies(temperature: Float) throws {
        let logits: [Float] = [2, 1, 0, -1, -.infinity, 1.5]
        let draws = 40_000
        var counts = [Int](repeating: 0, count: logits.count)
        for token in try Self.sample(.init(temperature: temperature, seed: 7), logits, times: draws) {
            counts[Int(token)] += 1
        }
        let weights = logits.map { exp(Double($0) / Double(temperature)) }
        let total = weights.reduce(0, +)
        var chiSquared = 0.0
        for (count, weight) in zip(counts, weights) where weight > 0 {
            let expected = weight / total * Double(draws)
            chiSquared += (Double(count) - expected) * (Double(count) - expected) / expected
        }
        #expect(counts[4] == 0)
        // 4 degrees of freedom: above 18.5 once in a thousand; the seed is fixed.
        #expect(chiSquared < 18.5)
    }

    @Test("Top-k keeps the k largest, the lowest ids among equals")
    func topK() throws {
        let logits: [Float] = [0, 3, 1, 3, 2, 3]
        #expect(Set(try Self.sample(.init(temperature: 1, topK: 2, seed: 1), logits, times: 500)) == [1, 3])
        #expect(
            Set(try Self.sample(.init(temperature: 1, topK: 4, seed: 1), logits, times: 500)) == [1, 3, 4, 5])
        #expect(Set(try Self.sample(.init(temperature: 1, topK: 1, seed: 1), logits, times: 50)) == [1])
        #expect(
            Set(try Self.sample(.init(temperature: 2, topK: 100, seed: 1), logits, times: 2000))
                == [0, 1, 2, 3, 4, 5])
    }

    @Test("Top-k of a large vocabulary equals that of a full sort", arguments: [1, 2, 40, 1000, 49_151])
    func topKLarge(count: Int) throws {
        // Rounded, so that there are many equal logits.
        let logits = pseudoLogits(49_152, seed: 4).map { ($0 * 50).rounded() / 50 }
        let sorted = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(count)
        let drawn = try Self.sample(.init(temperature: 100, topK: count, seed: 5), logits, times: 50)
        #expect(drawn.allSatisfy { sorted.contains(Int($0)) })
        if count <= 2 { #expect(Set(drawn) == Set(sorted.map { Int32($0) })) }
    }

    @Test(
        "Top-p keeps the fewest tokens that reach it",
        arguments: [
            (0.1, [0]), (0.5, [0]), (0.51, [0, 1]), (0.8, [0, 1]), (0.81, [0, 1, 2]), (0.96, [0, 1, 2, 3]),
            (1, [0, 1, 2, 3]), (0, [0, 1, 2, 3]),
        ] as [(Float, Set<Int32>)])
    func topP(share: Float, expected: Set<Int32>) throws {
        // Just above 0.5, 0.3, 0.15: sums of rounded logarithms must not decide.
        let logits: [Float] = [log(0.5001), log(0.3), log(0.15), log(0.0499)]
        for topK in [0, 4, 100] {
            let options = try SamplingOptions(temperature: 1, topK: topK, topP: share, seed: 2)
            #expect(Set(try Self.sample(options, logits, times: 2000)) == expected)
        }
    }

    @Test("The nucleus of a flat large vocabulary is as large as it must be")
    func topPLarge() throws {
        let logits = [Float](repeating: 1, count: 30_000)
        let drawn = try Self.sample(.init(temperature: 1, topP: 0.5, seed: 9), logits, times: 100)
        #expect(drawn.allSatisfy { $0 <= 15_000 })
        #expect(drawn.contains { $0 > 12_000 })
    }

    @Test("Top-p is taken among what top-k kept, min-p after both, temperature last")
    func order() throws {
        let logits: [Float] = [log(0.4), log(0.3), log(0.2), log(0.1)]
        // Among the top two, 0.4 / 0.7 = 0.571 reaches 0.55 alone; among all it would not.
        let limited = try SamplingOptions(temperature: 1, topK: 2, topP: 0.55, seed: 1)
        #expect(Set(try Self.sample(limited, logits, times: 500)) == [0])
        // A temperature of 100 before top-p or min-p would let every token in.
        let hot = try SamplingOptions(temperature: 100, topP: 0.65, seed: 1)
        #expect(Set(try Self.sample(hot, logits, times: 500)) == [0, 1])
        let minP = try SamplingOptions(temperature: 100, minP: 0.45, seed: 1)
        #expect(Set(try Self.sample(minP, logits, times: 500)) == [0, 1, 2])
        #expect(Set(try Self.sample(.init(temperature: 1, minP: 1, seed: 1), logits, times: 100)) == [0])
    }

    @Test("The repetition penalty divides positive and multiplies negative logits, once a token")
    func repetition() throws {
        var options = try SamplingOptions(repetitionPenalty: 2, repetitionWindow: 2)
        func next(_ logits: [Float], after tokens: [Int32]) throws -> Int32 {
            var sampler = Sampler(options)
            for token in tokens { sampler.accept(token: token) }
            return try sampler.next(logits: logits.span).token
        }
        #expect(try next([4, 1.9, 0], after: []) == 0)
        #expect(try next([4, 1.9, 0], after: [0]) == 0)
        #expect(try next([4, 1.9, 0], after: [0, 0]) == 0, "4 / 2 = 2, not 4 / 4")
        #expect(try next([4, 2.1, 0], after: [0, 0]) == 1)
        #expect(try next([-1, -1.9], after: [0]) == 1, "-1 becomes -2")
        #expect(try next([-1, -2.1], after: [0]) == 0)
        #expect(try next([4, 3, 0], after: [0, 2, 2]) == 0, "the window has moved on")
        #expect(try next([4, 3, 0], after: [0, 0, 2]) == 1, "one of two is still in the window")
        #expect(try next([4, 3, 0], after: [-5, 77]) == 0, "ids outside the vocabulary change nothing")
        options = try SamplingOptions(repetitionPenalty: 1)
        #expect(try next([4, 3, 0], after: [0]) == 0)
    }

    @Test("Same seed, same tokens; another seed, others")
    func seeds() throws {
        let logits = pseudoLogits(500, seed: 11)
        func tokens(_ seed: UInt64) throws -> [Int32] {
            try Self.sample(.init(temperature: 3, topK: 100, topP: 0.99, seed: seed), logits, times: 64)
        }
        #expect(try tokens(1) == tokens(1))
        #expect(try tokens(1) != tokens(2))
    }

    @Test("SplitMix64 gives its published sequence")
    func generator() {
        var generator = SplitMix64(seed: 1_234_567)
        let values = (0..<5).map { _ in generator.next() }
        #expect(
            values == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test(
        "Bad logits are errors",
        arguments: [
            ([1, .nan, 2], SamplingError.Code.invalidLogit, "token 1 is nan"),
            ([.infinity, 1], .invalidLogit, "token 0 is inf"), ([], .noCandidate, "no logits"),
            ([-.infinity, -.infinity], .noCandidate, "all 2 logits"),
        ] as [([Float], SamplingError.Code, String)])
    func badLogits(logits: [Float], code: SamplingError.Code, text: String) throws {
        for options in try [SamplingOptions(), SamplingOptions(temperature: 1, topK: 5)] {
            var sampler = Sampler(options)
            let error = #expect(throws: SamplingError.self) { try sampler.next(logits: logits.span) }
            #expect(error?.code == code && error?.description.contains(text) == true)
        }
    }

    @Test("Options out of range name themselves, their value and their range")
    func badOptions() {
        func refuses(_ text: String, _ make: () throws -> SamplingOptions) {
            let error = #expect(throws: SamplingError.self) { _ = try make() }
            #expect(error?.code == .invalidOption && error?.description == text)
        }
        refuses("temperature is -1.0; it must be from 0.0 to 100.0") { try .init(temperature: -1) }
        refuses("temperature is nan; it must be from 0.0 to 100.0") { try .init(temperature: .nan) }
        refuses("temperature is inf; it must be from 0.0 to 100.0") { try .init(temperature: .infinity) }
        refuses("top-k is -1; it must be from 0 to 2147483647") { try .init(topK: -1) }
        refuses("top-p is 1.5; it must be from 0.0 to 1.0") { try .init(topP: 1.5) }
        refuses("min-p is -0.5; it must be from 0.0 to 1.0") { try .init(minP: -0.5) }
        refuses("repetition penalty is 101.0; it must be from 0.0 to 100.0") {
            try .init(repetitionPenalty: 101)
        }
        refuses("repetition window is 65537; it must be from 0 to 65536") {
            try .init(repetitionWindow: 65_537)
        }
    }

    @Test("The likeliest tokens agree with sorting, equals by id", arguments: [0, 1, 5, 20])
    func likeliest(count: Int) throws {
        let logits = pseudoLogits(49_152, seed: 9)
        let top = Double(logits.max()!)
        let normaliser = top + log(logits.reduce(0) { $0 + exp(Double($1) - top) })
        let sorted = logits.indices.sorted { (logits[$0], $1) > (logits[$1], $0) }.prefix(count)
        let found = try Sampler.likeliest(count, of: logits.span)
        #expect(found.map { Int($0.token) } == Array(sorted))
        for (token, logProbability) in found {
            #expect(abs(Double(logProbability) - (Double(logits[Int(token)]) - normaliser)) < 2e-5)
        }
        // What cannot be chosen is not named.
        let few: [Float] = [-.infinity, 2, -.infinity, 2]
        #expect(try Sampler.likeliest(4, of: few.span).map(\.token) == [1, 3])
        #expect(throws: SamplingError.self) { try Sampler.likeliest(1, of: [Float.nan].span) }
    }
}
