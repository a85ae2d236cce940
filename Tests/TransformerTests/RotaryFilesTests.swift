// Rotary scaling as files ask for it. The numbers are those of transformers, in float64, for the same weights.
import GGUF
import LongRoPE
import TestSupport
import Testing
import Transformer

@Suite struct RotaryFilesTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let expected: Double
        let keys: @Sendable (inout GGUFEdit) -> Void
    }

    private static func yarn(_ edit: inout GGUFEdit) {
        edit.set("llama.rope.scaling.type", .string("yarn"))
        edit.set("llama.rope.scaling.factor", .float32(4))
        edit.set("llama.rope.scaling.original_context_length", .uint32(64))
    }

    static let cases = [
        Case(testDescription: "none", expected: 7.62018) { _ in },
        Case(testDescription: "linear", expected: 7.41317) {
            $0.set("llama.rope.scaling.type", .string("linear"))
            $0.set("llama.rope.scaling.factor", .float32(4))
        },
        Case(testDescription: "the old key", expected: 7.41317) {
            $0.set("llama.rope.scale_linear", .float32(4))
        },
        Case(testDescription: "the new key wins over the old one", expected: 7.62018) {
            $0.set("llama.rope.scale_linear", .float32(4))
            $0.set("llama.rope.scaling.factor", .float32(1))
        },
        Case(testDescription: "yarn", expected: 7.77784, keys: yarn),
        Case(testDescription: "yarn with betas", expected: 7.82694) {
            yarn(&$0)
            $0.set("llama.rope.scaling.yarn_beta_fast", .float32(8))
            $0.set("llama.rope.scaling.yarn_beta_slow", .float32(2))
        },
        Case(testDescription: "yarn with an attention factor", expected: 7.79284) {
            yarn(&$0)
            $0.set("llama.rope.scaling.yarn_attn_factor", .float32(1))
        },
        Case(testDescription: "yarn with the betas that are usual", expected: 7.77784) {
            yarn(&$0)
            $0.set("llama.rope.scaling.yarn_beta_fast", .float32(32))
            $0.set("llama.rope.scaling.yarn_beta_slow", .float32(1))
            $0.set("llama.rope.scaling.yarn_ext_factor", .float32(1))
        },
    ]

    @Test(arguments: cases)
    func meanLogLikelihood(_ sample: Case) async throws {
        try await withCopy(of: "rope-none.gguf", sample.keys) { path in
            let nll = try await meanNLL(path)
            #expect(abs(nll - sample.expected) < 1e-5)
        }
    }

    /// Greedy answers of transformers' Phi3ForCausalLM with an original context of 64: the last token of an answer is
    /// never computed, so that 64 positions are used and the short factors hold.
    @Test(arguments: [
        (60, 5, [125, 238, 282, 141, 217]), (64, 1, [247]), (63, 2, [266, 230]),
    ])
    func theLastTokenNeedsNoPosition(prompt: Int, count: Int, expected: [Int32]) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let reference: TinyPhi3Tests.Reference = try Golden.json("tiny-phi3-longrope.json")
        let tokens = try #require(reference.cases.first { $0.name == "long" }).tokens
        #expect(
            try model.scaling.profile(promptTokens: prompt, reservedTokens: count).name == "short")
        #expect(
            try model.scaling.profile(promptTokens: prompt, reservedTokens: count + 1).name == "long")
        for workers in [1, 3] {
            let ring = ShardedModel(model: model, workers: workers, widest: 16)
            let answer = try await ring.greedy(Array(tokens.prefix(prompt)), count: count)
            #expect(answer.tokens == expected)
        }
    }

    @Test func factorsThatContradictEachOther() async throws {
        let factors = [Float](repeating: 2, count: 8)
        for keys: (inout GGUFEdit) -> Void in [
            {
                $0.setTensor("rope_freqs.weight", dimensions: [8], factors)
                $0.setTensor("rope_factors_long.weight", dimensions: [8], factors)
            },
            {
                Self.yarn(&$0)
                $0.setTensor("rope_freqs.weight", dimensions: [8], factors)
            },
            {
                Self.yarn(&$0)
                $0.setTensor("rope_factors_short.weight", dimensions: [8], factors)
            },
        ] {
            try await withCopy(of: "rope-none.gguf", keys) { path in
                let scaling = try Model(path: path).scaling
                let error = #expect(throws: LongRoPEError.self) {
                    try scaling.profile(promptTokens: 10, reservedTokens: 1)
                }
                #expect(error?.code == .unsupportedScaling)
            }
        }
    }
}
