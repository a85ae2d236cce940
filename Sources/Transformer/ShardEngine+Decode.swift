// Decode: the leader computes the token, every rank attends its own keys and values.
import Kernels
import LongRoPE
import RingAttention

extension ShardEngine {
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
        let shape = model.shape
        let leader: StationaryLeader
        let owner = assignment.layout.owner(of: position)
        do throws(RingError) {
            leader = try stationaryLeader()
        } catch { throw .ring(error) }
        let x = Matrix(rows: 1, columns: shape.hidden)
        try embed([token], into: x)
        let cosine = Matrix(rows: 1, columns: angles.pairs)
        let sine = Matrix(rows: 1, columns: angles.pairs)
        compute.fillAngles(angles, at: [position..<position + 1], cosine: cosine, sine: sine)
        let attended = Matrix(rows: 1, columns: shape.heads * shape.headDimension)
        let row = kvRows
        if owner == assignment.rank { kvRows += 1 }

        for layer in 0..<shape.layers {
            step.begin(cosine: cosine, sine: sine)
            let inputs = try model.family.attentionInputs(layer: layer, x, step)
            if owner == assignment.rank { try store(inputs, layer: layer, firstRow: row) }
            let withKV = inputs.values()
            let query = Array(withKV.prefix(attended.columns))
            do throws(RingError) {
                let partial = try leader.attend(
                    layer: layer, position: position, heads: shape.heads, headSize: shape.headDimension,
                    query: { FloatPayload(values: $0 == owner ? withKV : query) },
                    own: { attendOwn(query: query, layer: layer) })
                attended.copy(from: partial.output)
            } catch { throw .ring(error) }
            try model.family.attentionOutputs(layer: layer, attended: attended, addingTo: x, step)
        }
        return try head(x).values()
    }

    /// Tells the followers that there is nothing more to decode.
    public func endDecode() throws(ModelError) {
        do throws(RingError) { try stationaryLeader().end() } catch { throw .ring(error) }
    }

    /// A follower's part of decode: answers the leader's queries until it ends decoding.
    public func follow() throws(ModelError) {
        let shape = model.shape
        let queryCount = shape.heads * shape.headDimension
        let kvCount = shape.kvHeads * shape.headDimension
        let leader = assignment.leader
        do throws(RingError) {
            let follower = try StationaryFollower(
                peer: peer, rank: assignment.rank, leader: leader, layers: shape.layers, stall: stall,
                meter: meter)
            try follower.run(firstPosition: assignment.promptTokens) { layer, _, payload in
                let values = payload.floats()
                guard values.count == queryCount || values.count == queryCount + 2 * kvCount else {
                    throw RingError.protocolViolation(
                        rank: leader,
                        what:
                            "a query of \(values.count) numbers; expected \(queryCount), and \(2 * kvCount) more "
                            + "with a new key and value")
                }
                if values.count > queryCount {
                    let row = layer == 0 ? kvRows : kvRows - 1
                    guard row < kv.capacity else {
                        throw RingError.protocolViolation(
                            rank: leader, what: "more keys and values than planned")
                    }
                    if layer == 0 { kvRows += 1 }
                    try store(
                        Matrix(rows: 1, columns: values.count, values: values), layer: layer, firstRow: row)
                }
                return attendOwn(query: Array(values.prefix(queryCount)), layer: layer)
            }
        } catch { throw .ring(error) }
    }

    private func stationaryLeader() throws(RingError) -> StationaryLeader {
        try StationaryLeader(
            peer: peer, rank: assignment.rank, followers: assignment.followers, stall: stall,
            meter: meter)
    }

    /// Attention of one token's query over this rank's rows of a layer.
    private func attendOwn(query: [Float], layer: Int) -> AttentionPartial {
        let nothing = AttentionPartial(heads: model.shape.heads, headSize: model.shape.headDimension)
        guard kvRows > 0 else { return nothing }
        var output = nothing.output
        var logSumExp = nothing.logSumExp
        do {
            var outputSpan = output.mutableSpan
            var logSumExpSpan = logSumExp.mutableSpan
            compute.attendOne(
                query: query.span, over: UnsafeRawBufferPointer(kv.rows(layer: layer)), count: kvRows,
                element: kv.element, shape: attention, output: &outputSpan, logSumExp: &logSumExpSpan)
        }
        var partial = nothing
        partial.output = output
        partial.logSumExp = logSumExp
        return partial
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
