// Methods against their published formulas, the choice by length, names, and files of factors.
import Foundation
import LongRoPE
import Testing

@Suite("Rotary methods")
struct RotaryMethodTests {
    static let smol = try? RotaryBase(theta: 1e5, rotaryDimension: 64, originalContext: 8192)

    private func profile(_ name: String, total: Int, of base: RotaryBase? = smol) throws -> RotaryProfile {
        try RotaryMethodName.parse(name).profile(total: total, of: #require(base))
    }

    @Test("Inverse frequencies as transformers computes them, in double precision")
    func inverseFrequencies() throws {
        for (name, theta, dimension, original, expected, attention) in [
            (
                "yarn:8", 1e5, 64, 8192,
                [
                    1.0, 0.056234132519034905, 0.0015020818885799802, 2.2228492625486534e-05,
                    1.7912657127962034e-06,
                ],
                1.2079441541679836
            ),
            (
                "yarn:16", 1e4, 128, 4096, [1.0, 0.1, 0.005673076923076923, 6.25e-05, 7.217387404309114e-06],
                1.2772588722239782
            ),
            (
                "yarn:4", 1e6, 128, 32768,
                [
                    1.0, 0.03162277660168379, 0.0006029411764705882, 7.905694150420949e-06,
                    3.102344401879299e-07,
                ],
                1.138629436111989
            ),
            (
                "ntk:8", 1e5, 64, 8192,
                [
                    1.0, 0.03288096232222839, 0.001081157683235803, 3.5549505046864174e-05,
                    1.7912657127962036e-06,
                ], 1.0
            ),
        ] {
            let base = try RotaryBase(theta: theta, rotaryDimension: dimension, originalContext: original)
            let profile = try profile(name, total: 1, of: base)
            for (pair, value) in zip(
                [0, dimension / 8, dimension / 4, 3 * dimension / 8, dimension / 2 - 1], expected)
            {
                let inverse = 1 / (profile.factors[pair] * pow(theta, 2 * Double(pair) / Double(dimension)))
                #expect(abs(inverse / value - 1) < 1e-12, "\(name), pair \(pair)")
            }
            #expect(abs(profile.attentionFactor - attention) < 1e-12)
        }
    }

    @Test("Windows, names and scales as needed")
    func scales() throws {
        #expect(try profile("none", total: 99999).window == 8192)
        #expect(try profile("none", total: 99999).factors == Array(repeating: 1, count: 32))
        for name in ["linear:4", "ntk:4", "yarn:4", "longrope2:4", "longrope2:4:28"] {
            let profile = try profile(name, total: 10)
            #expect(profile.window == 32768 && profile.name == name)
            #expect(profile.factors[31] == 4)
        }
        #expect(try profile("pi:4", total: 10) == profile("linear:4", total: 10))
        for name in ["linear", "dynamic-ntk", "yarn", "longrope2"] {
            #expect(try profile(name, total: 16384).factors[31] == 2)
            #expect(try profile(name, total: 16384).window == 16384)
            #expect(try profile(name, total: 8192).factors == Array(repeating: 1, count: 32), "not needed")
        }
        #expect(try profile("dynamic-ntk", total: 16384).factors == profile("ntk:2", total: 1).factors)
        #expect(
            try profile("longrope2:8:4", total: 1).factors.prefix(5) == [
                1, pow(8, 0.25), pow(8, 0.5), pow(8, 0.75), 8,
            ])
        let onePair = try RotaryBase(theta: 1e4, rotaryDimension: 2, originalContext: 64)
        #expect(try profile("ntk:4", total: 1, of: onePair).factors == [4])
    }

    @Test(
        "Every method stretches no pair less than the one before",
        arguments: ["linear:8", "ntk:8", "yarn:8", "longrope2:8"])
    func monotone(name: String) throws {
        for base in [
            try RotaryBase(theta: 1e4, rotaryDimension: 96, originalContext: 4096), try #require(Self.smol),
        ] {
            let factors = try profile(name, total: 1, of: base).factors
            #expect(zip(factors, factors.dropFirst()).allSatisfy { $0 <= $1 } && factors[0] >= 1)
        }
    }

    @Test(
        "Critical pairs of the paper's models",
        arguments: [
            (96, 1e4, 2048, 31, 19), (128, 5e5, 8192, 35, 24), (128, 1e4, 4096, 46, nil),
            (96, 1e4, 4096, 34, nil),
        ])
    func criticalPairs(dimension: Int, theta: Double, original: Int, pair: Int, least: Int?) throws {
        let base = try RotaryBase(theta: theta, rotaryDimension: dimension, originalContext: original)
        #expect(base.criticalPair() == pair)
        if let least { #expect(base.criticalPair(periods: 10) == least) }
    }

    @Test("Phi-4-mini's published factors below the critical pair are the closed form")
    func phi4() throws {
        let long = try #require(try PublishedFactors.load().models["phi4-mini"]).long
        let closed = CriticalPairInterpolation.factors(scale: 32.03, criticalPair: 31, pairs: 48)
        for (published, value) in zip(long.prefix(32), closed) { #expect(abs(published / value - 1) < 1e-8) }
    }

    @Test(
        "What cannot be read says what can",
        arguments: [
            "yarn:zero", "yarn:0.5", "yarn:1e9", "yarn:nan", "none:2", "linear:2:3", "longrope2:2:0",
            "longrope2:2:x", "",
            "magic",
        ])
    func wrongNames(text: String) {
        let error = #expect(throws: LongRoPEError.self) { try RotaryMethodName.parse(text) }
        #expect(error?.code == .invalidMethod)
        #expect(
            error?.description.contains("1,000,000") == true || error?.description.contains("yarn:S") == true)
    }

    @Test("A critical pair that the model has not is refused with its number of pairs")
    func wrongPair() {
        let error = #expect(throws: LongRoPEError.self) { try profile("longrope2:2:32", total: 1) }
        #expect(error?.description.contains("32 pairs") == true)
    }

    @Test("The smallest table that holds prompt and output, exactly full included")
    func tables() throws {
        let base = try RotaryBase(theta: 1e4, rotaryDimension: 4, originalContext: 100)
        let method = try LongRoPETables(tables: [
            RotaryTable(window: 400, factors: [1, 4], startTokens: 8, attentionFactor: 1.5),
            RotaryTable(window: 100, factors: [1, 1], attentionFactor: 1),
            RotaryTable(window: 200, factors: [1, 2]),
        ])
        for (total, window) in [
            (1, 100), (100, 100), (101, 200), (200, 200), (201, 400), (400, 400), (401, 400),
        ] {
            #expect(try method.profile(total: total, of: base).window == window)
        }
        let long = try method.profile(total: 300, of: base)
        #expect(long.name == "to 400" && long.startTokens == 8 && long.attentionFactor == 1.5)
        let formula = try method.profile(total: 150, of: base).attentionFactor
        #expect(abs(formula - (1 + log(2) / log(100)).squareRoot()) < 1e-12)
        #expect(throws: LongRoPEError.self) { try LongRoPETables(tables: []) }
        #expect(throws: LongRoPEError.self) {
            try LongRoPETables(tables: [
                RotaryTable(window: 4, factors: [1]), RotaryTable(window: 4, factors: [2]),
            ])
        }
    }

    @Test(
        "Tokens spread over a window reach its end and not beyond",
        arguments: [
            (4096, 16384, 8), (2048, 32768, 8), (100, 1000, 7), (3, 10, 8), (16384, 65536, 8), (5, 7, 3),
            (2, 1 << 20, 2),
        ])
    func spreading(tokens: Int, window: Int, pieces: Int) throws {
        let gap = try #require(PositionGap(spreading: tokens, over: window, pieces: pieces))
        let profile = try RotaryProfileTests.make(
            theta: 1e6, factors: [1, 1], start: 0, attention: 1, window: window)
        let gaps = (tokens - 1) / gap.every
        #expect(gaps < pieces && gaps >= 1)
        let last = tokens - 1 + gaps * gap.length
        #expect(last < window && last >= window - 1 - gaps)
        let table = AngleTable(try profile.with(gap: gap))
        let rotation = table.rotation(position: tokens - 1, pair: 0)
        #expect(rotation == AngleTable(profile).rotation(position: last, pair: 0))
        #expect(PositionGap(spreading: window, over: window, pieces: pieces) == nil)
    }

    @Test("Positions after a gap turn as if the gap were filled, below n-hat unscaled")
    func gap() throws {
        let profile = try RotaryProfileTests.make(start: 16)
        let gapped = try profile.with(gap: PositionGap(every: 10, length: 1000))
        #expect(gapped.identity != profile.identity && gapped != profile)
        let (table, whole) = (AngleTable(gapped), AngleTable(profile))
        for (index, position) in [(0, 0), (9, 9), (10, 1010), (19, 1019), (500, 50500)] {
            for pair in 0..<2 {
                let (cosine, sine) = table.rotation(position: index, pair: pair)
                let expected = whole.rotation(position: position, pair: pair)
                #expect(cosine == expected.cosine && sine == expected.sine)
            }
        }
        var cosines = [Float](repeating: 0, count: 8)
        var sines = cosines
        var cosine = cosines.mutableSpan
        var sine = sines.mutableSpan
        table.fill(positions: 8..<12, cosine: &cosine, sine: &sine)
        #expect(cosines[6] == whole.rotation(position: 1011, pair: 0).cosine)
        #expect(try JSONDecoder().decode(RotaryProfile.self, from: JSONEncoder().encode(gapped)) == gapped)
        #expect(throws: LongRoPEError.self) { try profile.with(gap: PositionGap(every: 0, length: 1)) }
        #expect(throws: LongRoPEError.self) { try profile.with(gap: PositionGap(every: 1, length: 0)) }
    }
}

@Suite("Files of factors")
struct FactorFileTests {
    private func file(_ text: String) throws -> FactorFile {
        try FactorFile(json: Data(text.utf8), name: "factors.json")
    }

    @Test("Every published model's factors load in both forms and make profiles")
    func published() throws {
        let published = try PublishedFactors.load()
        #expect(published.models.count == 8 && published.research_csv.values.count >= 20)
        for (name, model) in published.models {
            var scaling: [String: Any] = ["type": "longrope", "long_factor": model.long]
            if let short = model.short { scaling["short_factor"] = short }
            let maximum = model.max ?? model.orig
            let config: [String: Any] = [
                "rope_scaling": scaling, "original_max_position_embeddings": model.orig,
                "max_position_embeddings": maximum, "vocab_size": 7,
            ]
            scaling["original_max_position_embeddings"] = model.orig
            scaling["factor"] = Double(maximum) / Double(model.orig)
            for object in [config, scaling] {
                let file = try FactorFile(json: JSONSerialization.data(withJSONObject: object), name: name)
                let base = try RotaryBase(
                    theta: model.theta, rotaryDimension: model.rotary_dim, originalContext: model.orig)
                let long = try file.method().profile(total: maximum, of: base)
                #expect(long.factors == model.long && long.window == maximum, "\(name)")
                if let short = model.short, maximum > model.orig {
                    #expect(try file.method().profile(total: model.orig, of: base).factors == short)
                    #expect(try file.method().profile(total: model.orig + 1, of: base).factors == model.long)
                }
                if model.orig == 4096, maximum == 131072 {
                    #expect(abs(long.attentionFactor - 1.1902381) < 1e-7, "\(name)")
                }
            }
        }
        for (name, factors) in published.research_csv.values {
            let base = try RotaryBase(theta: 1e4, rotaryDimension: 2 * factors.count, originalContext: 4096)
            let method = try LongRoPETables(tables: [RotaryTable(window: 1 << 21, factors: factors)])
            #expect(try method.profile(total: 1 << 20, of: base).factors == factors, "\(name)")
        }
    }

    @Test("What is written reads back the same, tables for several lengths included")
    func roundTrip() throws {
        let written = FactorFile(
            originalContext: 8192,
            tables: [
                RotaryTable(window: 8192, factors: [1, 1], attentionFactor: 1),
                RotaryTable(window: 16384, factors: [1, 2.01], startTokens: 4, attentionFactor: 1.03),
                RotaryTable(window: 65536, factors: [1.02, 9.37], attentionFactor: 1.11),
            ])
        let data = try written.json()
        #expect(try FactorFile(json: data, name: "x") == written)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let scaling = try #require(object["rope_scaling"] as? [String: Any])
        #expect(scaling["rope_type"] as? String == "longrope" && scaling["factor"] as? Double == 8)
        #expect(
            scaling["long_factor"] as? [Double] == [1.02, 9.37]
                && scaling["short_factor"] as? [Double] == [1, 1])
        #expect(scaling["attention_factor"] as? Double == 1.11)
        #expect(scaling["original_max_position_embeddings"] as? Int == 8192)
    }

    @Test(
        "Wrong files are told with their name and what is missing",
        arguments: [
            ("", "not JSON"), ("[1]", "no file of rotary factors"), ("{}", "no rope_scaling"),
            (#"{"long_factor":[1]}"#, "original_max_position_embeddings"),
            (#"{"long_factor":[1],"original_max_position_embeddings":0}"#, "from 1 to"),
            (#"{"long_factor":[1],"original_max_position_embeddings":8}"#, "factor, from 1"),
            (#"{"long_factor":[1],"original_max_position_embeddings":8,"factor":0.5}"#, "factor, from 1"),
            (#"{"long_factor":[1,-2],"original_max_position_embeddings":8,"factor":2}"#, "factor 1 is -2"),
            (
                #"{"long_factor":["a"],"original_max_position_embeddings":8,"factor":2}"#,
                "no file of rotary factors"
            ),
            (
                #"{"rope_type":"llama3","long_factor":[1],"original_max_position_embeddings":8,"factor":2}"#,
                "llama3"
            ),
            (#"{"lariat":{"tables":[]},"original_max_position_embeddings":8}"#, "0 tables"),
            (
                #"{"lariat":{"tables":[{"window":0,"factors":[1]}]},"original_max_position_embeddings":8}"#,
                "0 positions"
            ),
        ])
    func wrong(text: String, words: String) {
        let error = #expect(throws: LongRoPEError.self) { try file(text) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        #expect(error?.description.hasPrefix("factors.json: ") == true)
    }

    @Test("A vector of the wrong length for the model is refused with both numbers")
    func wrongLength() throws {
        let method = try file(#"{"long_factor":[1,2,3],"original_max_position_embeddings":8,"factor":2}"#)
            .method()
        let base = try RotaryBase(theta: 1e4, rotaryDimension: 8, originalContext: 8)
        let error = #expect(throws: LongRoPEError.self) { try method.profile(total: 12, of: base) }
        #expect(error?.description == "rotary profile: there are 3 factors; rotary dimension 8 needs 4")
    }
}
