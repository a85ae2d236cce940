// Runs a model over one worker's shard of a sequence: prefill, logits and scores. Decode is in ShardEngine+Decode.
public import Kernels
public import LongRoPE
public import RingAttention
import Synchronization

/// A model at work on one shard of one sequence. Confined to one thread, which blocks while the ring waits; only
/// `cancel` may be called from elsewhere.
///
/// Prefill goes layer by layer over the whole shard: every layer's weights are unpacked once. Around attention the
/// shard is cut in chunks of rows that stay in the second-level cache.
public final class ShardEngine {
    let model: Model
    let compute: Compute
    let assignment: ShardAssignment
    let attention: AttentionShape
    let angles: AngleTable
    let step: ForwardStep
    let kv: KVShard
    /// Rows of `kv` that are written in every layer.
    var kvRows = 0
    /// The residual stream of the shard, (tokens, hidden).
    var residual: Matrix
    let peer: any RingPeer
    let stall: Duration
    private let exchange: RingExchange
    /// What the ring has cost so far.
    public internal(set) var timings = RingTimings()

    /// Rows of the shard that go through a layer's products together.
    private static let chunkRows = 256
    /// Rows that go through the output head together: a row of logits is as long as the vocabulary.
    private static let headRows = 128

    /// - Parameters:
    ///   - profile: pinned for the whole sequence; every worker has the same.
    ///   - stall: the longest wait for another worker.
    /// - Throws: `.memory` when the keys and values do not fit, `.kernel`, `.ring`.
    public init(
        model: Model, compute: Compute, profile: RotaryProfile, assignment: ShardAssignment,
        peer: any RingPeer,
        stall: Duration
    ) throws(ModelError) {
        self.model = model
        self.compute = compute
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
        step = ForwardStep(
            compute: compute, shape: shape, rotation: model.family.rotation,
            rotaryDimension: profile.rotaryDimension)
        kv = try KVShard(shape: shape, element: compute.kvElement, capacity: assignment.capacity)
        residual = Matrix(rows: assignment.tokens, columns: shape.hidden)
        do throws(RingError) {
            exchange = try RingExchange(
                peer: peer, rank: assignment.rank,
                schedule: RingSchedule(rank: assignment.rank, pieceCounts: assignment.pieces.counts),
                stall: stall,
                pieces: assignment.pieces, bytesPerToken: kv.rowBytes)
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
        try embed(tokens, into: residual)
        let pairs = angles.pairs
        let cosine = Matrix(rows: n, columns: pairs)
        let sine = Matrix(rows: n, columns: pairs)
        compute.fillAngles(angles, at: assignment.runs, cosine: cosine, sine: sine)
        let queries = Matrix(rows: n, columns: shape.heads * shape.headDimension)
        let state = AttentionState(queries: n, shape: attention)

        for layer in 0..<shape.layers {
            if n > 0 { try step.hold(model.family.linears(ofLayer: layer)) }
            for rows in Self.chunks(of: n, Self.chunkRows) {
                step.begin(cosine: cosine.rows(rows), sine: sine.rows(rows))
                let inputs = try model.family.attentionInputs(layer: layer, residual.rows(rows), step)
                queries.rows(rows).copy(from: inputs.queries)
                try store(inputs, layer: layer, firstRow: rows.lowerBound)
            }
            state.reset(queries: n)
            try ring(layer: layer, queries: queries, into: state)
            for rows in Self.chunks(of: n, Self.chunkRows) {
                step.begin(cosine: cosine.rows(rows), sine: sine.rows(rows))
                try model.family.attentionOutputs(
                    layer: layer, attended: state.output.rows(rows), addingTo: residual.rows(rows), step)
            }
            onLayer(layer + 1)
        }
        kvRows = n
        step.release()
    }

    /// One layer's ring: the shard's queries attend every block of the sequence, in the schedule's order.
    private func ring(layer: Int, queries: Matrix, into state: AttentionState) throws(ModelError) {
        let own = assignment.pieces.pieces[assignment.rank].map { piece in
            RingPiece(
                layer: layer, origin: assignment.rank, piece: piece.index, runs: piece.runs,
                payload: kv.payload(layer: layer, rows: piece.rows))
        }
        do throws(RingError) {
            timings += try exchange.run(layer: layer, own: own) { piece in
                guard queries.rows > 0 else { return }
                piece.payload.withUnsafeBytes { bytes in
                    compute.attend(
                        queries: queries, at: assignment.runs, over: bytes, at: piece.runs,
                        element: kv.element,
                        shape: attention, into: state)
                }
            }
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
        try step.hold([model.head])
        defer { step.release() }
        for rows in Self.chunks(of: assignment.tokens, Self.headRows) {
            try body(rows, try head(residual.rows(rows)))
        }
    }

    /// Logits (vocabulary) of the shard's last token, which on the leader is the prompt's last.
    public func lastLogits() throws(ModelError) -> [Float] {
        let n = assignment.tokens
        return try head(residual.rows(n - 1..<n)).values()
    }

    /// Final norm and output head: (n, hidden) to (n, vocabulary). Scratch, as the step's results are.
    func head(_ x: Matrix) throws(ModelError) -> Matrix {
        step.begin()
        return try step.linear(step.rmsNorm(x, model.outputNorm), model.head)
    }

    /// Rows of the embedding.
    func embed(_ tokens: [Int32], into x: Matrix) throws(ModelError) {
        do throws(KernelError) {
            try compute.embed(model.embedding, tokens: tokens, into: x)
        } catch { throw .kernel(error) }
    }

    /// Writes a chunk's keys and values into a layer's rows from `firstRow` on.
    func store(_ inputs: AttentionInputs, layer: Int, firstRow: Int) throws(ModelError) {
        do throws(KernelError) {
            try compute.storeKV(
                keys: inputs.keys, keyColumn: 0, values: inputs.values, valueColumn: 0,
                width: inputs.keys.columns,
                into: kv.rows(layer: layer), firstRow: firstRow, element: kv.element)
        } catch { throw .kernel(error) }
    }

    private static func chunks(of count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }
}

extension ShardEngine {
    /// Bytes of the keys and values that this rank holds now.
    public var kvBytes: Int { kvRows * model.shape.kvBytesPerToken(kv.element) }
}
