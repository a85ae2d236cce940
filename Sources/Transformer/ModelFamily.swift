// What a family of models is to Lariat, and the layer that most of them have.
//
// A family is one file in Families/: it finds its tensors and says what stands before and after attention.
// Attention itself is asked for by the caller (ShardEngine), because the keys and values are spread over workers.
import GGUF
import Kernels

/// A matrix product with a model's weights. Its identity is what a packed copy is kept under.
final class Linear: Sendable {
    /// (outputs, inputs), quantised as in the file.
    let weights: WeightMatrix

    init(_ weights: WeightMatrix) { self.weights = weights }
}

/// What a layer hands to attention: rotated queries (n, heads * head size), rotated keys and values
/// (n, kv heads * head size).
struct AttentionInputs {
    let queries: Matrix
    let keys: Matrix
    let values: Matrix
}

/// A family of decoder models. Rows are tokens of this worker's shard in all of its functions.
protocol ModelFamily: Sendable {
    /// `general.architecture` of its files.
    static var architecture: String { get }

    init(file: GGUFFile, shape: ModelShape) throws(ModelError)

    /// Where the two halves of a rotated pair lie.
    var rotation: RotaryLayout { get }

    /// The products of a layer, in a fixed order with the same sizes in every layer.
    func linears(ofLayer layer: Int) -> [Linear]

    /// From the residual stream (n, hidden) to queries, keys and values.
    func attentionInputs(layer: Int, _ x: Matrix, _ step: ForwardStep) throws(ModelError) -> AttentionInputs

    /// Adds what a layer makes of its attention (n, heads * head size) to the residual stream (n, hidden).
    func attentionOutputs(
        layer: Int, attended: Matrix, addingTo x: Matrix, _ step: ForwardStep
    ) throws(ModelError)
}

/// The families there are. A new one is added here and in one file of its own.
let modelFamilies: [any ModelFamily.Type] = [Llama.self, Phi3.self]

/// RMS norm, attention, RMS norm, gated feed-forward (SwiGLU): the layer of Llama and of Phi-3.
/// The products have no biases.
struct GatedDecoderLayer: Sendable {
    let attentionNorm: [Float]
    let query: Linear
    let key: Linear
    let value: Linear
    let output: Linear
    let feedForwardNorm: [Float]
    let gate: Linear
    let up: Linear
    let down: Linear

    var linears: [Linear] { [query, key, value, output, gate, up, down] }

    func attentionInputs(_ x: Matrix, _ step: ForwardStep) throws(ModelError) -> AttentionInputs {
        let h = step.rmsNorm(x, attentionNorm)
        let q = try step.linear(h, query)
        let k = try step.linear(h, key)
        let v = try step.linear(h, value)
        step.rotate(q)
        step.rotate(k)
        return AttentionInputs(queries: q, keys: k, values: v)
    }

    func attentionOutputs(attended: Matrix, addingTo x: Matrix, _ step: ForwardStep) throws(ModelError) {
        try step.linear(attended, output, addingTo: x)
        let h = step.rmsNorm(x, feedForwardNorm)
        let a = step.swiGLU(gate: try step.linear(h, gate), up: try step.linear(h, up))
        try step.linear(a, down, addingTo: x)
    }
}

/// A family whose layers are all of that kind: it only has to find their tensors.
protocol GatedDecoder: ModelFamily {
    var layers: [GatedDecoderLayer] { get }
}

extension GatedDecoder {
    func linears(ofLayer layer: Int) -> [Linear] { layers[layer].linears }

    func attentionInputs(layer: Int, _ x: Matrix, _ step: ForwardStep) throws(ModelError) -> AttentionInputs {
        try layers[layer].attentionInputs(x, step)
    }

    func attentionOutputs(
        layer: Int, attended: Matrix, addingTo x: Matrix, _ step: ForwardStep
    ) throws(ModelError) {
        try layers[layer].attentionOutputs(attended: attended, addingTo: x, step)
    }
}

/// Finds tensors by name and checks their sizes, so that no kernel meets a matrix of another shape.
struct TensorFinder {
    let file: GGUFFile
    /// Unpacks the few small vectors while a file is opened.
    private let unpacking: Compute

    init(file: GGUFFile) throws(ModelError) {
        self.file = file
        do throws(KernelError) {
            unpacking = try Compute(threads: 1, isa: .scalar, precision: .f32)
        } catch { throw .kernel(error) }
    }

    /// A matrix of `outputs` x `inputs`.
    func matrix(_ name: String, outputs: Int, inputs: Int) throws(ModelError) -> WeightMatrix {
        let tensor = try find(name)
        guard tensor.dimensions.count <= 2, tensor.rows == outputs, tensor.columns == inputs else {
            throw .unsupported(
                "\(file.path): tensor \(name) is \(tensor.dimensions), expected [\(inputs), \(outputs)]")
        }
        return try weights(tensor)
    }

    /// A vector of `count` numbers, as fp32.
    func vector(_ name: String, count: Int) throws(ModelError) -> [Float] {
        let tensor = try find(name)
        guard tensor.rows == 1, tensor.columns == count else {
            throw .unsupported("\(file.path): tensor \(name) is \(tensor.dimensions), expected [\(count)]")
        }
        do throws(KernelError) { return try unpacking.vector(tensor) } catch { throw .kernel(error) }
    }

    private func weights(_ tensor: GGUFTensor) throws(ModelError) -> WeightMatrix {
        do throws(KernelError) { return try WeightMatrix(tensor) } catch { throw .kernel(error) }
    }

    /// Some outputs of a matrix.
    func slice(_ matrix: WeightMatrix, rows: Range<Int>) throws(ModelError) -> WeightMatrix {
        do throws(KernelError) { return try matrix.slice(rows: rows) } catch { throw .kernel(error) }
    }

    func has(_ name: String) -> Bool { file.tensors[name] != nil }

    private func find(_ name: String) throws(ModelError) -> GGUFTensor {
        do throws(GGUFError) { return try file.tensor(name) } catch { throw .file(error) }
    }
}
