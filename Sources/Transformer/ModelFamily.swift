// What a family of models is to Lariat, and the layer that most of them have.
//
// A family is one file in Families/: it finds its tensors and says what stands before and after attention.
// Attention itself is asked for by the caller (PrefillPass, StationaryPass), because the keys and values are spread over workers.
import GGUF
import Kernels

/// A product with a model's weights, and what is added to it. Its identity is what an unpacked copy is kept under.
final class Linear: Sendable {
    /// (outputs, inputs), quantised as in the file.
    let weights: WeightStack
    /// (outputs), added to every row of the product; nil: nothing is.
    let bias: [Float]?

    init(_ weights: WeightStack, bias: [Float]? = nil) {
        self.weights = weights
        self.bias = bias
    }
}

/// A family of decoder models. Rows are tokens of this worker's shard in all of its functions.
protocol ModelFamily: Sendable {
    /// `general.architecture` of its files.
    static var architecture: String { get }

    /// Takes its tensors from the file. Those that neither it nor `Model` takes make the file one that is refused.
    init(_ find: TensorFinder, shape: ModelShape) throws(ModelError)

    /// Where the two halves of a rotated pair lie.
    var rotation: RotaryLayout { get }

    /// The products of a layer, in a fixed order with the same sizes in every layer.
    func linears(ofLayer layer: Int) -> [Linear]

    /// From the residual stream (n, hidden) to what attention takes (n, heads + 2 * kv heads, head size): rotated
    /// queries, rotated keys, then values.
    func attentionInputs(layer: Int, _ x: Matrix, _ step: ForwardStep) throws(ModelError) -> Matrix

    /// Adds what a layer makes of its attention (n, heads * head size) to the residual stream (n, hidden).
    func attentionOutputs(
        layer: Int, attended: Matrix, addingTo x: Matrix, _ step: ForwardStep
    ) throws(ModelError)
}

/// The families there are. A new one is added here and in one file of its own.
let modelFamilies: [any ModelFamily.Type] = [Llama.self, Phi3.self]

/// RMS norm, attention, RMS norm, gated feed-forward (SwiGLU): the layer of Llama and of Phi-3.
/// Each product may have a bias.
struct GatedDecoderLayer: Sendable {
    let attentionNorm: [Float]
    let queryKeyValue: Linear
    let output: Linear
    let feedForwardNorm: [Float]
    let gateUp: Linear
    let down: Linear

    var linears: [Linear] { [queryKeyValue, output, gateUp, down] }

    func attentionInputs(_ x: Matrix, _ step: ForwardStep) throws(ModelError) -> Matrix {
        let inputs = try step.linear(step.rmsNorm(x, attentionNorm), queryKeyValue)
        step.rotateQueriesAndKeys(inputs)
        return inputs
    }

    func attentionOutputs(attended: Matrix, addingTo x: Matrix, _ step: ForwardStep) throws(ModelError) {
        try step.linear(attended, output, addingTo: x)
        let a = step.swiGLU(gateUp: try step.linear(step.rmsNorm(x, feedForwardNorm), gateUp))
        try step.linear(a, down, addingTo: x)
    }
}

/// A family whose layers are all of that kind: it only has to find their tensors.
protocol GatedDecoder: ModelFamily {
    var layers: [GatedDecoderLayer] { get }
}

extension GatedDecoder {
    /// The product that gives queries, keys and values together: one tensor or three in the file, and so its biases.
    static func queryKeyValue(
        layer i: Int, _ find: TensorFinder, _ shape: ModelShape
    ) throws(ModelError) -> Linear {
        let (q, kv) = (shape.heads * shape.headDimension, shape.kvHeads * shape.headDimension)
        let together = ("blk.\(i).attn_qkv", q + 2 * kv)
        let apart = [("blk.\(i).attn_q", q), ("blk.\(i).attn_k", kv), ("blk.\(i).attn_v", kv)]
        let isOne = find.has("\(together.0).weight")
        return try find.linear(
            weights: isOne ? [together] : apart,
            biases: isOne && find.has("\(together.0).bias") ? [together] : apart, inputs: shape.hidden)
    }

    func linears(ofLayer layer: Int) -> [Linear] { layers[layer].linears }

    func attentionInputs(layer: Int, _ x: Matrix, _ step: ForwardStep) throws(ModelError) -> Matrix {
        try layers[layer].attentionInputs(x, step)
    }

    func attentionOutputs(
        layer: Int, attended: Matrix, addingTo x: Matrix, _ step: ForwardStep
    ) throws(ModelError) {
        try layers[layer].attentionOutputs(attended: attended, addingTo: x, step)
    }
}
