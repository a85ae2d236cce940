// The llama family: SmolLM2, Llama 2 and 3, Mistral. Separate Q, K, V, gate and up; adjacent pairs rotate
// (the GGUF converter permutes the rows of Q and K for that).
import GGUF
import Kernels

struct Llama: GatedDecoder {
    static let architecture = "llama"
    let rotation = RotaryLayout.adjacentPairs
    let layers: [GatedDecoderLayer]

    init(file: GGUFFile, shape: ModelShape) throws(ModelError) {
        let find = try TensorFinder(file: file)
        let (d, f) = (shape.hidden, shape.feedForward)
        let (q, kv) = (shape.heads * shape.headDimension, shape.kvHeads * shape.headDimension)
        guard !find.has("blk.0.ffn_gate_inp.weight") else {
            throw .unsupported("\(file.path): mixture-of-experts layers are not supported")
        }
        guard !find.has("blk.0.attn_q.bias") else {
            throw .unsupported("\(file.path): attention biases are not supported in the llama family")
        }
        var layers: [GatedDecoderLayer] = []
        for i in 0..<shape.layers {
            func name(_ part: String) -> String { "blk.\(i).\(part).weight" }
            layers.append(
                GatedDecoderLayer(
                    attentionNorm: try find.vector(name("attn_norm"), count: d),
                    queryKeyValue: try find.linear(
                        (name("attn_q"), q), (name("attn_k"), kv), (name("attn_v"), kv), inputs: d),
                    output: try find.linear((name("attn_output"), d), inputs: q),
                    feedForwardNorm: try find.vector(name("ffn_norm"), count: d),
                    gateUp: try find.linear((name("ffn_gate"), f), (name("ffn_up"), f), inputs: d),
                    down: try find.linear((name("ffn_down"), d), inputs: f)))
        }
        self.layers = layers
    }
}
