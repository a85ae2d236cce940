// The phi3 family: Phi-3, Phi-3.5 and Phi-4 mini. Q, K and V lie in one tensor, gate and up in another (gate first);
// rows of a tensor are contiguous, so the parts are slices of it. The halves of a head rotate against each other.
import GGUF
import Kernels

struct Phi3: GatedDecoder {
    static let architecture = "phi3"
    let rotation = RotaryLayout.halfSplit
    let layers: [GatedDecoderLayer]

    init(file: GGUFFile, shape: ModelShape) throws(ModelError) {
        let find = try TensorFinder(file: file)
        let (d, f) = (shape.hidden, shape.feedForward)
        let (q, kv) = (shape.heads * shape.headDimension, shape.kvHeads * shape.headDimension)
        var layers: [GatedDecoderLayer] = []
        for i in 0..<shape.layers {
            let qkv = try find.matrix("blk.\(i).attn_qkv.weight", outputs: q + 2 * kv, inputs: d)
            let gateUp = try find.matrix("blk.\(i).ffn_up.weight", outputs: 2 * f, inputs: d)
            layers.append(
                GatedDecoderLayer(
                    attentionNorm: try find.vector("blk.\(i).attn_norm.weight", count: d),
                    query: Linear(try find.slice(qkv, rows: 0..<q)),
                    key: Linear(try find.slice(qkv, rows: q..<q + kv)),
                    value: Linear(try find.slice(qkv, rows: q + kv..<q + 2 * kv)),
                    output: Linear(try find.matrix("blk.\(i).attn_output.weight", outputs: d, inputs: q)),
                    feedForwardNorm: try find.vector("blk.\(i).ffn_norm.weight", count: d),
                    gate: Linear(try find.slice(gateUp, rows: 0..<f)),
                    up: Linear(try find.slice(gateUp, rows: f..<2 * f)),
                    down: Linear(try find.matrix("blk.\(i).ffn_down.weight", outputs: d, inputs: f))))
        }
        self.layers = layers
    }
}
