// From a model file's words to a sequence's profile: short or long, attention factor, refusals.
import Foundation
import LongRoPE
import Testing

@Suite("Rotary scaling")
struct RotaryScalingTests {
    static let phi3 = RotaryScaling(
        theta: 1e4, rotaryDimension: 4, originalContext: 4096, maximumContext: 131072,
        shortFactors: [1, 1.1],
        longFactors: [1.07, 64.76])

    @Test(
        "Exactly the original context is short, one more is long; the last token of an answer needs no position",
        arguments: [
            (4096, 0, "short", 4096), (4000, 97, "short", 4096), (0, 0, "short", 4096),
            (4096, 1, "short", 4096), (1, 4096, "short", 4096),
            (4096, 2, "long", 131072), (4000, 98, "long", 131072),
            (4097, 0, "long", 131072), (1, 4097, "long", 131072), (1_000_000, 0, "long", 131072),
        ])
    func choice(prompt: Int, reserved: Int, name: String, window: Int) throws {
        let profile = try Self.phi3.profile(promptTokens: prompt, reservedTokens: reserved)
        #expect(profile.name == name && profile.window == window && profile.startTokens == 0)
        #expect(profile.factors == (name == "short" ? [1, 1.1] : [1.07, 64.76]))
        #expect(abs(profile.attentionFactor - 1.1902380714238083) < 1e-15)
    }

    @Test(
        "Attention factors of published models",
        arguments: [
            (4096, 131072, 1.1902381), (8192, 131072, 1.1435437), (4096, 262144, 1.2247449),
            (4096, 2_097_152, 1.3228757), (4096, 8192, 1.0408330), (4096, 32768, 1.1180340),
            (32768, 32768, 1),
            (4096, 2048, 1),
        ])
    func attentionFactors(original: Int, maximum: Int, expected: Double) {
        let value = RotaryScaling.attentionFactor(originalContext: original, maximumContext: maximum)
        #expect(abs(value - expected) < 1e-7)
    }

    @Test("A stored attention factor wins")
    func storedAttentionFactor() throws {
        var scaling = Self.phi3
        scaling.attentionFactor = 1.5
        #expect(try scaling.profile(promptTokens: 1, reservedTokens: 1).attentionFactor == 1.5)
        #expect(try scaling.profile(promptTokens: 5000, reservedTokens: 1).attentionFactor == 1.5)
    }

    @Test("Golden values of Phi-3-mini's short and long factors")
    func goldens() throws {
        let current = try #require(
            try PublishedFactors.load().models["phi3-mini-128k (June/July 2024 update, type longrope)"])
        let scaling = RotaryScaling(
            theta: 1e4, rotaryDimension: 96, originalContext: 4096, maximumContext: 131072,
            shortFactors: current.short, longFactors: current.long)
        let short = AngleTable(try scaling.profile(promptTokens: 4096, reservedTokens: 0))
        let long = AngleTable(try scaling.profile(promptTokens: 4097, reservedTokens: 0))
        for (table, pair, position, cosine, sine) in [
            (short, 0, 1, 0.7313575, 0.9390329), (short, 0, 4095, -1.1880947, 0.0713973),
            (short, 10, 4095, 0.5808411, -1.0388890), (short, 47, 4095, 1.1745265, 0.1927544),
            (long, 0, 1, 0.7071880, 0.9573671), (long, 10, 4096, 0.1322213, -1.1828712),
            (long, 47, 131071, 1.1546346, 0.2889389),
        ] {
            let (c, s) = table.rotation(position: position, pair: pair)
            #expect(abs(Double(c) - cosine) < 2.5e-7 && abs(Double(s) - sine) < 2.5e-7, "\(pair) \(position)")
        }
    }

    @Test("A factor below 1: MiniCPM4, checked against another implementation")
    func miniCPM() throws {
        let profile = try RotaryProfile(
            name: "long", theta: 1e4, rotaryDimension: 2, factors: [0.9977997200264581], window: 32768)
        let (cosine, sine) = AngleTable(profile).rotation(position: 5, pair: 0)
        #expect(cosine == Float(0.2942175021533906) && sine == Float(-0.9557384900832547))
    }

    @Test("A file that asks for YaRN gets it, times its own attention factor")
    func yarn() throws {
        var scaling = RotaryScaling(
            theta: 1e5, rotaryDimension: 64, originalContext: 8192, maximumContext: 65536, type: "yarn",
            attentionFactor: 0.5, linearFactor: 8)
        let profile = try scaling.profile(promptTokens: 10, reservedTokens: 0)
        #expect(profile.name == "yarn:8" && profile.window == 65536)
        #expect(profile.factors[0] == 1 && profile.factors[31] == 8)
        #expect(abs(profile.attentionFactor - 0.5 * 1.2079441541679836) < 1e-12)
        scaling.yarnAttentionFactor = 2
        #expect(try scaling.profile(promptTokens: 10, reservedTokens: 0).attentionFactor == 1)
        scaling.yarnBetaSlow = 40
        #expect(throws: LongRoPEError.self) { try scaling.profile(promptTokens: 10, reservedTokens: 0) }
        scaling.yarnBetaSlow = nil
        scaling.linearFactor = nil
        #expect(try scaling.profile(promptTokens: 10, reservedTokens: 0).factors[31] == 1)
        scaling.linearFactor = 0.5
        #expect(throws: LongRoPEError.self) { try scaling.profile(promptTokens: 10, reservedTokens: 0) }
    }

    @Test("A method given with the job wins over the file; the file's own tables over short and long")
    func methodAndTables() throws {
        var scaling = Self.phi3
        let asked = try scaling.profile(
            promptTokens: 8192, reservedTokens: 0, method: NTKInterpolation(.asNeeded))
        #expect(asked.factors == [1, 2] && asked.name == "dynamic-ntk")
        scaling.tables = try LongRoPETables(tables: [
            RotaryTable(window: 4096, factors: [1, 1], attentionFactor: 1),
            RotaryTable(window: 8192, factors: [1, 2.01]),
        ])
        #expect(try scaling.profile(promptTokens: 4000, reservedTokens: 97).name == "to 4096")
        #expect(try scaling.profile(promptTokens: 4000, reservedTokens: 98).factors == [1, 2.01])
    }

    @Test("Models without LongRoPE")
    func others() throws {
        let plain = RotaryScaling(
            theta: 1e5, rotaryDimension: 64, originalContext: 8192, maximumContext: 8192)
        let none = try plain.profile(promptTokens: 100_000, reservedTokens: 10)
        #expect(none.name == "none" && none.window == 8192 && none.attentionFactor == 1)
        #expect(none.factors == Array(repeating: 1, count: 32))

        var linear = plain
        linear.linearFactor = 8
        #expect(
            try linear.profile(promptTokens: 1, reservedTokens: 1).factors == Array(repeating: 8, count: 32))
        #expect(try linear.profile(promptTokens: 1, reservedTokens: 1).name == "linear")
        linear.type = "linear"
        #expect(try linear.profile(promptTokens: 1, reservedTokens: 1).name == "linear")
        linear.type = "none"
        #expect(try linear.profile(promptTokens: 1, reservedTokens: 1).name == "none")
        linear.linearFactor = 0
        linear.type = nil
        #expect(try linear.profile(promptTokens: 1, reservedTokens: 1).name == "none")

        var llama3 = Self.phi3
        llama3.ropeFreqs = [1, 8]
        // Not beside LongRoPE's factors.
        #expect(throws: LongRoPEError.self) { try llama3.profile(promptTokens: 1, reservedTokens: 1) }
        llama3.shortFactors = nil
        llama3.longFactors = nil
        for prompt in [1, 4096, 100_000] {
            let profile = try llama3.profile(promptTokens: prompt, reservedTokens: 1)
            #expect(
                profile.factors == [1, 8] && profile.attentionFactor == 1 && profile.name == "frequencies")
        }
    }

    @Test("Refusals say what is wrong")
    func refusals() {
        func refuses(
            _ code: LongRoPEError.Code, _ expected: String, prompt: Int = 1, reserved: Int = 1,
            _ change: (inout RotaryScaling) -> Void
        ) {
            var scaling = Self.phi3
            change(&scaling)
            #expect("\(expected)") {
                try scaling.profile(promptTokens: prompt, reservedTokens: reserved)
            } throws: { error in
                let error = error as? LongRoPEError
                return error?.code == code && error?.description.contains(expected) == true
            }
        }
        refuses(.unsupportedScaling, "\"dynamic\"") { $0.type = "dynamic" }
        refuses(.unsupportedScaling, "rope.scaling.factor of 4.0") { $0.linearFactor = 4 }
        refuses(.invalidProfile, "rope.scaling.factor is -4.0") { $0.linearFactor = -4 }
        refuses(
            .missingFactors, "5,000 positions, of prompt and reserved output, need the long", prompt: 5000
        ) {
            $0.longFactors = nil
        }
        refuses(.missingFactors, "rope_factors_short.weight") { $0.shortFactors = nil }
        refuses(.missingFactors, "rope_factors_short.weight") {
            $0.type = "longrope"
            $0.shortFactors = nil
            $0.longFactors = nil
        }
        refuses(.invalidProfile, "there are 3 factors; rotary dimension 4 needs 2") {
            $0.shortFactors = [1, 1, 1]
        }
        refuses(.invalidProfile, "original context is 0 tokens") { $0.originalContext = 0 }
        refuses(.invalidProfile, "the rotary dimension is -8") {
            $0.rotaryDimension = -8
            $0.shortFactors = nil
            $0.longFactors = nil
        }
        refuses(.invalidLength, "neither may be negative", prompt: -1) { _ in }
        refuses(.invalidLength, "more than can be counted", prompt: .max, reserved: .max) { _ in }
    }
}
