// Profiles: validation, identity, published factor vectors.
import Foundation
import LongRoPE
import TestSupport
import Testing

/// Tests/Golden/published-factors.json.
struct PublishedFactors: Decodable {
    struct Model: Decodable {
        let rotary_dim: Int
        let theta: Double
        let orig: Int
        let max: Int?
        let long: [Double]
        let short: [Double]?
    }
    struct Research: Decodable { let values: [String: [Double]] }
    let models: [String: Model]
    let research_csv: Research

    static func load() throws -> PublishedFactors {
        try Golden.json("published-factors.json", as: PublishedFactors.self)
    }
}

@Suite("Rotary profiles")
struct RotaryProfileTests {
    static func make(
        name: String = "long", theta: Double = 1e4, dimension: Int = 4, factors: [Double] = [1, 2.5],
        start: Int = 16, attention: Double = 1.25, window: Int = 131072
    ) throws(LongRoPEError) -> RotaryProfile {
        try RotaryProfile(
            name: name, theta: theta, rotaryDimension: dimension, factors: factors, startTokens: start,
            attentionFactor: attention, window: window)
    }

    @Test(
        "Values out of range are named with their figures",
        arguments: [
            (
                "theta is 1.0; it must be above 1",
                { @Sendable () throws(LongRoPEError) in try make(theta: 1) }
            ),
            ("theta is inf", { @Sendable () throws(LongRoPEError) in try make(theta: .infinity) }),
            ("theta is nan", { @Sendable () throws(LongRoPEError) in try make(theta: .nan) }),
            (
                "the rotary dimension is 5; it must be even",
                { @Sendable () throws(LongRoPEError) in try make(dimension: 5) }
            ),
            ("the rotary dimension is -2", { @Sendable () throws(LongRoPEError) in try make(dimension: -2) }),
            (
                "the rotary dimension is 1000000",
                { @Sendable () throws(LongRoPEError) in try make(dimension: 1_000_000) }
            ),
            (
                "there are 2 factors; rotary dimension 6 needs 3",
                { @Sendable () throws(LongRoPEError) in try make(dimension: 6) }
            ),
            ("factor 1 is 0.0", { @Sendable () throws(LongRoPEError) in try make(factors: [1, 0]) }),
            ("factor 0 is -3.0", { @Sendable () throws(LongRoPEError) in try make(factors: [-3, 1]) }),
            ("factor 1 is nan", { @Sendable () throws(LongRoPEError) in try make(factors: [1, .nan]) }),
            ("factor 1 is inf", { @Sendable () throws(LongRoPEError) in try make(factors: [1, .infinity]) }),
            (
                "factor 0 is 5e-324",
                { @Sendable () throws(LongRoPEError) in try make(factors: [.leastNonzeroMagnitude, 1]) }
            ),
            ("the start tokens are -1", { @Sendable () throws(LongRoPEError) in try make(start: -1) }),
            ("the attention factor is 0.0", { @Sendable () throws(LongRoPEError) in try make(attention: 0) }),
            ("the window is 0 positions", { @Sendable () throws(LongRoPEError) in try make(window: 0) }),
            ("the name has 0 bytes", { @Sendable () throws(LongRoPEError) in try make(name: "") }),
        ] as [(String, @Sendable () throws(LongRoPEError) -> RotaryProfile)])
    func validation(
        expected: String, make: @Sendable () throws(LongRoPEError) -> RotaryProfile
    ) {
        #expect { try make() } throws: { error in
            let error = error as? LongRoPEError
            return error?.code == .invalidProfile && error?.description.contains(expected) == true
        }
    }

    @Test("The identity is the documented hash and depends on every value")
    func identity() throws {
        // Computed with a few lines of Python from the documentation of `identity`.
        #expect(try Self.make().identity == "a173b013932450d7ef445ff121c48026")
        let all = [
            try Self.make(), try Self.make(name: "short"), try Self.make(theta: 1e4.nextUp),
            try Self.make(dimension: 6, factors: [1, 2.5, 1]), try Self.make(factors: [1, 2.5.nextUp]),
            try Self.make(factors: [2.5, 1]), try Self.make(start: 17), try Self.make(attention: 1.25.nextUp),
            try Self.make(window: 131073),
        ]
        #expect(Set(all.map(\.identity)).count == all.count)
        #expect(all.allSatisfy { $0.identity.count == 32 })
    }

    @Test("A profile survives JSON bit by bit, and a bad one is refused")
    func coding() throws {
        let profile = try Self.make(factors: [0.1 + 0.2, 1 / 3])
        let data = try JSONEncoder().encode(profile)
        let back = try JSONDecoder().decode(RotaryProfile.self, from: data)
        #expect(back == profile && back.identity == profile.identity)
        let text = String(decoding: data, as: UTF8.self).replacing(
            "\"startTokens\":16", with: "\"startTokens\":-16")
        #expect(throws: LongRoPEError.self) {
            try JSONDecoder().decode(RotaryProfile.self, from: Data(text.utf8))
        }
    }

    @Test("Every published vector makes a valid profile")
    func published() throws {
        let all = try PublishedFactors.load()
        var made = 0
        for (name, model) in all.models {
            let scaling = RotaryScaling(
                theta: model.theta, rotaryDimension: model.rotary_dim, originalContext: model.orig,
                maximumContext: model.max ?? model.orig, shortFactors: model.short, longFactors: model.long)
            let long = try scaling.profile(promptTokens: model.orig, reservedTokens: 2)
            #expect(long.factors == model.long && long.name == "long", "\(name)")
            made += 1
            if let factors = model.short {
                let short = try scaling.profile(promptTokens: model.orig, reservedTokens: 0)
                #expect(short.factors == factors && short.name == "short", "\(name)")
                made += 1
            }
        }
        for (name, factors) in all.research_csv.values {
            let profile = try RotaryProfile(
                name: name, theta: 1e4, rotaryDimension: 128, factors: factors, window: 2_097_152)
            #expect(AngleTable(profile).frequencies.count == 64)
            made += 1
        }
        #expect(made == 15 + 30)
    }
}
