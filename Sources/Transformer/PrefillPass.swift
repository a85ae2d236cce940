// Prefill: a slab of a sequence goes through all layers, its keys and values into the sequence.
public import KVCache
package import Kernels
public import LongRoPE
public import RingAttention
import Synchronization

/// One rank's part of prefilling a sequence, slab by slab. A slab's queries attend all keys before its end: those of
/// earlier slabs, of an earlier run, or of the whole prompt are one code path.
///
/// A slab goes layer by layer over all of this rank's rows, so that every layer's weights are unpacked at most once.
/// Around attention the rows are cut in chunks, each taken through by one thread. Confined to the engine's thread, which
/// blocks while the ring waits; only `cancel` may be called from elsewhere.
public final class PrefillPass {
    private let engine: LayerEngine
    private let assignment: ShardAssignment
    private let sequence: KVSequence
    private let angles: AngleTable
    private let peer: any RingPeer
    private let stall: Duration
    private let recorder: PassRecorder
    private let running = Running()
    /// The residual stream of the slab that was prefilled last, (tokens, hidden).
    private(set) var residual: Matrix

    /// What prefill may use beside the quantised model, the keys and the values, where it has the choice.
    private static let workingBytes = 384 << 20
    /// Rows that go through the output head together: a row of logits is as long as the vocabulary.
    private static let headRows = 128

    /// The exchange that another thread may have to stop.
    private final class Running: Sendable {
        private let state = Mutex<(exchange: RingExchange?, isCancelled: Bool)>((nil, false))

        /// - Throws: `.cancelled` after `cancel`.
        func begin(_ exchange: RingExchange) throws(RingError) {
            let isCancelled = state.withLock {
                $0.exchange = exchange
                return $0.isCancelled
            }
            if isCancelled { throw .cancelled }
        }

        func cancel() {
            let exchange = state.withLock {
                $0.isCancelled = true
                return $0.exchange
            }
            exchange?.cancel()
        }
    }

    /// - Parameters:
    ///   - profile: pinned for the whole sequence; every worker has the same.
    ///   - sequence: holds this rank's rows of the past, and has room for the rest.
    ///   - stall: the longest wait for another worker.
    public init(
        engine: LayerEngine, assignment: ShardAssignment, profile: RotaryProfile, sequence: KVSequence,
        peer: any RingPeer, stall: Duration, recorder: PassRecorder
    ) {
        self.engine = engine
        self.assignment = assignment
        self.sequence = sequence
        self.peer = peer
        self.stall = stall
        self.recorder = recorder
        angles = AngleTable(profile)
        residual = Matrix(rows: 0, columns: engine.model.shape.hidden)
    }

    /// Wakes whatever waits in this pass; its calls then throw. From any thread.
    public var cancel: @Sendable () -> Void {
        let (running, peer) = (running, peer)
        return {
            running.cancel()
            peer.abandon()
        }
    }

    /// Prefills a slab: afterwards the sequence has its keys and values in all layers, and `scores` and `eachLogits` are
    /// about it.
    ///
    /// - Parameters:
    ///   - slab: one of the assignment's; those before it must be done.
    ///   - tokens: this rank's of the slab, in buffer order.
    ///   - onLayer: called after each layer with the number of layers that are done.
    /// - Throws: `.ring(.invalidPlan)` for another slab or number of tokens, `.ring`, `.kernel`.
    public func prefill(
        slab: Range<Int>, tokens: [Int32], onLayer: (Int) throws(ModelError) -> Void
    ) throws(ModelError) {
        let rows = assignment.rows(of: slab)
        guard sequence.written == rows.lowerBound, tokens.count == rows.count else {
            throw .ring(
                .invalidPlan(
                    "\(tokens.count) tokens came for \(slab), which has \(rows.count) behind the first "
                        + "\(sequence.written) of this rank"))
        }
        let exchange: RingExchange
        let schedule: RingSchedule
        do throws(RingError) {
            schedule = try RingSchedule(
                rank: assignment.rank, layout: assignment.layout, tokens: slab.upperBound)
            exchange = try RingExchange(
                peer: peer, schedule: schedule, stall: stall, bytesPerToken: sequence.shape.rowBytes,
                meter: recorder.meter)
            try running.begin(exchange)
        } catch { throw .ring(error) }
        defer { exchange.close() }
        let buffers = try begin(tokens, at: assignment.runs(in: slab))
        let activations =
            tokens.count
            * (4 * (residual.columns + buffers.queries.columns + 2 * angles.pairs)
                + AttentionState.bytesPerQuery(engine.attention))
        let keeping = activations + engine.weights.bytes <= Self.workingBytes
        if !keeping { engine.weights.release(all: true) }

        for layer in 0..<engine.model.shape.layers {
            var unpacked: UnpackedWeights.Layer = [:]
            try recorder.noting(.dense, layer) { () throws(ModelError) in
                if !tokens.isEmpty { unpacked = try engine.weights.layer(layer, keeping: keeping) }
                try beforeAttention(layer: layer, unpacked, buffers, firstRow: rows.lowerBound)
            }
            try ring(layer: layer, buffers, exchange, schedule)
            try recorder.noting(.dense, layer) { () throws(ModelError) in
                try afterAttention(layer: layer, unpacked, buffers)
            }
            try onLayer(layer + 1)
        }
        sequence.advance(by: rows.count)
        engine.weights.release(all: false)
    }

    /// What a slab needs beside the residual stream.
    struct Buffers {
        let cosine: Matrix
        let sine: Matrix
        let queries: Matrix
        let state: AttentionState
    }

    /// Puts the tokens' embeddings into the residual stream.
    func begin(_ tokens: [Int32], at runs: [Range<Int>]) throws(ModelError) -> Buffers {
        let n = tokens.count
        residual = Matrix(rows: n, columns: engine.model.shape.hidden)
        try engine.embed(tokens, into: residual)
        let buffers = Buffers(
            cosine: Matrix(rows: n, columns: angles.pairs), sine: Matrix(rows: n, columns: angles.pairs),
            queries: Matrix(rows: n, columns: engine.attention.queryRowElements),
            state: AttentionState(
                queriesAt: runs, shape: engine.attention, element: sequence.shape.element))
        engine.compute.fillAngles(angles, at: runs, cosine: buffers.cosine, sine: buffers.sine)
        return buffers
    }

    /// A layer's dense part up to its attention: queries into the buffers, keys and values into the sequence.
    func beforeAttention(
        layer: Int, _ unpacked: UnpackedWeights.Layer, _ buffers: Buffers, firstRow: Int
    ) throws(ModelError) {
        try engine.eachChunk(of: residual.rows) { rows, step throws(ModelError) in
            step.begin(unpacked, cosine: buffers.cosine.rows(rows), sine: buffers.sine.rows(rows))
            let inputs = try engine.model.family.attentionInputs(layer: layer, residual.rows(rows), step)
            buffers.queries.rows(rows).copy(leadingColumnsOf: inputs)
            try engine.store(
                inputs, layer: layer, firstRow: firstRow + rows.lowerBound, into: sequence)
        }
    }

    /// The rest of a layer, from what its attention gave.
    func afterAttention(
        layer: Int, _ unpacked: UnpackedWeights.Layer, _ buffers: Buffers
    ) throws(ModelError) {
        try engine.eachChunk(of: residual.rows) { rows, step throws(ModelError) in
            step.begin(unpacked)
            try engine.model.family.attentionOutputs(
                layer: layer, attended: step.attended(rows, of: buffers.state),
                addingTo: residual.rows(rows), step)
        }
    }

    /// One layer's ring: the slab's queries attend everything before the slab's end, stripe by stripe in ascending
    /// position.
    private func ring(
        layer: Int, _ buffers: Buffers, _ exchange: RingExchange, _ schedule: RingSchedule
    ) throws(ModelError) {
        var row = 0
        let own = schedule.own.map { stripe in
            let positions = schedule.positions(stripe)
            defer { row += positions.count }
            return RingPiece(
                layer: layer, origin: assignment.rank, stripe: stripe, positions: positions,
                payload: sequence.payload(layer: layer, rows: row..<row + positions.count))
        }
        let (queries, state) = (buffers.queries, buffers.state)
        state.begin()
        do throws(RingError) {
            recorder.add(
                try exchange.run(layer: layer, own: own) { pieces in
                    guard queries.rows > 0 else { return }
                    for piece in pieces {
                        piece.payload.withUnsafeBytes {
                            engine.compute.attend(queries: queries, over: $0, into: state)
                        }
                    }
                    engine.compute.attendRest(
                        queries: queries, last: state.keys == schedule.tokens, into: state)
                })
        } catch { throw .ring(error) }
    }

    // MARK: what the slab that was prefilled last gives

    /// Negative log-likelihood of the token after each of this rank's in the slab, natural log.
    ///
    /// - Parameter next: the token that follows, for each token in buffer order. A negative number: none follows,
    ///   and the result there is 0.
    public func scores(next: [Int32]) throws(ModelError) -> [Float] {
        let n = residual.rows
        guard next.count == n else {
            throw .ring(.invalidPlan("\(next.count) following tokens came for \(n)"))
        }
        var result: [Float] = []
        result.reserveCapacity(n)
        try eachLogits { rows, logits throws(ModelError) in
            let targets = next[rows]
            do throws(KernelError) {
                let nll = try engine.compute.logSoftmaxPick(
                    logits: logits, targets: targets.map { max($0, 0) })
                result += zip(nll, targets).map { $1 < 0 ? 0 : $0 }
            } catch { throw .kernel(error) }
        }
        return result
    }

    /// Logits of this rank's rows of the slab, in buffer order, a chunk at a time (rows, vocabulary).
    package func eachLogits(
        _ body: (Range<Int>, Matrix) throws(ModelError) -> Void
    ) throws(ModelError) {
        let head = engine.model.head
        let packed: PackedWeights
        do throws(KernelError) { packed = try engine.compute.pack(head.weights) } catch {
            throw .kernel(error)
        }
        for rows in LayerEngine.chunks(of: residual.rows, Self.headRows) {
            try body(rows, try engine.head(residual.rows(rows), [ObjectIdentifier(head): packed]))
        }
    }

    /// Logits (vocabulary) of this rank's last token, which on the leader is the prompt's last.
    public func lastLogits() throws(ModelError) -> [Float] {
        let n = residual.rows
        return try engine.head(residual.rows(n - 1..<n)).values()
    }
}
