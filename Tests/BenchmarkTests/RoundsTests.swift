// Medians and ratios, and what a model costs.
import Benchmark
import Kernels
import TestSupport
import Testing

@Suite struct RoundsTests {
    @Test func medians() {
        #expect(Repeated().median == nil)
        #expect(Repeated([3]).median == 3)
        #expect(Repeated([9, 1, 5]).median == 5)
        #expect(Repeated([4, 1, 3, 2]).median == 2.5)
    }

    /// The ratio is taken within each round: a machine that gets slower changes both.
    @Test func ratioWithinRounds() {
        var paired = Paired()
        #expect(paired.ratio == nil)
        paired.add(50, 100)
        paired.add(5, 10)
        paired.add(90, 100)
        #expect(paired.ratio == 0.5)
        var unmeasured = Paired()
        unmeasured.add(1, 0)
        #expect(unmeasured.ratio == nil)
    }

    @Test func costOfSmolLM2() {
        let cost = ModelCost(
            layers: 30, hidden: 576, heads: 9, kvHeads: 3, headDimension: 64, feedForward: 1536,
            vocabulary: 49152, weightBytes: 92 << 20, fileBytes: 93 << 20)
        #expect(cost.layerWeights == 106_168_320)
        #expect(cost.queryElements == 17280)
        #expect(cost.prefillOperations(tokens: 1000) == 2 * 106_168_320e3 + 34560e6)
        #expect(cost.kvBytesPerToken(.bf16) == 23040)
        #expect(cost.kvBytesPerToken(.f32) == 46080)
        #expect(cost.decodeBytes(tokens: 10, .bf16) == Double(92 << 20) + 230_400)
    }

    @Test func costOfAFile() throws {
        let cost = try ModelCost(path: Golden.path("tiny-phi3-longrope.gguf"))
        #expect(cost.fileBytes > cost.weightBytes)
        #expect(cost.weightBytes > 0)
        #expect(cost.vocabulary > 0)
        #expect(throws: BenchmarkError.self) { try ModelCost(path: "/no/such/model.gguf") }
    }
}
