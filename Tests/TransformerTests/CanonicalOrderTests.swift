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

    /// A prompt of 700 tokens, so that it has several tiles and slabs.
    private static let longPrompt = (0..<700).map { Int32(($0 * 104_729 + $0 * $0) % 96) }

    /// A way, a cut and slabs: the rest of a prompt, whose beginning is in memory, gets the bits of the whole.
    @Test(arguments: ISA.available.filter { $0 != .scalar }, [Precision.f32, .bf16])
    func aContinuedPromptGetsTheSameBits(isa: ISA, precision: Precision) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let tokens = Self.longPrompt.map { $0 % Int32(model.shape.vocabulary) }
        // The beginning of another text, which shares 384 tokens with this one; both use the long factors.
        let other = tokens.prefix(400) + tokens.reversed().prefix(250)
        var noise = SplitMix64(seed: 7)
        let whole = try await ShardedModel(model: model, workers: 1, isa: isa, precision: precision).rows(
            tokens)
        for number in 0..<9 {
            let way = Way(number, &noise)
            var ring = ShardedModel(
                model: model, workers: way.speeds.count, isa: isa, precision: precision)
            ring.speeds = way.speeds
            ring.widest = way.widest
            ring.threads = way.threads
            let kept = [128, 384, 256][number % 3]
            ring.past = try await ring.past(Array(other), kept: kept)
            ring.slabTokens = number % 2 == 0 ? nil : 256
            let rows = try await ring.rows(tokens)
            #expect(rows.count == tokens.count - kept)
            let first = rows.indices.first { rows[$0] != whole[kept + $0] }
            #expect(first == nil, "\(way), \(kept) tokens kept: other bits from \(kept + (first ?? 0)) on")
        }
    }

    /// Slabs alone, over several layouts.
    @Test(arguments: [Precision.f32, .bf16])
    func slabsDoNotShow(precision: Precision) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let tokens = Self.longPrompt.map { $0 % Int32(model.shape.vocabulary) }
        let whole = try await ShardedModel(model: model, workers: 1, precision: precision).rows(tokens)
        for (workers, slab) in [(1, 128), (2, 256), (3, 128), (5, 512)] {
            var ring = ShardedModel(model: model, workers: workers, precision: precision)
            ring.widest = 64
            ring.slabTokens = slab
            #expect(try await ring.rows(tokens) == whole, "\(workers) workers, slabs of \(slab)")
        }
    }

    /// Decode goes on from a continued prompt as from one that was computed at once.
    @Test func decodeAfterAContinuedPromptIsTheSame() async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let tokens = Self.longPrompt.map { $0 % Int32(model.shape.vocabulary) }
        for workers in [1, 3] {
            var ring = ShardedModel(model: model, workers: workers)
            ring.widest = 128
            // The answer's tokens have to be in the layout of the past, too.
            let past = try await ring.past(tokens, kept: 512)
            ring.past = ShardedModel.Past(tokens: 0, layout: past.layout, sequences: past.sequences)
            let whole = try await ring.greedy(tokens, count: 12)
            ring.past = past
            let continued = try await ring.greedy(tokens, count: 12)
            #expect(continued.tokens == whole.tokens && continued.margins == whole.margins)
        }
    }

    /// A short question that the leader computes, keys and values staying where they are: the same to rounding.
    @Test(arguments: [1, 2, 3, 5], [1, 30, 316])
    func aStationaryQuestionIsTheSameToRounding(workers: Int, length: Int) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let tokens = Self.longPrompt.prefix(384 + length).map { $0 % Int32(model.shape.vocabulary) }
        var ring = ShardedModel(model: model, workers: workers)
        ring.widest = 16
        ring.speeds = (0..<workers).map { Double(1 + $0 % 3) }
        ring.past = try await ring.past(Self.longPrompt.map { $0 % Int32(model.shape.vocabulary) }, kept: 384)
        let canonical = try await ring.greedy(tokens, count: 12)
        ring.isStationary = true
        let stationary = try await ring.greedy(tokens, count: 12)
        #expect(stationary.tokens == canonical.tokens)
        for (one, other) in zip(stationary.margins, canonical.margins) { #expect(abs(one - other) < 2e-4) }
    }
}
