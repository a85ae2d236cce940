// A model file, opened: what it is, how it reads text, where its weights lie.
import GGUF
import Foundation
import Kernels
public import LongRoPE
public import Tokenizer

/// A decoder model in a GGUF file. Weights stay in the file's mapping, quantised as they are; opening one costs little.
public final class Model: Sendable {
    public let path: String
    /// `general.name`, or the file's name.
    public let name: String
    /// See `GGUFFile/fingerprint()`: the same for the same file on another host.
    public let fingerprint: String
    public let shape: ModelShape
    public let scaling: RotaryScaling
    public let tokenizer: Tokenizer

    /// Bytes of the weights that every generated token reads, head included, as they lie in the file.
    public let weightBytes: Int

    let family: any ModelFamily
    let embedding: WeightMatrix
    let outputNorm: [Float]
    /// From the residual stream to logits; the embedding itself where the file has no `output.weight`.
    let head: Linear

    /// What a person should know of this file before using it; log and `lariat doctor` say it.
    public let remarks: [ModelRemark]

    /// Opens a file and checks that every tensor of its family is there in the right size, and that nothing is in it
    /// which Lariat would leave out and which would change the answers.
    public init(path: String) throws(ModelError) {
        let file: GGUFFile
        let architecture: String
        do throws(GGUFError) {
            file = try GGUFFile(path: path)
            architecture = try file.string("general.architecture")
        } catch { throw .file(error) }
        guard let kind = modelFamilies.first(where: { $0.architecture == architecture }) else {
            let known = modelFamilies.map { $0.architecture }.joined(separator: ", ")
            throw .unsupported(
                "\(path): architecture \"\(architecture)\" is not supported; supported are \(known)")
        }
        try MetadataRules(architecture: architecture).check(file)
        let shape = try ModelShape(file: file, architecture: architecture)
        let find = try TensorFinder(file: file)
        self.path = path
        self.shape = shape
        name = (try? file.string("general.name")) ?? URL(filePath: path).lastPathComponent
        fingerprint = file.fingerprint()
        embedding = try find.matrix("token_embd.weight", outputs: shape.vocabulary, inputs: shape.hidden)
        outputNorm = try find.vector("output_norm.weight", count: shape.hidden)
        head =
            find.has("output.weight")
            ? try find.linear(("output", shape.vocabulary), inputs: shape.hidden)
            : Linear(WeightStack(embedding))
        // Of an embedding that is not the head too, a token reads one row.
        weightBytes = file.tensors.values.reduce(0) { sum, tensor in
            let isUnread =
                tensor.name.hasPrefix("rope_")
                || (tensor.name == "token_embd.weight" && find.has("output.weight"))
            return sum + (isUnread ? 0 : tensor.byteCount)
        }
        family = try kind.init(find, shape: shape)
        scaling = try Self.scaling(find, architecture: architecture, shape: shape)
        try find.refuseRest(of: architecture)
        tokenizer = try Self.tokenizer(of: file, architecture: architecture, vocabulary: shape.vocabulary)
        remarks = ModelRemark.all(shape: shape, tokenizer: tokenizer)
    }
}
