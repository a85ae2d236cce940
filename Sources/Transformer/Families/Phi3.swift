// The phi3 family: Phi-3, Phi-3.5 and Phi-4 mini. Q, K and V lie in one tensor, gate and up in another (gate first).
// The halves of a head rotate against each other.
import Kernels

struct Phi3: GatedDecoder {
    static let architecture = "phi3"
    let rotation = RotaryLayout.halfSplit
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
                    gateUp: try find.linear((name("ffn_up"), 2 * f), inputs: d),
                    down: try find.linear((name("ffn_down"), d), inputs: f)))
        }
        self.layers = layers
    }
}
