// Measuring a machine: figures come out, and it can be stopped. How large they are is the machine's business.
import Kernels
import TestSupport
import Testing
import Transformer

@Suite struct ComputeRatesTests {
    private func measure(isCancelled: @escaping @Sendable () -> Bool) async throws -> ComputeRates {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        return try await offThePool {
            let compute = try Compute(threads: 2, precision: .f32)
            return try ComputeRates.measure(
                engine: LayerEngine(model: model, compute: compute), isCancelled: isCancelled)
        }
    }

    @Test func ratesArePositive() async throws {
        let rates = try await measure { false }
        for rate in [rates.dense, rates.attention, rates.unpackSeconds] {
            #expect(rate.isFinite && rate > 0)
        }
        #expect(rates.pieceKeys.isFinite && rates.pieceKeys >= 0)
    }

    @Test func aMeasurementCanBeStopped() async {
        await #expect(throws: ModelError.self) { try await measure { true } }
    }

    @Test func workIsCounted() throws {
        let work = ModelWork(
            layers: 3, hidden: 10, heads: 4, kvHeads: 2, headDimension: 5, feedForward: 7)
        // Queries 10 x 20, keys and values 10 x 20, output 20 x 10, feed-forward 3 x 10 x 7.
        #expect(work.denseOperations == 2 * (200 + 200 + 200 + 210))
        #expect(work.attentionOperations == 80)
    }
}
