// Decode and short questions over a long past: the leader computes the rows, every rank attends its own KV.
public import KVCache
import Kernels
public import LongRoPE
public import RingAttention

/// One rank's part of continuing a sequence by few rows. Keys and values stay where they are, queries and partials
/// travel. Partials are merged in rank order, so the result is exact to rounding, and its bits depend on the layout.
/// Confined to the engine's thread.
public final class StationaryPass {
    private let engine: LayerEngine
    private let assignment: ShardAssignment
    private let sequence: KVSequence
    private let angles: AngleTable
    private let peer: any RingPeer
    private let stall: Duration
    private let meter: RingMeter

    /// - Parameter sequence: has all of the prompt's rows of this rank.
    public init(
        engine: LayerEngine, assignment: ShardAssignment, profile: RotaryProfile, sequence: KVSequence,
        peer: any RingPeer, stall: Duration, recorder: PassRecorder
    ) {
        self.engine = engine
        self.assignment = assignment
        self.sequence = sequence
        self.peer = peer
        self.stall = stall
        meter = recorder.meter
        angles = AngleTable(profile)
    }

    /// Computes one more token on the leader and returns the logits (vocabulary) of what follows it.
    /// - Parameter index: 0 for the first generated token, which stands at position `prompt tokens`.
    public func decode(token: Int32, index: Int) throws(ModelError) -> [Float] {
        guard index >= 0, index < assignment.maxTokens else {
            throw .ring(.invalidPlan("token \(index) of an answer of at most \(assignment.maxTokens)"))
        }
        return try lead([token], at: assignment.promptTokens + index)
    }

    /// Computes the prompt's tokens behind the past on the leader, and returns the logits (vocabulary) of what follows
    /// the last one.
    /// - Parameter tokens: all of them.
    public func extend(tokens: [Int32]) throws(ModelError) -> [Float] {
        guard tokens.count == assignment.promptTokens - assignment.past else {
            throw .ring(.invalidPlan("\(tokens.count) tokens came behind \(assignment.past)"))
        }
        var logits: [Float] = []
        for block in blocks {
            let part = tokens[block.lowerBound - assignment.past..<block.upperBound - assignment.past]
            logits = try lead(Array(part), at: block.lowerBound)
        }
        return logits
    }

    /// Tells the followers that there is nothing more to decode.
    public func end() throws(ModelError) {
        do throws(RingError) { try stationaryLeader().end() } catch { throw .ring(error) }
    }

    /// A follower's part of `extend`.
    public func followExtension() throws(ModelError) {
        for block in blocks {
            do throws(RingError) {
                try stationaryFollower().pass(at: block.lowerBound) { layer, position, payload in
                    try answer(layer: layer, rows: block.count, at: position, payload)
                }
            } catch { throw .ring(error) }
        }
    }

    /// A follower's part of decode: answers the leader's queries until it ends decoding.
    public func follow() throws(ModelError) {
        do throws(RingError) {
            try stationaryFollower().run(firstPosition: assignment.promptTokens) { layer, position, payload in
                try answer(layer: layer, rows: 1, at: position, payload)
            }
        } catch { throw .ring(error) }
    }

    // MARK: one pass over the layers

    /// Rows that go through the layers together where the prompt is extended: their queries, keys and values are one
    /// message, a partial of them is another.
    private var blocks: [Range<Int>] {
        let size = max(1, min(Self.mostRows, Self.messageBytes / (4 * rowWidth)))
        let (first, end) = (assignment.past, assignment.promptTokens)
        return stride(from: first, to: end, by: size).map { $0..<min($0 + size, end) }
    }

    private static let mostRows = 256
    /// A message of the ring takes 1 MiB.
    private static let messageBytes = 1 << 20
    /// Rows whose products read the quantised file; more are worth unpacked weights.
    private static let fewRows = 8

    private var queryWidth: Int { engine.attention.queryRowElements }
    private var kvWidth: Int { engine.model.shape.kvRowElements }
    /// Numbers of a row's query, key and value; a partial of it has fewer.
    private var rowWidth: Int { queryWidth + max(kvWidth, engine.model.shape.heads) }

    /// Takes tokens that stand one after another through all layers, on the leader.
    ///
    /// Each layer's queries travel to the ranks that hold keys and values, new keys and values with them to the ranks
    /// that keep them; the partials come back and are merged in rank order.
    /// - Returns: logits (vocabulary) of what follows the last one.
    private func lead(_ tokens: [Int32], at position: Int) throws(ModelError) -> [Float] {
        let (shape, count) = (engine.model.shape, tokens.count)
        let leader: StationaryLeader
        do throws(RingError) { leader = try stationaryLeader() } catch { throw .ring(error) }
        let x = Matrix(rows: count, columns: shape.hidden)
        try engine.embed(tokens, into: x)
        let cosine = Matrix(rows: count, columns: angles.pairs)
        let sine = Matrix(rows: count, columns: angles.pairs)
        let positions = position..<position + count
        engine.compute.fillAngles(angles, at: [positions], cosine: cosine, sine: sine)
        let inputs = Matrix(rows: count, columns: queryWidth + kvWidth)
        let queries = Matrix(rows: count, columns: queryWidth)
        let attended = Matrix(rows: count, columns: queryWidth)
        let owners = positions.map { assignment.layout.owner(of: $0) }
        let block = count > 1 ? try Block(count, engine) : nil

        for layer in 0..<shape.layers {
            let unpacked = count > Self.fewRows ? try engine.weights.layer(layer, keeping: false) : [:]
            try eachStep(of: count) { rows, step throws(ModelError) in
                step.begin(unpacked, cosine: cosine.rows(rows), sine: sine.rows(rows))
                inputs.rows(rows).copy(
                    from: try engine.model.family.attentionInputs(layer: layer, x.rows(rows), step))
            }
            queries.copy(leadingColumnsOf: inputs)
            try keep(inputs, of: owners, layer: layer)
            // Of those who are sent something.
            let values = leader.followers.isEmpty ? [] : inputs.values()
            do throws(RingError) {
                var partial = try leader.attend(
                    layer: layer, position: position, heads: count * shape.heads,
                    headSize: shape.headDimension,
                    query: { FloatPayload(values: message(values, of: owners, to: $0)) },
                    own: { attendOwn(queries, layer: layer, new: owners.count { $0 == assignment.rank }) })
                if let block { try partial.merge(block.attend(inputs, queries, layer: layer, engine)) }
                attended.copy(from: partial.output)
            } catch { throw .ring(error) }
            try eachStep(of: count) { rows, step throws(ModelError) in
                step.begin(unpacked)
                try engine.model.family.attentionOutputs(
                    layer: layer, attended: attended.rows(rows), addingTo: x.rows(rows), step)
            }
        }
        sequence.advance(by: owners.count { $0 == assignment.rank })
        if count > Self.fewRows { engine.weights.release(all: false) }
        return try engine.head(x.rows(count - 1..<count)).values()
    }

    /// Few rows go together with all threads, more in chunks of a thread each.
    private func eachStep(
        of count: Int, _ body: (Range<Int>, ForwardStep) throws(ModelError) -> Void
    ) throws(ModelError) {
        if count <= Self.fewRows { return try body(0..<count, engine.step) }
        try engine.eachChunk(of: count, body)
    }

    /// What a rank is sent: all queries, then the keys and values that it keeps.
    private func message(_ inputs: [Float], of owners: [Int], to rank: Int) -> [Float] {
        let width = queryWidth + kvWidth
        var message: [Float] = []
        message.reserveCapacity(owners.count * rowWidth)
        for row in owners.indices { message += inputs[row * width..<row * width + queryWidth] }
        for row in owners.indices where owners[row] == rank {
            message += inputs[row * width + queryWidth..<(row + 1) * width]
        }
        return message
    }

    /// Writes the keys and values that this rank keeps.
    private func keep(_ inputs: Matrix, of owners: [Int], layer: Int) throws(ModelError) {
        var next = sequence.written
        for row in owners.indices where owners[row] == assignment.rank {
            try engine.store(inputs.rows(row..<row + 1), layer: layer, firstRow: next, into: sequence)
            next += 1
        }
    }

    /// A follower's part of one layer.
    private func answer(
        layer: Int, rows count: Int, at position: Int, _ payload: any RingPayload
    ) throws -> AttentionPartial {
        let values = payload.floats()
        let new = (position..<position + count).count {
            assignment.layout.owner(of: $0) == assignment.rank
        }
        guard values.count == count * queryWidth + new * kvWidth else {
            throw RingError.protocolViolation(
                rank: assignment.leader,
                what: "queries of \(values.count) numbers; expected \(count * queryWidth), and "
                    + "\(new * kvWidth) more of new keys and values")
        }
        let row = sequence.written
        guard row + new <= sequence.capacity else {
            throw RingError.protocolViolation(
                rank: assignment.leader, what: "more keys and values than planned")
        }
        let queries = Matrix(
            rows: count, columns: queryWidth, values: Array(values.prefix(count * queryWidth)))
        if new > 0 {
            let mine = Matrix(
                rows: new, columns: kvWidth, values: Array(values[(count * queryWidth)...]))
            try engine.store(mine, keyColumn: 0, layer: layer, firstRow: row, into: sequence)
        }
        let partial = attendOwn(queries, layer: layer, new: new)
        // A row is written layer by layer, and counts when the last layer has it.
        if layer + 1 == engine.model.shape.layers { sequence.advance(by: new) }
        return partial
    }

    /// Attention over this rank's rows of a layer: all of them see them. One query sees its own key among them; of
    /// several the leader alone attends what stands between them.
    private func attendOwn(_ queries: Matrix, layer: Int, new: Int) -> AttentionPartial {
        let (shape, compute, attention) = (engine.model.shape, engine.compute, engine.attention)
        var partial = AttentionPartial(
            heads: queries.rows * shape.heads, headSize: shape.headDimension)
        let rows = sequence.written + (queries.rows == 1 ? new : 0)
        guard rows > 0 else { return partial }
        let pages = sequence.pages(layer: layer, rows: rows)
        guard queries.rows > 1 else {
            var (output, sums) = (partial.output, partial.logSumExp)
            queries.withRow(0) { query in
                var outputSpan = output.mutableSpan
                var sumSpan = sums.mutableSpan
                compute.attendOne(
                    query: query, over: pages, element: sequence.shape.element, shape: attention,
                    output: &outputSpan, logSumExp: &sumSpan)
            }
            (partial.output, partial.logSumExp) = (output, sums)
            return partial
        }
        // As if the rows were the first positions and the queries came behind them.
        let state = AttentionState(
            queriesAt: [rows..<rows + queries.rows], shape: attention, element: sequence.shape.element)
        for page in pages { compute.attend(queries: queries, over: page, into: state) }
        return engine.finish(queries, state)
    }

    private func stationaryFollower() throws(RingError) -> StationaryFollower {
        try StationaryFollower(
            peer: peer, rank: assignment.rank, leader: assignment.leader,
            layers: engine.model.shape.layers, stall: stall, meter: meter)
    }

    private func stationaryLeader() throws(RingError) -> StationaryLeader {
        try StationaryLeader(
            peer: peer, rank: assignment.rank, followers: assignment.followers, stall: stall,
            meter: meter)
    }
}

/// The keys and values of rows that go through the layers together, which the leader has all of.
private struct Block {
    private let rows: KVSequence

    init(_ count: Int, _ engine: LayerEngine) throws(ModelError) {
        do throws(KVError) {
            rows = try KVSequence(
                shape: engine.kvShape, capacity: count, memory: KVMemory(limit: .max))
        } catch { throw .memory(error) }
    }

    /// Causal attention of the rows among themselves.
    func attend(
        _ inputs: Matrix, _ queries: Matrix, layer: Int, _ engine: LayerEngine
    ) throws(RingError) -> AttentionPartial {
        do throws(ModelError) {
            try engine.store(inputs, layer: layer, firstRow: 0, into: rows)
        } catch { throw .attention("\(error)") }
        let state = AttentionState(
            queriesAt: [0..<queries.rows], shape: engine.attention, element: rows.shape.element)
        for page in rows.pages(layer: layer, rows: queries.rows) {
            engine.compute.attend(queries: queries, over: page, into: state)
        }
        return engine.finish(queries, state)
    }
}

extension LayerEngine {
    /// What queries have seen of all the keys that came.
    fileprivate func finish(_ queries: Matrix, _ state: AttentionState) -> AttentionPartial {
        compute.attendRest(queries: queries, last: true, into: state)
        let output = Matrix(rows: queries.rows, columns: queries.columns)
        let sums = Matrix(rows: queries.rows, columns: attention.heads)
        compute.finish(0..<queries.rows, of: state, into: output, logSumExp: sums)
        var partial = AttentionPartial(
            heads: queries.rows * attention.heads, headSize: attention.headDimension)
        partial.output = output.values()
        partial.logSumExp = sums.values()
        return partial
    }
}

/// Numbers on their way to a peer: queries, new keys and values.
private struct FloatPayload: RingPayload {
    let values: [Float]

    var count: Int { values.count * MemoryLayout<Float>.stride }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try values.withUnsafeBytes(body)
    }
}

extension RingPayload {
    /// The payload as little-endian fp32 numbers; a rest that is no whole number is left out.
    func floats() -> [Float] {
        withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                Float(bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self).littleEndian)
            }
        }
    }
}
