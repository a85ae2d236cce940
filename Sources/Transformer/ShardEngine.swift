// Runs a model over one worker's shard of a sequence: prefill, logits and scores. Decode is in ShardEngine+Decode.
public import Kernels
public import LongRoPE
public import RingAttention
import Synchronization

/// A model at work on one shard of one sequence. Confined to one thread, which blocks while the ring waits; only
/// `cancel` may be called from elsewhere.
///
/// Prefill goes layer by layer over the whole shard, so that every layer's weights are unpacked at most once. Around
/// attention the shard is cut in chunks of rows, each taken through by one thread.
public final class ShardEngine {
    let model: Model
    let compute: Compute
    let assignment: ShardAssignment
    let attention: AttentionShape
    let angles: AngleTable
    /// Of this engine's thread, for single tokens and the output head.
    let step: ForwardStep
    /// One for each compute thread.
    private let steps: [ForwardStep]
    let weights: UnpackedWeights
    let kv: KVShard
    /// Rows of `kv` that are written in every layer.
    var kvRows = 0
    /// The residual stream of the shard, (tokens, hidden).
    var residual: Matrix
    let peer: any RingPeer
    let stall: Duration
    private let exchange: RingExchange
    /// What prefill's ring has cost so far.
    public private(set) var timings = RingTimings()
    /// What happened when, since it was taken last.
    public var timeline = Timeline()
    /// Shows other threads where this engine stands.
    public let meter = RingMeter()

    /// Most rows of the shard that go through a layer's products together.
    static let chunkRows = 64
    /// What prefill may use beside the quantised model, the keys and the values, where it has the choice.
    private static let workingBytes = 384 << 20
    /// Rows that go through the output head together: a row of logits is as long as the vocabulary.
    private static let headRows = 128

    /// - Parameters:
    ///   - weights: made from the same model and compute; kept from job to job.
    ///   - profile: pinned for the whole sequence; every worker has the same.
    ///   - stall: the longest wait for another worker.
    /// - Throws: `.memory` when the keys and values do not fit, `.kernel`, `.ring`.
    public init(
        model: Model, compute: Compute, weights: UnpackedWeights, profile: RotaryProfile,
        assignment: ShardAssignment, peer: any RingPeer, stall: Duration
    ) throws(ModelError) {
        self.model = model
        self.compute = compute
        self.weights = weights
        self.assignment = assignment
        self.peer = peer
        self.stall = stall
        let shape = model.shape
        do throws(KernelError) {
            attention = try AttentionShape(
                heads: shape.heads, kvHeads: shape.kvHeads, headDimension: shape.headDimension,
                scale: 1 / Float(shape.headDimension).squareRoot())
        } catch { throw .kernel(error) }
        angles = AngleTable(profile)
        func newStep() -> ForwardStep {
            ForwardStep(
                compute: compute, shape: shape, rotation: model.family.rotation,
                rotaryDimension: profile.rotaryDimension)
        }
        step = newStep()
        steps = (0..<compute.threads).map { _ in newStep() }
        kv = try KVShard(shape: shape, element: compute.kvElement, capacity: assignment.capacity)
        residual = Matrix(rows: assignment.tokens, columns: shape.hidden)
        do throws(RingError) {
            exchange = try RingExchange(
                peer: peer, schedule: assignment.schedule, stall: stall, bytesPerToken: kv.rowBytes,
                meter: meter)
        } catch { throw .ring(error) }
    }

    /// Wakes whatever waits in this engine; its calls then throw. From any thread.
    public var cancel: @Sendable () -> Void {
        let exchange = exchange
        let peer = peer
        return {
            exchange.cancel()
            peer.abandon()
        }
    }

    /// Computes the shard: afterwards `residual` is the last layer's output and `kv` holds all layers' keys and
    /// values of it.
    ///
    /// - Parameters:
    ///   - tokens: this rank's, in buffer order.
    ///   - onLayer: called after each layer with the number of layers that are done.
    public func prefill(tokens: [Int32], onLayer: (Int) -> Void) throws(ModelError) {
        let n = assignment.tokens
        let shape = model.shape
        guard tokens.count == n else {
            throw .ring(.invalidPlan("\(tokens.count) tokens came for a shard of \(n)"))
        }
        let buffers = try begin(tokens)
        let activations =
            n
            * (4 * (residual.columns + buffers.queries.columns + 2 * angles.pairs)
                + AttentionState.bytesPerQuery(attention))
        let keeping = activations + weights.bytes <= Self.workingBytes
        if !keeping { weights.release(all: true) }

        for layer in 0..<shape.layers {
            var unpacked: UnpackedWeights.Layer = [:]
            try noting(.dense, layer) { () throws(ModelError) in
                if n > 0 { unpacked = try weights.layer(layer, keeping: keeping) }
                try beforeAttention(layer: layer, unpacked, buffers)
            }
            try ring(layer: layer, queries: buffers.queries, into: buffers.state)
            try noting(.dense, layer) { () throws(ModelError) in
                try afterAttention(layer: layer, unpacked, buffers)
            }
            meter.layersDone = layer + 1
            onLayer(layer + 1)
        }
        kvRows = n
        weights.release(all: false)
    }

    /// Runs `body` and notes when it did.
    public func noting(
        _ kind: TimelineSpan.Kind, _ layer: Int, _ body: () throws(ModelError) -> Void
    ) throws(ModelError) {
        let start = ContinuousClock.now
        try body()
        let took = ContinuousClock.now - start
        timeline.note(TimelineSpan(kind, layer: layer, start: start, duration: took))
        meter.computed(for: took)
    }

    /// What a prefill needs beside the residual stream, for the whole shard.
    struct PrefillBuffers {
        let cosine: Matrix
        let sine: Matrix
        let queries: Matrix
        let state: AttentionState
    }

    /// Puts the tokens' embeddings into the residual stream.
    func begin(_ tokens: [Int32]) throws(ModelError) -> PrefillBuffers {
        try embed(tokens, into: residual)
        let n = tokens.count
        let buffers = PrefillBuffers(
            cosine: Matrix(rows: n, columns: angles.pairs), sine: Matrix(rows: n, columns: angles.pairs),
            queries: Matrix(rows: n, columns: attention.queryRowElements),
            state: AttentionState(queriesAt: assignment.runs, shape: attention, element: kv.element))
        compute.fillAngles(angles, at: assignment.runs, cosine: buffers.cosine, sine: buffers.sine)
        return buffers
    }

    /// A layer's dense part up to its attention: queries into the buffers, keys and values into `kv`.
    func beforeAttention(
        layer: Int, _ unpacked: UnpackedWeights.Layer, _ buffers: PrefillBuffers
    ) throws(ModelError) {
        try eachChunk { rows, step throws(ModelError) in
            step.begin(unpacked, cosine: buffers.cosine.rows(rows), sine: buffers.sine.rows(rows))
            let inputs = try model.family.attentionInputs(layer: layer, residual.rows(rows), step)
            buffers.queries.rows(rows).copy(leadingColumnsOf: inputs)
            try store(inputs, layer: layer, firstRow: rows.lowerBound)
        }
    }

    /// The rest of a layer, from what its attention gave.
    func afterAttention(
        layer: Int, _ unpacked: UnpackedWeights.Layer, _ buffers: PrefillBuffers
    ) throws(ModelError) {
        try eachChunk { rows, step throws(ModelError) in
            step.begin(unpacked)
            try model.family.attentionOutputs(
                layer: layer, attended: step.attended(rows, of: buffers.state),
                addingTo: residual.rows(rows), step)
        }
    }

    /// Cuts the shard's rows in chunks and runs `body` for each, on any thread, with that thread's step. The first
    /// error is thrown when all have ended.
    private func eachChunk(
        _ body: (Range<Int>, ForwardStep) throws(ModelError) -> Void
    ) throws(ModelError) {
        let n = assignment.tokens
        // Short shards are cut smaller, so that every thread gets a part.
        let even = (n / compute.threads + 15) / 16 * 16
        let chunks = Self.chunks(of: n, min(Self.chunkRows, max(16, even)))
        let failure = Mutex<ModelError?>(nil)
        compute.forEach(chunks.count) { item, thread in
            do throws(ModelError) {
                try body(chunks[item], steps[thread])
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// One layer's ring: the shard's queries attend the whole sequence, stripe by stripe in ascending position.
    private func ring(layer: Int, queries: Matrix, into state: AttentionState) throws(ModelError) {
        let schedule = assignment.schedule
        var row = 0
        let own = schedule.own.map { stripe in
            let positions = schedule.positions(stripe)
            defer { row += positions.count }
            return RingPiece(
                layer: layer, origin: assignment.rank, stripe: stripe, positions: positions,
                payload: kv.payload(layer: layer, rows: row..<row + positions.count))
        }
        state.begin()
        do throws(RingError) {
            let took = try exchange.run(layer: layer, own: own) { pieces in
                guard queries.rows > 0 else { return }
                for piece in pieces {
                    piece.payload.withUnsafeBytes { compute.attend(queries: queries, over: $0, into: state) }
                }
                compute.attendRest(
                    queries: queries, last: state.keys == assignment.promptTokens, into: state)
            }
            timings += took
            for span in took.timeline.spans { timeline.note(span) }
        } catch { throw .ring(error) }
    }

    /// Negative log-likelihood of the token after each of the shard's, natural log.
    ///
    /// - Parameter next: the token that follows, for each token in buffer order. A negative number: none follows,
    ///   and the result there is 0.
    public func scores(next: [Int32]) throws(ModelError) -> [Float] {
        let n = assignment.tokens
        guard next.count == n else {
            throw .ring(.invalidPlan("\(next.count) following tokens came for a shard of \(n)"))
        }
        var result: [Float] = []
        result.reserveCapacity(n)
        try eachLogits { rows, logits throws(ModelError) in
            let targets = next[rows]
            do throws(KernelError) {
                let nll = try compute.logSoftmaxPick(logits: logits, targets: targets.map { max($0, 0) })
                result += zip(nll, targets).map { $1 < 0 ? 0 : $0 }
            } catch { throw .kernel(error) }
        }
        return result
    }

    /// Logits of all of the shard's rows, in buffer order, a chunk at a time (rows, vocabulary).
    package func eachLogits(
        _ body: (Range<Int>, Matrix) throws(ModelError) -> Void
    ) throws(ModelError) {
        let packed: PackedWeights
        do throws(KernelError) { packed = try compute.pack(model.head.weights) } catch {
            throw .kernel(error)
        }
        for rows in Self.chunks(of: assignment.tokens, Self.headRows) {
            try body(rows, try head(residual.rows(rows), [ObjectIdentifier(model.head): packed]))
        }
    }

    /// Logits (vocabulary) of the shard's last token, which on the leader is the prompt's last.
    public func lastLogits() throws(ModelError) -> [Float] {
        let n = assignment.tokens
        return try head(residual.rows(n - 1..<n)).values()
    }

    /// Final norm and output head: (n, hidden) to (n, vocabulary). Scratch, as the step's results are.
    func head(_ x: Matrix, _ unpacked: UnpackedWeights.Layer = [:]) throws(ModelError) -> Matrix {
        step.begin(unpacked)
        return try step.linear(step.rmsNorm(x, model.outputNorm), model.head)
    }

    /// Rows of the embedding.
    func embed(_ tokens: [Int32], into x: Matrix) throws(ModelError) {
        do throws(KernelError) {
            try compute.embed(model.embedding, tokens: tokens, into: x)
        } catch { throw .kernel(error) }
    }

    /// Writes the keys and values among a chunk's attention inputs into a layer's rows from `firstRow` on.
    func store(_ inputs: Matrix, layer: Int, firstRow: Int) throws(ModelError) {
        let width = model.shape.kvHeads * model.shape.headDimension
        let key = model.shape.heads * model.shape.headDimension
        do throws(KernelError) {
            try compute.storeKV(
                keys: inputs, keyColumn: key, values: inputs, valueColumn: key + width, width: width,
                into: kv.rows(layer: layer), firstRow: firstRow, element: kv.element)
        } catch { throw .kernel(error) }
    }

    private static func chunks(of count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }
}

extension ShardEngine {
    /// A token's keys and values in a layer as they lie in memory, `[K][V]`.
    /// - Parameter row: of the shard's tokens, in ascending position.
    package func keyValues(layer: Int, row: Int) -> [UInt8] {
        precondition((0..<kvRows).contains(row), "row \(row) of \(kvRows)")
        return Array(kv.rows(layer: layer)[row * kv.rowBytes..<(row + 1) * kv.rowBytes])
    }

    /// Bytes of the keys and values that this rank holds now.
    public var kvBytes: Int { kvRows * model.shape.kvBytesPerToken(kv.element) }
}
