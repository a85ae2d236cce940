// The phi3 family: Phi-3, Phi-3.5 and Phi-4 mini. Q, K and V lie in one tensor, gate and up in another (gate first);
// rows of a tensor are contiguous, so the parts are slices of it. The halves of a head rotate against each other.
public import GGUF
public import Kernels

public struct Phi3: ModelFamily {
    public static let architecture = "phi3"
    public let rotation = RotaryLayout.halfSplit
    private let layers: [GatedDecoderLayer]

    public init(file: GGUFFile, shape: ModelShape) throws(ModelError) {
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

    public func linears(ofLayer layer: Int) -> [Linear] { layers[layer].linears }

    public func attentionInputs(layer: Int, _ x: Matrix, _ step: ForwardStep) throws(ModelError)
        -> AttentionInputs
    {
        try layers[layer].attentionInputs(x, step)
    }

    public func attentionOutputs(
        layer: Int, attended: Matrix, addingTo x: Matrix, _ step: ForwardStep
    ) throws(ModelError) {
        try layers[layer].attentionOutputs(attended: attended, addingTo: x, step)
    }
}
