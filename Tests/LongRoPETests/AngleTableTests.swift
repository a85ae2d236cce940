// Exact frequencies and angles, against values computed with 60 decimal digits.
import Foundation
import LongRoPE
import TestSupport
import Testing

/// Tests/Golden/rope-angles.json.
struct AngleGoldens: Decodable {
    struct Case: Decodable {
        let name: String
        let theta: Double
        let rotary_dim: Int
        let factors: [Double]
        let start_tokens: Int
        let attention_factor: Double
        let rows: [[Double]]

        func profile() throws -> RotaryProfile {
            try RotaryProfile(
                name: "golden", theta: theta, rotaryDimension: rotary_dim, factors: factors,
                startTokens: start_tokens, attentionFactor: attention_factor, window: Int(Int32.max))
        }
    }
    let cases: [Case]

    static func load() throws -> [Case] { try Golden.json("rope-angles.json", as: AngleGoldens.self).cases }
}

@Suite("Exact angles")
struct AngleTableTests {
    @Test(
        "Frequencies are exact to the last unit",
        arguments: [
            (10000.0, 96, 1, 1.0, 0x21a1_4727_5d5b_35de as UInt64),
            (100000.0, 64, 1, 1.0, 0x1c6e_a314_0b9f_22aa),
            (500000.0, 128, 1, 1.0, 0x2130_c415_f351_4ea0),
            (10000.0, 96, 47, 1.0, 0x0001_437f_d2e3_804b),
            (100000.0, 64, 31, 1.0, 0x0000_2643_938a_0568),
            (500000.0, 128, 63, 1.0, 0x0000_068e_3fbd_e7a8),
            (10000.0, 96, 47, 64.76000213623047, 0x0000_04fe_cfb2_a2d1),
            (10000.0, 96, 0, 1.0700000524520874, 0x2614_0444_9fbb_0d1b),
            (100000.0, 64, 13, 8.0, 0x000c_21fd_6ac0_a97e),
            (1000000.0, 128, 40, 0.9977997200264581, 0x0001_dbe1_0e02_80f3),
            (10000.0, 2, 0, 0.01, 0xea5d_d5c5_a4a5_f93a),
            (10000.0, 4096, 2047, 1.0, 0x0001_0c38_a2a4_c22f),
            (1e18, 128, 63, 1e12, 0),
            (1.5, 4, 1, 1e-6, 0x7784_f113_3f86_37d8),
        ])
    func frequencies(theta: Double, dimension: Int, pair: Int, factor: Double, expected: UInt64) throws {
        let profile = try RotaryProfile(
            name: "test", theta: theta, rotaryDimension: dimension,
            factors: Array(repeating: factor, count: dimension / 2), window: 1)
        let table = AngleTable(profile)
        #expect(table.frequencies[pair] == expected)
        #expect(table.unscaledFrequencies[0] == 0x28be_60db_9391_054a)
    }

    @Test("Goldens to 2e-7 times the attention factor", arguments: 0..<4)
    func goldens(index: Int) throws {
        let cases = try AngleGoldens.load()
        try #require(cases.count == 4)
        let golden = cases[index]
        let table = AngleTable(try golden.profile())
        #expect(golden.rows.count >= 49)
        var worst = 0.0
        for row in golden.rows {
            let (cosine, sine) = table.rotation(position: Int(row[0]), pair: Int(row[1]))
            worst = max(worst, abs(Double(cosine) - row[2]), abs(Double(sine) - row[3]))
        }
        #expect(worst <= 2e-7 * golden.attention_factor, "worst difference \(worst)")
    }

    @Test(
        "2M, 10M and 2^40 positions",
        arguments: [
            (2_097_151, 0, 0.947219454964, -0.320585876385), (2_097_151, 9, 0.560015778208, -0.828481941963),
            (2_097_151, 31, 0.205825542532, -0.978588701162), (2_048_000, 0, -0.445304036827, 0.89537942504),
            (2_048_000, 9, 0.684404010152, -0.729102976875),
            (2_048_000, 31, -0.476819443153, -0.879001262019),
            (10_000_000, 0, -0.907270386182, 0.420547793191), (10_000_000, 9, -0.87560756571, 0.483023178399),
            (10_000_000, 31, 0.351142744024, -0.936321938929),
            (1_099_511_640_121, 0, -0.505030896116, 0.863101265188),
            (1_099_511_640_121, 9, -0.999784011659, -0.0207829264121),
            (1_099_511_640_121, 31, -0.911918700586, -0.410370909693),
        ])
    func farPositions(position: Int, pair: Int, cosine: Double, sine: Double) throws {
        let profile = try RotaryProfile(
            name: "none", theta: 1e5, rotaryDimension: 64, factors: Array(repeating: 1, count: 32), window: 1)
        let (c, s) = AngleTable(profile).rotation(position: position, pair: pair)
        #expect(abs(Double(c) - cosine) <= 2e-7)
        #expect(abs(Double(s) - sine) <= 2e-7)
    }

    @Test("Rows below n-hat keep the base wavelength and have no attention factor")
    func startTokens() throws {
        let plain = try RotaryProfile(
            name: "none", theta: 1e4, rotaryDimension: 8, factors: [1, 1, 1, 1], window: 100)
        let stretched = try RotaryProfile(
            name: "long", theta: 1e4, rotaryDimension: 8, factors: [1, 2, 3, 4], startTokens: 5,
            attentionFactor: 1.25, window: 100)
        for position in 0..<10 {
            for pair in 0..<4 {
                let (cosine, sine) = AngleTable(stretched).rotation(position: position, pair: pair)
                let base = AngleTable(plain).rotation(position: position, pair: pair)
                if position < 5 {
                    #expect(cosine == base.cosine && sine == base.sine)
                } else {
                    let angle = Double(position) / (Double(pair + 1) * pow(1e4, Double(pair) / 4))
                    #expect(abs(Double(cosine) - 1.25 * cos(angle)) < 1e-7 * 1.25)
                    #expect(abs(Double(sine) - 1.25 * sin(angle)) < 1e-7 * 1.25)
                }
            }
        }
    }

    @Test("A table filled in parts equals one filled at once, and single rotations")
    func parts() throws {
        let golden = try #require(try AngleGoldens.load().first { $0.start_tokens == 64 })
        let table = AngleTable(try golden.profile())
        let pairs = table.pairs
        let rows = 50..<90
        var cosine = [Float](repeating: .nan, count: rows.count * pairs)
        var sine = cosine
        var c = cosine.mutableSpan
        var s = sine.mutableSpan
        table.fill(positions: rows, cosine: &c, sine: &s)
        for part in [50..<50, 50..<63, 63..<66, 66..<90] {
            var partCosine = [Float](repeating: .nan, count: part.count * pairs)
            var partSine = partCosine
            var c = partCosine.mutableSpan
            var s = partSine.mutableSpan
            table.fill(positions: part, cosine: &c, sine: &s)
            let place = (part.lowerBound - 50) * pairs..<(part.upperBound - 50) * pairs
            #expect(Array(cosine[place]) == partCosine)
            #expect(Array(sine[place]) == partSine)
        }
        for position in rows {
            for pair in 0..<pairs {
                let single = table.rotation(position: position, pair: pair)
                #expect(cosine[(position - 50) * pairs + pair] == single.cosine)
                #expect(sine[(position - 50) * pairs + pair] == single.sine)
            }
        }
    }
}
