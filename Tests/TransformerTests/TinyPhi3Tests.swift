// The phi3 family with LongRoPE against transformers in float64: every logit.
import Kernels
import TestSupport
import Testing
import Transformer

@Suite struct TinyPhi3Tests {
    struct Reference: Decodable {
        struct Case: Decodable {
            let name: String
            let tokens: [Int32]
            let nll: [Float]
        }
        let cases: [Case]
    }

    static func logitsFile(_ name: String) -> String { "tiny-phi3-longrope-\(name)-logits.npy" }

    @Test(arguments: ["short", "long"], [1, 2, 3, 4])
    func logitsEqualTheReference(name: String, workers: Int) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let reference: Reference = try Golden.json("tiny-phi3-longrope.json")
        let sample = try #require(reference.cases.first { $0.name == name })
        let golden = try Golden.npy(Self.logitsFile(name))
        for isa in ISA.available {
            let ring = ShardedModel(model: model, workers: workers, isa: isa, widest: 16)
            let logits = try await ring.logits(sample.tokens)
            #expect(logits.count == golden.rows)
            let worst = zip(logits.joined(), golden.values).map { abs($0 - $1) }.max() ?? .infinity
            #expect(logits.joined().count == golden.values.count)
            #expect(worst <= 2e-4, "\(isa), \(workers) workers")
        }
    }

    @Test(arguments: ["short", "long"])
    func scoresEqualTheReference(name: String) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let reference: Reference = try Golden.json("tiny-phi3-longrope.json")
        let sample = try #require(reference.cases.first { $0.name == name })
        let nll = try await ShardedModel(model: model, workers: 3).negativeLogLikelihood(
            sample.tokens)
        #expect(nll.count == sample.nll.count)
        #expect((zip(nll, sample.nll).map { abs($0 - $1) }.max() ?? .infinity) <= 2e-4)
    }

    /// Decode must go on where prefill ends: the same logits, whoever holds the keys and values.
    @Test(arguments: [1, 2, 3, 4, 9])
    func decodeContinuesPrefill(workers: Int) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let reference: Reference = try Golden.json("tiny-phi3-longrope.json")
        let tokens = try #require(reference.cases.first { $0.name == "long" }).tokens
        let prompt = Array(tokens.prefix(150))
        let ring = ShardedModel(model: model, workers: workers, widest: 16)
        let decoded = try await ring.run(prompt, maxTokens: 60) { shard -> [[Float]] in
            let assignment = shard.assignment
            try shard.prefill()
            guard assignment.isLeader else {
                if assignment.followers.contains(assignment.rank) { try shard.stationary.follow() }
                return []
            }
            var rows = [try shard.pass.lastLogits()]
            for index in 0..<60 {
                rows.append(try shard.stationary.decode(token: tokens[150 + index], index: index))
            }
            try shard.stationary.end()
            return rows
        }
        let rows = try #require(decoded.first { !$0.isEmpty })
        let golden = try Golden.npy(Self.logitsFile("long"))
        for (step, row) in rows.enumerated() {
            let expected = golden.values[(149 + step) * golden.columns..<(150 + step) * golden.columns]
            #expect((zip(row, expected).map { abs($0 - $1) }.max() ?? .infinity) <= 2e-4, "step \(step)")
        }
    }
}
