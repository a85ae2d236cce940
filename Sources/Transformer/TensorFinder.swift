// Finding a model's tensors: by name, in the right size, and none left over.
import GGUF
import Kernels

/// Finds tensors by name and checks their sizes, so that no kernel meets a matrix of another shape. It knows which
/// tensors were taken: one that nobody takes would change the answer if it were left out.
final class TensorFinder {
    let file: GGUFFile
    private var taken: Set<String> = []
    /// Unpacks the few small vectors while a file is opened.
    private let unpacking: Compute

    init(file: GGUFFile) throws(ModelError) {
        self.file = file
        do throws(KernelError) {
            unpacking = try Compute(threads: 1, isa: .scalar, precision: .f32)
        } catch { throw .kernel(error) }
    }

    func has(_ name: String) -> Bool { file.tensors[name] != nil }

    /// A matrix of `outputs` x `inputs`.
    func matrix(_ name: String, outputs: Int, inputs: Int) throws(ModelError) -> WeightMatrix {
        let tensor = try take(name)
        guard tensor.dimensions.count <= 2, tensor.rows == outputs, tensor.columns == inputs else {
            throw .unsupported(
                "\(file.path): tensor \(name) is \(tensor.dimensions), expected [\(inputs), \(outputs)]")
        }
        do throws(KernelError) { return try WeightMatrix(tensor) } catch { throw .kernel(error) }
    }

    /// A vector of `count` numbers, as fp32.
    func vector(_ name: String, count: Int) throws(ModelError) -> [Float] {
        let tensor = try take(name)
        guard tensor.rows == 1, tensor.columns == count else {
            throw .unsupported("\(file.path): tensor \(name) is \(tensor.dimensions), expected [\(count)]")
        }
        do throws(KernelError) { return try unpacking.vector(tensor) } catch { throw .kernel(error) }
    }

    /// A product with matrices of these many outputs each that are computed together.
    /// - Parameter parts: names without the `.weight` and the `.bias` behind them; biases need not be there.
    func linear(_ parts: (name: String, outputs: Int)..., inputs: Int) throws(ModelError) -> Linear {
        try linear(weights: parts, biases: parts, inputs: inputs)
    }

    /// The same, where weights and biases are cut in different parts.
    func linear(
        weights: [(name: String, outputs: Int)], biases: [(name: String, outputs: Int)], inputs: Int
    ) throws(ModelError) -> Linear {
        var matrices: [WeightMatrix] = []
        for part in weights {
            matrices.append(try matrix("\(part.name).weight", outputs: part.outputs, inputs: inputs))
        }
        var bias: [Float]?
        if biases.contains(where: { has("\($0.name).bias") }) {
            var values: [Float] = []
            for part in biases {
                let name = "\(part.name).bias"
                values +=
                    has(name)
                    ? try vector(name, count: part.outputs) : Array(repeating: 0, count: part.outputs)
            }
            bias = values
        }
        do throws(KernelError) { return Linear(try WeightStack(matrices), bias: bias) } catch {
            throw .kernel(error)
        }
    }

    /// Refuses the file when it has tensors that nobody has taken.
    func refuseRest(of architecture: String) throws(ModelError) {
        let rest = file.tensors.keys.filter { !taken.contains($0) }.sorted()
        guard let first = rest.first else { return }
        let others = rest.count > 1 ? ", and \(rest.count - 1) more that it does not know" : ""
        throw .unsupported(
            "\(file.path): the tensor \(first)\(Self.meaning(of: first)) is not one that Lariat uses in the family "
                + "\(architecture)\(others). Without it the answers would be wrong, so the file is refused: use a "
                + "file of a model that is supported, or one without what was added to it")
    }

    /// In words, where the name says what a tensor is for.
    private static func meaning(of name: String) -> String {
        let known = [
            ("attn_q_norm", "a norm of queries"), ("attn_k_norm", "a norm of keys"),
            ("ffn_gate_inp", "of a mixture of experts"), ("_exps", "of a mixture of experts"),
            ("_shexp", "of a mixture of experts"), (".lora_", "of an adapter"),
            ("scale", "a scale of weights"), ("norm.bias", "a bias of a norm"),
            ("rot_embd", "a rotary table of its own"), ("sinks", "attention sinks"),
            ("post_", "a norm behind attention or feed-forward"), ("nextn", "of multi-token prediction"),
        ]
        return known.first { name.contains($0.0) }.map { " (\($0.1))" } ?? ""
    }

    private func take(_ name: String) throws(ModelError) -> GGUFTensor {
        taken.insert(name)
        do throws(GGUFError) { return try file.tensor(name) } catch { throw .file(error) }
    }
}
