// A model file's vocabulary.
import GGUF
import Tokenizer

extension Model {
    /// The file's vocabulary, as the tokenizer wants it.
    static func tokenizer(
        of file: GGUFFile, architecture: String, vocabulary size: Int
    ) throws(ModelError) -> Tokenizer {
        let key = "tokenizer.ggml."
        let vocabulary: Vocabulary
        do throws(GGUFError) {
            func id(_ name: String) throws(GGUFError) -> TokenID? {
                try file.integerIfPresent("\(key)\(name)").flatMap { TokenID(exactly: $0) }
            }
            var extraEnds: [TokenID] = []
            for name in [
                "eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id",
            ] {
                if let token = try id(name) { extraEnds.append(token) }
            }
            let model = try file.string("\(key)model")
            // SentencePiece's own, which files need not repeat.
            let usual: (unknown: TokenID?, beginning: TokenID?, end: TokenID?) =
                model == "llama" ? (0, 1, 2) : (nil, nil, nil)
            let preTokenizer = try file.stringIfPresent("\(key)pre")
            let types = try file.integersIfPresent("\(key)token_type") ?? []
            vocabulary = Vocabulary(
                model: model, preTokenizer: preTokenizer,
                tokens: try file.strings("\(key)tokens"),
                scores: try file.floatsIfPresent("\(key)scores") ?? [],
                types: types.map { Int32(truncatingIfNeeded: $0) },
                merges: try file.stringsIfPresent("\(key)merges") ?? [],
                beginning: try id("bos_token_id") ?? usual.beginning,
                end: try id("eos_token_id") ?? usual.end,
                unknown: try id("unknown_token_id") ?? usual.unknown, extraEnds: extraEnds,
                addsBeginning: try file.boolIfPresent("\(key)add_bos_token"),
                addsSpacePrefix: try file.boolIfPresent("\(key)add_space_prefix") ?? (model == "llama"),
                // In all published Phi-3 vocabularies of this kind; llama.cpp goes by the model's name.
                specialTokensTakeSpace: architecture == Phi3.architecture && model == "llama",
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
