// How fast this machine computes a model: measured on one layer, by the code that prefill runs.
import Kernels
import KVCache
import LongRoPE
import RingAttention

/// What all compute threads together reach, with whatever else the machine does meanwhile.
public struct ComputeRates: Sendable, Equatable {
    /// Operations per second of the dense parts, as `ModelWork` counts them; all that lies between the products is
    /// in their time.
    public let dense: Double
    /// Operations per second of attention over many keys that are all visible.
    public let attention: Double
    /// Attention over n keys at once takes as long as over n + `pieceKeys` keys of a longer sweep: queries are packed, and
    /// what they have seen is read and written, for each.
    public let pieceKeys: Double
    /// Seconds to unpack a layer's weights.
    public let unpackSeconds: Double

    /// Dense parts and attention take turns for so long: a scheduler that favours one worker now and another then is
    /// averaged out, and equally for both.
    private static let duration: Duration = .milliseconds(1000)
    /// One turn, so that a measurement has several.
    private static let turn = 0.05
    private static let mostRows = 2048
    private static let shortPiece = 256

    /// Measures for about a second; longer where 64 rows a thread alone take longer. Never uses more than one layer.
    ///
    /// The calling thread takes part, as in `PrefillPass.prefill`, and nothing else may use the engine meanwhile.
    /// - Parameter isCancelled: asked between turns.
    /// - Throws: `.ring(.cancelled)`, and what prefill throws.
    public static func measure(
        engine: LayerEngine, isCancelled: () -> Bool
    ) throws(ModelError) -> ComputeRates {
        let (model, compute, weights) = (engine.model, engine.compute, engine.weights)
        defer { weights.release(all: false) }
        func seconds(_ body: () throws(ModelError) -> Void) throws(ModelError) -> Double {
            if isCancelled() { throw .ring(.cancelled) }
            let start = ContinuousClock.now
            try body()
            return max((ContinuousClock.now - start) / .seconds(1), 1e-9)
        }
        // The first time takes memory and reads the file.
        var unpacked: UnpackedWeights.Layer = [:]
        var unpackSeconds = 0.0
        for _ in 0..<2 {
            unpackSeconds = try seconds { () throws(ModelError) in
                unpacked = try weights.layer(0, keeping: false)
            }
        }

        let chunk = compute.threads * LayerEngine.chunkRows
        var sample = try Sample(rows: chunk, engine)
        try sample.dense(unpacked)
        let denseTurn = try seconds { () throws(ModelError) in try sample.dense(unpacked) }
        let rows = fitting(chunk, in: denseTurn, most: mostRows)
        sample = try Sample(rows: rows, engine)
        try sample.dense(unpacked)
        let attentionTurn = try seconds { () throws(ModelError) in
            sample.attention(keys: min(rows, shortPiece))
        }
        let keys = min(rows, fitting(min(rows, shortPiece), in: attentionTurn, most: mostRows))

        var time = (dense: 0.0, attention: 0.0)
        var shortest = (long: Double.infinity, short: Double.infinity)
        var turns = 0.0
        let start = ContinuousClock.now
        repeat {
            time.dense += try seconds { () throws(ModelError) in try sample.dense(unpacked) }
            let long = try seconds { () throws(ModelError) in sample.attention(keys: keys) }
            let short = try seconds { () throws(ModelError) in
                sample.attention(keys: min(keys, shortPiece))
            }
            time.attention += long
            shortest = (min(shortest.long, long), min(shortest.short, short))
            turns += 1
        } while ContinuousClock.now - start < duration
        let pieceKeys = pieceKeys(long: shortest.long, keys: keys, short: shortest.short)
        let work = model.shape.work
        return ComputeRates(
            dense: turns * Double(rows) * work.denseOperations / time.dense,
            attention: turns * Double(rows) * (Double(keys) + pieceKeys) * work.attentionOperations
                / time.attention,
            pieceKeys: pieceKeys, unpackSeconds: unpackSeconds)
    }

    /// From the times of two sweeps: so much for each key and so much for the sweep. It is a property of the kernels,
    /// so undisturbed turns count. 0 where sweeps of different length could not be had in time.
    private static func pieceKeys(long: Double, keys: Int, short: Double) -> Double {
        guard keys >= 2 * shortPiece, long > short else { return 0 }
        let key = (long - short) / Double(keys - shortPiece)
        return min(max(short / key - Double(shortPiece), 0), Double(shortPiece))
    }

    /// A multiple of `step` that takes about one turn when `step` takes `seconds`.
    private static func fitting(_ step: Int, in seconds: Double, most: Int) -> Int {
        step * max(1, Int(min(turn / seconds, Double(most) / Double(step))))
    }

    /// A shard of made-up tokens, of which only the first layer is computed.
    private struct Sample {
        private let engine: LayerEngine
        private let sequence: KVSequence
        private let pass: PrefillPass
        private let buffers: PrefillPass.Buffers
        /// Of queries that stand behind all keys.
        private let behind: AttentionState

        init(rows: Int, _ engine: LayerEngine) throws(ModelError) {
            self.engine = engine
            let profile: RotaryProfile
            do throws(LongRoPEError) {
                profile = try engine.model.scaling.profile(promptTokens: rows, reservedTokens: 0)
            } catch { throw .rotary(error) }
            let assignment: ShardAssignment
            do throws(RingError) {
                assignment = try ShardAssignment(
                    rank: 0, layout: Layout(stripeTokens: 1024, weights: [1]), promptTokens: rows,
                    maxTokens: 0)
            } catch { throw .ring(error) }
            do throws(KVError) {
                sequence = try KVSequence(
                    shape: engine.kvShape, capacity: rows, memory: KVMemory(limit: .max))
            } catch { throw .memory(error) }
            pass = PrefillPass(
                engine: engine, assignment: assignment, profile: profile, sequence: sequence, peer: NoPeer(),
                stall: .seconds(1), recorder: PassRecorder())
            let vocabulary = engine.model.shape.vocabulary
            buffers = try pass.begin(
                (0..<rows).map { Int32($0 * 7919 % vocabulary) }, at: assignment.runs)
            behind = AttentionState(
                queriesAt: [rows..<2 * rows], shape: engine.attention, element: sequence.shape.element)
        }

        func dense(_ unpacked: UnpackedWeights.Layer) throws(ModelError) {
            try pass.beforeAttention(layer: 0, unpacked, buffers, firstRow: 0)
            try pass.afterAttention(layer: 0, unpacked, buffers)
        }

        /// All queries over the first `keys` keys, as if the queries stood behind all of them.
        func attention(keys: Int) {
            behind.begin()
            for page in sequence.pages(layer: 0, rows: keys) {
                engine.compute.attend(queries: buffers.queries, over: page, into: behind)
            }
            engine.compute.attendRest(queries: buffers.queries, last: true, into: behind)
        }
    }

    /// A ring of one sends and receives nothing.
    private struct NoPeer: RingPeer {
        func send(
            _ message: RingMessage, to rank: Int, deadline: ContinuousClock.Instant
        ) throws(RingError) { throw .peer(rank: rank, what: "there is no ring") }

        func receive(
            from rank: Int, deadline: ContinuousClock.Instant
        ) throws(RingError) -> RingMessage { throw .peer(rank: rank, what: "there is no ring") }
    }
}
