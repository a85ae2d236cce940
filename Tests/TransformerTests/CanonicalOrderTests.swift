// The same bits, however a prompt is laid out: logits, keys and values over random layouts.
import Kernels
import RingAttention
import Sampling
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct CanonicalOrderTests {
    /// A way to compute a prompt.
    struct Way: Sendable, CustomStringConvertible {
        var speeds: [Double]
        /// Tokens of memory besides an even share, by rank; nil: no limit.
        var spare: [Int]?
        var widest: Int
        var threads: Int

        var description: String {
            "speeds \(speeds), spare \(spare.map { "\($0)" } ?? "any"), stripes up to \(widest), \(threads) threads"
        }

        init(_ number: Int, _ noise: inout SplitMix64) {
            let ranks = 1 + number % 9
            speeds = (0..<ranks).map { _ in Double(1 + noise.next() % 5) }
            if number % 2 == 1, ranks > 1 { spare = (0..<ranks).map { _ in Int(noise.next() % 60) } }
            widest = 1 << (noise.next() % 9)
            threads = 1 + Int(noise.next() % 4)
        }
    }

    private static let prompt = (0..<333).map { Int32(($0 * 7919 + $0 * $0) % 96) }

    private func bits(_ way: Way, _ model: Model, _ isa: ISA, _ precision: Precision) async throws
        -> [ShardedModel.Row]
    {
        let tokens = Self.prompt.map { $0 % Int32(model.shape.vocabulary) }
        var ring = ShardedModel(model: model, workers: way.speeds.count, isa: isa, precision: precision)
        ring.speeds = way.speeds
        ring.capacities = way.spare.map { $0.map { tokens.count / way.speeds.count + 1 + $0 } }
        ring.widest = way.widest
        ring.threads = way.threads
        return try await ring.rows(tokens)
    }

    @Test(arguments: ISA.available, [Precision.f32, .bf16])
    func everyLayoutGivesTheSameBits(isa: ISA, precision: Precision) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        var noise = SplitMix64(seed: 42)
        let alone = try await bits(Way(0, &noise), model, isa, precision)
        #expect(alone.count == Self.prompt.count && alone.allSatisfy { $0.logits.allSatisfy(\.isFinite) })
        for number in 1...(isa == .scalar ? 9 : 18) {
            let way = Way(number, &noise)
            let rows = try await bits(way, model, isa, precision)
            let first = rows.indices.first { rows[$0] != alone[$0] }
            #expect(first == nil, "\(way): other bits from position \(first ?? 0) on")
        }
    }
}
