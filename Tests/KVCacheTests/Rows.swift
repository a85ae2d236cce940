// Rows whose bytes say where they belong, and how tests write and read them.
import KVCache
import Kernels
import RingAttention
import Testing

/// Rows of a page (see `KVPage`), as the tests count them.
let pageRows = 1024

let smallShape = KVShape(layers: 2, rowElements: 4, element: .bf16)

extension KVSequence {
    /// Writes rows up to `end` in all layers: each byte tells `seed`, layer and row.
    func write(upTo end: Int, seed: Int = 0) {
        for layer in 0..<shape.layers {
            withRows(written..<end, layer: layer) { first, memory in
                for at in memory.indices {
                    memory[at] = Self.byte(seed, layer, first + at / shape.rowBytes, at % shape.rowBytes)
                }
            }
        }
        advance(by: end - written)
    }

    static func byte(_ seed: Int, _ layer: Int, _ row: Int, _ column: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: seed &* 131 &+ layer &* 53 &+ row &* 7 &+ row / 256 &* 11 &+ column)
    }

    /// The bytes of some rows of a layer.
    func bytes(_ rows: Range<Int>, layer: Int) -> [UInt8] {
        payload(layer: layer, rows: rows).withUnsafeBytes { Array($0) }
    }

    /// The bytes of all written rows, layer by layer.
    var allBytes: [UInt8] { (0..<shape.layers).flatMap { bytes(0..<written, layer: $0) } }

    /// Whether all written rows are those that `write` wrote with `seed`.
    func isWritten(seed: Int = 0) -> Bool {
        (0..<shape.layers).allSatisfy { layer in
            bytes(0..<written, layer: layer).enumerated().allSatisfy {
                $1 == Self.byte(seed, layer, $0 / shape.rowBytes, $0 % shape.rowBytes)
            }
        }
    }
}

/// A written sequence.
func sequence(
    rows: Int, capacity: Int? = nil, seed: Int = 0, shape: KVShape = smallShape, memory: KVMemory
) throws -> KVSequence {
    let sequence = try KVSequence(shape: shape, capacity: capacity ?? rows, memory: memory)
    sequence.write(upTo: rows, seed: seed)
    return sequence
}

/// A sequence as the only rank of a ring has it.
func part(_ rows: KVSequence, profile: String = "profile") throws -> SequencePart {
    SequencePart(
        rank: 0, layout: try Layout(stripeTokens: 128, weights: [1]), tokens: rows.written, profile: profile,
        rows: rows)
}
