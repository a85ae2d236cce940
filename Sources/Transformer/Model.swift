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

    let family: any ModelFamily
    let embedding: WeightMatrix
    let outputNorm: [Float]
    /// From the residual stream to logits; the embedding itself where the file has no `output.weight`.
    let head: Linear

    /// Opens a file and checks that every tensor of its family is there in the right size.
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
            ? try find.linear(("output.weight", shape.vocabulary), inputs: shape.hidden)
            : Linear(WeightStack(embedding))
        family = try kind.init(file: file, shape: shape)
        scaling = try Self.scaling(of: file, architecture: architecture, shape: shape)
        tokenizer = try Self.tokenizer(of: file, vocabulary: shape.vocabulary)
    }

    /// What the file says about rotary positions. Phi-3 files do not name their scaling: the factor tensors tell.
    private static func scaling(
        of file: GGUFFile, architecture: String, shape: ModelShape
    ) throws(ModelError) -> RotaryScaling {
        let find = try TensorFinder(file: file)
        func factors(_ name: String) throws(ModelError) -> [Double]? {
            guard let tensor = file.tensors[name] else { return nil }
            guard tensor.columns <= RotaryProfile.largestRotaryDimension / 2, tensor.rows == 1 else {
                throw .unsupported(
                    "\(file.path): tensor \(name) is \(tensor.dimensions), not one factor a pair")
            }
            return try find.vector(name, count: tensor.columns).map(Double.init)
        }
        let rope = "\(architecture).rope"
        var scaling: RotaryScaling
        do throws(GGUFError) {
            scaling = RotaryScaling(
                theta: try file.realIfPresent("\(rope).freq_base") ?? 10000,
                rotaryDimension: try file.integerIfPresent("\(rope).dimension_count") ?? shape.headDimension,
                originalContext: try file.integerIfPresent("\(rope).scaling.original_context_length")
                    ?? shape.window,
                maximumContext: shape.window)
            scaling.type = try file.stringIfPresent("\(rope).scaling.type")
            scaling.attentionFactor = try file.realIfPresent("\(rope).scaling.attn_factor")
            scaling.linearFactor = try file.realIfPresent("\(rope).scaling.factor")
        } catch { throw .file(error) }
        let rotary = scaling.rotaryDimension
        guard rotary > 0, rotary <= shape.headDimension, rotary % 2 == 0 else {
            throw .unsupported(
                "\(file.path): \(rope).dimension_count is \(rotary); heads have \(shape.headDimension) dimensions"
            )
        }
        scaling.shortFactors = try factors("rope_factors_short.weight")
        scaling.longFactors = try factors("rope_factors_long.weight")
        scaling.ropeFreqs = try factors("rope_freqs.weight")
        scaling.tables = try tables(of: file, pairs: rotary / 2)
        return scaling
    }

    /// What `lariat extend` writes beside the two sets of factors that other engines know: a table for each of several
    /// lengths.
    private static func tables(of file: GGUFFile, pairs: Int) throws(ModelError) -> LongRoPETables? {
        func doubles(_ key: String) -> [Double] {
            guard case .doubles(let values)? = file.metadata[key] else { return [] }
            return values
        }
        let windows: [Int64]
        let startTokens: [Int64]
        do throws(GGUFError) {
            guard let found = try file.integersIfPresent(RotaryKeys.windows) else { return nil }
            windows = found
            startTokens = try file.integersIfPresent(RotaryKeys.startTokens) ?? []
        } catch { throw .file(error) }
        let factors = doubles(RotaryKeys.factors)
        let attentionFactors = doubles(RotaryKeys.attentionFactors)
        guard windows.count <= LongRoPETables.largestCount, attentionFactors.count == windows.count,
            startTokens.count == windows.count, factors.count == windows.count * pairs
        else {
            throw .unsupported(
                "\(file.path): lariat.rope.* has \(factors.count) factors, \(attentionFactors.count) attention factors "
                    + "and \(startTokens.count) n-hats for \(windows.count) tables of \(pairs) pairs, "
                    + "\(LongRoPETables.largestCount) tables at most")
        }
        do throws(LongRoPEError) {
            return try LongRoPETables(
                tables: windows.indices.map { table in
                    RotaryTable(
                        window: Int(windows[table]),
                        factors: Array(factors[table * pairs..<(table + 1) * pairs]),
                        startTokens: Int(startTokens[table]), attentionFactor: attentionFactors[table])
                })
        } catch { throw .unsupported("\(file.path): lariat.rope.*: \(error)") }
    }

    /// The file's vocabulary, as the tokenizer wants it.
    private static func tokenizer(of file: GGUFFile, vocabulary size: Int) throws(ModelError) -> Tokenizer {
        let key = "tokenizer.ggml."
        let vocabulary: Vocabulary
        do throws(GGUFError) {
            func id(_ name: String) throws(GGUFError) -> TokenID? {
                try file.integerIfPresent("\(key)\(name)").flatMap { TokenID(exactly: $0) }
            }
            var extraEnds: [TokenID] = []
            for name in ["eot_token_id", "eom_token_id"] {
                if let token = try id(name) { extraEnds.append(token) }
            }
            let model = try file.string("\(key)model")
            let preTokenizer = try file.stringIfPresent("\(key)pre")
            let types = try file.integersIfPresent("\(key)token_type") ?? []
            vocabulary = Vocabulary(
                model: model, preTokenizer: preTokenizer,
                tokens: try file.strings("\(key)tokens"),
                scores: try file.floatsIfPresent("\(key)scores") ?? [],
                types: types.map { Int32(truncatingIfNeeded: $0) },
                merges: try file.stringsIfPresent("\(key)merges") ?? [], beginning: try id("bos_token_id"),
                end: try id("eos_token_id"), unknown: try id("unknown_token_id"), extraEnds: extraEnds,
                addsBeginning: try file.boolIfPresent("\(key)add_bos_token")
                    ?? (model == "llama" || preTokenizer == "llama-bpe"),
                addsSpacePrefix: try file.boolIfPresent("\(key)add_space_prefix") ?? (model == "llama"),
                chatTemplate: try file.stringIfPresent("tokenizer.chat_template"))
        } catch { throw .file(error) }
        // Some files pad the embedding; more tokens than rows would read outside of it.
        guard vocabulary.tokens.count <= size else {
            throw .unsupported(
                "\(file.path): \(vocabulary.tokens.count) tokens, but token_embd.weight has only \(size) rows"
            )
        }
        do throws(TokenizerError) { return try Tokenizer(vocabulary) } catch { throw .tokenizer(error) }
    }
}
