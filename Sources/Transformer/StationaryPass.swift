// Decode: the leader computes the token, every rank attends its own keys and values.
public import KVCache
import Kernels
public import LongRoPE
public import RingAttention

/// One rank's part of continuing a sequence token by token. Keys and values stay where they are. Confined to the
/// engine's thread.
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
    ///
    /// Each layer's query travels to the ranks that hold keys and values, the new key and value with it to the rank
    /// that keeps them; the partials come back and are merged in rank order.
    /// - Parameter index: 0 for the first generated token, which stands at position `prompt tokens`.
    public func decode(token: Int32, index: Int) throws(ModelError) -> [Float] {
        let position = assignment.promptTokens + index
        guard index >= 0, index < assignment.maxTokens else {
            throw .ring(.invalidPlan("token \(index) of an answer of at most \(assignment.maxTokens)"))
        }
        let (shape, compute, step) = (engine.model.shape, engine.compute, engine.step)
        let leader: StationaryLeader
        let owner = assignment.layout.owner(of: position)
        do throws(RingError) {
            leader = try stationaryLeader()
        } catch { throw .ring(error) }
        let x = Matrix(rows: 1, columns: shape.hidden)
        try engine.embed([token], into: x)
        let cosine = Matrix(rows: 1, columns: angles.pairs)
        let sine = Matrix(rows: 1, columns: angles.pairs)
        compute.fillAngles(angles, at: [position..<position + 1], cosine: cosine, sine: sine)
        let attended = Matrix(rows: 1, columns: shape.heads * shape.headDimension)
        let isOwn = owner == assignment.rank
        let row = sequence.written

        for layer in 0..<shape.layers {
            step.begin(cosine: cosine, sine: sine)
            let inputs = try engine.model.family.attentionInputs(layer: layer, x, step)
            if isOwn { try engine.store(inputs, layer: layer, firstRow: row, into: sequence) }
            let withKV = inputs.values()
            let query = Array(withKV.prefix(attended.columns))
            do throws(RingError) {
                let partial = try leader.attend(
                    layer: layer, position: position, heads: shape.heads, headSize: shape.headDimension,
                    query: { FloatPayload(values: $0 == owner ? withKV : query) },
                    own: { attendOwn(query: query, layer: layer, rows: row + (isOwn ? 1 : 0)) })
                attended.copy(from: partial.output)
            } catch { throw .ring(error) }
            try engine.model.family.attentionOutputs(layer: layer, attended: attended, addingTo: x, step)
        }
        if isOwn { sequence.advance(by: 1) }
        return try engine.head(x).values()
    }

    /// Tells the followers that there is nothing more to decode.
    public func end() throws(ModelError) {
        do throws(RingError) { try stationaryLeader().end() } catch { throw .ring(error) }
    }

    /// A follower's part of decode: answers the leader's queries until it ends decoding.
    public func follow() throws(ModelError) {
        let shape = engine.model.shape
        let queryCount = shape.heads * shape.headDimension
        let kvCount = shape.kvHeads * shape.headDimension
        let leader = assignment.leader
        do throws(RingError) {
            let follower = try StationaryFollower(
                peer: peer, rank: assignment.rank, leader: leader, layers: shape.layers, stall: stall,
                meter: meter)
            // A token's row is written layer by layer, and counts when the last layer has it.
            try follower.run(firstPosition: assignment.promptTokens) { layer, _, payload in
                let values = payload.floats()
                guard values.count == queryCount || values.count == queryCount + 2 * kvCount else {
                    throw RingError.protocolViolation(
                        rank: leader,
                        what:
                            "a query of \(values.count) numbers; expected \(queryCount), and \(2 * kvCount) more "
                            + "with a new key and value")
                }
                let row = sequence.written
                var rows = row
                if values.count > queryCount {
                    guard row < sequence.capacity else {
                        throw RingError.protocolViolation(
                            rank: leader, what: "more keys and values than planned")
                    }
                    try engine.store(
                        Matrix(rows: 1, columns: values.count, values: values), layer: layer, firstRow: row,
                        into: sequence)
                    rows += 1
                    if layer + 1 == shape.layers { sequence.advance(by: 1) }
                }
                return attendOwn(query: Array(values.prefix(queryCount)), layer: layer, rows: rows)
            }
        } catch { throw .ring(error) }
    }

    private func stationaryLeader() throws(RingError) -> StationaryLeader {
        try StationaryLeader(
            peer: peer, rank: assignment.rank, followers: assignment.followers, stall: stall,
            meter: meter)
    }

    /// Attention of one token's query over this rank's first `rows` rows of a layer.
    private func attendOwn(query: [Float], layer: Int, rows: Int) -> AttentionPartial {
        let nothing = AttentionPartial(
            heads: engine.model.shape.heads, headSize: engine.model.shape.headDimension)
        guard rows > 0 else { return nothing }
        var output = nothing.output
        var logSumExp = nothing.logSumExp
        do {
            var outputSpan = output.mutableSpan
            var logSumExpSpan = logSumExp.mutableSpan
            engine.compute.attendOne(
                query: query.span, over: sequence.pages(layer: layer, rows: rows),
                element: sequence.shape.element, shape: engine.attention, output: &outputSpan,
                logSumExp: &logSumExpSpan)
        }
        var partial = nothing
        partial.output = output
        partial.logSumExp = logSumExp
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
