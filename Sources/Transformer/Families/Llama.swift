// The llama family: SmolLM2, Llama 2 and 3, Mistral. Separate Q, K, V, gate and up; adjacent pairs rotate
// (the GGUF converter permutes the rows of Q and K for that).
import Kernels

struct Llama: GatedDecoder {
    static let architecture = "llama"
    let rotation = RotaryLayout.adjacentPairs
    let layers: [GatedDecoderLayer]

    init(_ find: TensorFinder, shape: ModelShape) throws(ModelError) {
        let (d, f) = (shape.hidden, shape.feedForward)
        var layers: [GatedDecoderLayer] = []
        for i in 0..<shape.layers {
            func name(_ part: String) -> String { "blk.\(i).\(part)" }
            layers.append(
                GatedDecoderLayer(
                    attentionNorm: try find.vector(name("attn_norm.weight"), count: d),
                    queryKeyValue: try Self.queryKeyValue(layer: i, find, shape),
                    output: try find.linear(
                        (name("attn_output"), d), inputs: shape.heads * shape.headDimension),
                    feedForwardNorm: try find.vector(name("ffn_norm.weight"), count: d),
                    gateUp: try find.linear((name("ffn_gate"), f), (name("ffn_up"), f), inputs: d),
                    down: try find.linear((name("ffn_down"), d), inputs: f)))
        }
        self.layers = layers
    }
}
