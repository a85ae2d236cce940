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
            func linear(_ name: String, outputs: Int, inputs: Int) throws(ModelError) -> Linear {
                Linear(try find.matrix("blk.\(i).\(name).weight", outputs: outputs, inputs: inputs))
            }
            layers.append(
                GatedDecoderLayer(
                    attentionNorm: try find.vector("blk.\(i).attn_norm.weight", count: d),
                    query: try linear("attn_q", outputs: q, inputs: d),
                    key: try linear("attn_k", outputs: kv, inputs: d),
                    value: try linear("attn_v", outputs: kv, inputs: d),
                    output: try linear("attn_output", outputs: d, inputs: q),
                    feedForwardNorm: try find.vector("blk.\(i).ffn_norm.weight", count: d),
                    gate: try linear("ffn_gate", outputs: f, inputs: d),
                    up: try linear("ffn_up", outputs: f, inputs: d),
                    down: try linear("ffn_down", outputs: d, inputs: f)))
        }
        self.layers = layers
    }
}
