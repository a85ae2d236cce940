// One rank of a ring in a test: its passes, and the sequence that they work on.
import KVCache
import Kernels
import RingAttention
import Transformer

/// What a worker has of a run.
struct Shard {
    let assignment: ShardAssignment
    let sequence: KVSequence
    let pass: PrefillPass
    let stationary: StationaryPass
    /// This rank's tokens that are computed, in buffer order.
    let tokens: [Int32]

    /// A row of the prompt: its position, and which of this rank's rows it is.
    struct Row {
        let position: Int
        let row: Int
        let logits: [Float]
    }

    /// Prefills slab after slab; calls `body` after each with the slab and which of `tokens` are in it.
    func prefill(_ body: (Range<Int>, Range<Int>) throws -> Void = { _, _ in }) throws {
        var first = 0
        for slab in assignment.slabs {
            let part = first..<first + assignment.rows(of: slab).count
            first = part.upperBound
            try pass.prefill(slab: slab, tokens: Array(tokens[part])) { _ in }
            try body(slab, part)
        }
    }

    /// Prefills, and gives the logits of every token that was computed.
    func prefilledRows() throws -> [Row] {
        var rows: [Row] = []
        try prefill { slab, _ in
            let positions = assignment.runs(in: slab).flatMap { Array($0) }
            let first = assignment.rows(of: slab).lowerBound
            try pass.eachLogits { range, logits in
                for (at, index) in range.enumerated() {
                    rows.append(
                        Row(
                            position: positions[index], row: first + index,
                            logits: logits.withRow(at) { row in row.indices.map { row[$0] } }))
                }
            }
        }
        return rows
    }

    /// A row's keys and values in all layers, as they lie in memory.
    func keyValues(row: Int) -> [UInt8] {
        (0..<sequence.shape.layers).flatMap { layer in
            sequence.payload(layer: layer, rows: row..<row + 1).withUnsafeBytes { Array($0) }
        }
    }
}
