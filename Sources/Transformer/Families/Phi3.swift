// The phi3 family: Phi-3, Phi-3.5 and Phi-4 mini. Q, K and V lie in one tensor, gate and up in another (gate first).
// The halves of a head rotate against each other.
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
            func name(_ part: String) -> String { "blk.\(i).\(part).weight" }
            layers.append(
                GatedDecoderLayer(
                    attentionNorm: try find.vector(name("attn_norm"), count: d),
                    queryKeyValue: try find.linear((name("attn_qkv"), q + 2 * kv), inputs: d),
                    output: try find.linear((name("attn_output"), d), inputs: q),
                    feedForwardNorm: try find.vector(name("ffn_norm"), count: d),
                    gateUp: try find.linear((name("ffn_up"), 2 * f), inputs: d),
                    down: try find.linear((name("ffn_down"), d), inputs: f)))
        }
        self.layers = layers
    }
}
