// What a family of models is to Lariat, and the layer that most of them have.
//
// A family is one file in Families/: it finds its tensors and says what stands before and after attention.
// Attention itself is asked for by the caller (ShardEngine), because the keys and values are spread over workers.
import GGUF
import Kernels

/// A product with a model's weights. Its identity is what an unpacked copy is kept under.
final class Linear: Sendable {
    /// (outputs, inputs), quantised as in the file.
    let weights: WeightStack

    init(_ weights: WeightStack) { self.weights = weights }
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
/// The products have no biases.
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

    /// Matrices of these many outputs each that are computed together.
    func linear(_ parts: (name: String, outputs: Int)..., inputs: Int) throws(ModelError) -> Linear {
        var matrices: [WeightMatrix] = []
        for part in parts { matrices.append(try matrix(part.name, outputs: part.outputs, inputs: inputs)) }
        do throws(KernelError) { return Linear(try WeightStack(matrices)) } catch { throw .kernel(error) }
    }

    func has(_ name: String) -> Bool { file.tensors[name] != nil }

    private func find(_ name: String) throws(ModelError) -> GGUFTensor {
        do throws(GGUFError) { return try file.tensor(name) } catch { throw .file(error) }
    }
}
