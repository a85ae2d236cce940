// Which metadata keys of a model file Lariat reads, which change no answer, and which make it refuse the file.
//
// The keys are those of llama.cpp's converter and loader for `llama` and `phi3` (gguf-py/gguf/constants.py,
// src/llama-arch.cpp, conversion/), of its older converters, and of the GGUF specification (docs/gguf.md in ggml).
// Other readers ignore a key they do not know. Lariat refuses the file by the key's name, where the key could change
// what the model computes: a wrong answer without a word is worse than none.
import GGUF
import LongRoPE

/// What Lariat makes of a metadata key.
enum MetadataRule: Equatable {
    /// Some code reads the key and refuses what it cannot do.
    case read
    /// The key changes no answer; why.
    case harmless(String)
    /// The key is accepted with values that change nothing, and refused with others; what it would change.
    case only(Values, String)

    /// Values that change nothing.
    enum Values: Equatable {
        case zero
        case zeroOrOne
        /// One, or a number below zero, which means that it is not set.
        case one
        case bool(Bool)
        case texts([String])
        case noElements
        /// What another key of the architecture says (as far as it is there).
        case sameAs(String)
        case none

        var description: String {
            switch self {
            case .zero: "0"
            case .zeroOrOne: "0 or 1"
            case .one: "1"
            case .bool(let value): "\(value)"
            case .texts(let texts): texts.map { "\"\($0)\"" }.joined(separator: " or ")
            case .noElements: "an empty array"
            case .sameAs(let key): "what \(key) is"
            case .none: "nothing"
            }
        }
    }
}

/// The rules for files of one architecture.
struct MetadataRules {
    let architecture: String

    /// Refuses a file with a key that is not understood, or a value that Lariat cannot do.
    func check(_ file: GGUFFile) throws(ModelError) {
        if case .string(let type)? = file.metadata["general.type"] { try check(type: type, file) }
        for (key, value) in file.metadata.sorted(by: { $0.key < $1.key }) {
            guard let rule = rule(of: key) else {
                throw .unsupported(
                    "\(file.path): Lariat does not know the metadata key '\(key)', which may change what the model "
                        + "computes. \(Self.remedy(key))")
            }
            guard case .only(let allowed, let change) = rule else { continue }
            guard !changesNothing(value, allowed, file) else { continue }
            throw .unsupported(
                "\(file.path): the metadata key '\(key)'\(Self.shown(value)) means \(change), which Lariat does not do "
                    + "for \(architecture) (it takes \(allowed.description)). \(Self.remedy(key))")
        }
    }

    /// The rule of a key; nil for one that is not known and could matter.
    func rule(of key: String) -> MetadataRule? {
        func part(_ prefix: String) -> String? {
            key.hasPrefix(prefix) ? String(key.dropFirst(prefix.count)) : nil
        }
        if let name = part("\(architecture).") {
            if name == "tensor_data_layout" {
                // Rows of queries and keys as adjacent pairs rotate them, which is how this family reads them.
                let layouts =
                    architecture == Llama.architecture
                    ? ["reference", "Meta AI original pth"] : ["reference"]
                return .only(.texts(layouts), "another order of the weights")
            }
            if let rule = Self.ofArchitecture[name] { return rule }
            return name.hasPrefix("expert") ? .harmless("of experts, and expert_count must be 0") : nil
        }
        if let name = part("tokenizer.ggml.") { return Self.ofTokenizer[name] }
        if key.hasPrefix("tokenizer.chat_template") { return .read }
        if key == "tokenizer.huggingface.json" { return .harmless("a copy of what the other keys say") }
        if key.hasPrefix("tokenizer.") { return nil }
        if let name = part("lariat.") {
            let known = [
                RotaryKeys.windows, RotaryKeys.factors, RotaryKeys.attentionFactors, RotaryKeys.startTokens,
            ]
            return known.contains("lariat.\(name)") ? .read : nil
        }
        for (prefix, change) in [
            "adapter.": "an adapter", "controlvector.": "a control vector", "xielu.": "xIELU",
        ]
        where key.hasPrefix(prefix) {
            return .only(.none, change)
        }
        if key == "general.quantization_version" {
            return .only(.texts(["2"]), "another layout of quantised weights")
        }
        return .harmless("names, origin and advice; or for readers of another kind")
    }

    /// A file of the type `model`, or none, is a model.
    private func check(type: [UInt8], _ file: GGUFFile) throws(ModelError) {
        let text = String(decoding: type, as: UTF8.self)
        let words: [String: String] = [
            "adapter": "an adapter (LoRA). Merge it into its model first (llama-export-lora)",
            "mmproj": "the part of a model that reads pictures or sound. Name the file of its language model",
            "imatrix": "an importance matrix for quantising. Name the file of its model",
            "vocab": "a vocabulary alone. Name the file of its model",
        ]
        guard text != "model", !text.isEmpty else { return }
        throw .unsupported(
            "\(file.path): is no model but "
                + (words[text]
                    ?? "of the type \"\(text.prefix(40))\" (general.type), which Lariat does not know"))
    }

    private func changesNothing(
        _ value: GGUFValue, _ allowed: MetadataRule.Values, _ file: GGUFFile
    ) -> Bool {
        if case .sameAs(let key) = allowed {
            guard let other = file.metadata["\(architecture).\(key)"] else { return false }
            return Self.number(value) != nil && Self.number(value) == Self.number(other)
        }
        switch value {
        case .bool(let flag): return allowed == .bool(flag)
        case .string(let bytes):
            guard case .texts(let texts) = allowed else { return bytes.isEmpty && allowed == .noElements }
            return texts.contains(String(decoding: bytes, as: UTF8.self))
        case .integers(let array):
            return allowed == .noElements && array.isEmpty || allowed == .zero && array.allSatisfy { $0 == 0 }
        case .floats(let array):
            return allowed == .noElements && array.isEmpty || allowed == .zero && array.allSatisfy { $0 == 0 }
        case .doubles(let array): return allowed == .noElements && array.isEmpty
        case .bools(let array): return allowed == .noElements && array.isEmpty
        case .strings(let array): return allowed == .noElements && array.isEmpty
        case .uint, .int, .float:
            guard let number = Self.number(value) else { return false }
            return switch allowed {
            case .zero: number == 0
            case .zeroOrOne: number == 0 || number == 1
            case .one: number == 1 || number < 0
            case .texts(let texts): texts.contains { Double($0) == number }
            default: false
            }
        }
    }

    private static func number(_ value: GGUFValue) -> Double? {
        switch value {
        case .uint(let number): Double(number)
        case .int(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }

    private static func shown(_ value: GGUFValue) -> String {
        switch value {
        case .bool(let flag): " = \(flag)"
        case .string(let bytes): " = \"\(String(decoding: bytes.prefix(60), as: UTF8.self))\""
        case .uint(let number): " = \(number)"
        case .int(let number): " = \(number)"
        case .float(let number): " = \(number)"
        default: ""
        }
    }

    private static func remedy(_ key: String) -> String {
        "Use a file of a supported model, or, if you know that the key changes nothing, a copy without it "
            + "(gguf-new-metadata --remove-metadata \(key) FILE COPY)"
    }
}

// MARK: The tables

extension MetadataRules {
    /// Keys behind `<architecture>.`; see also `rule(of:)`.
    static let ofArchitecture: [String: MetadataRule] = [
        "block_count": .read,
        "context_length": .read,
        "embedding_length": .read,
        "feed_forward_length": .read,
        "attention.head_count": .read,
        "attention.head_count_kv": .read,
        "attention.key_length": .read,
        "attention.value_length": .read,
        "attention.scale": .read,
        "attention.layer_norm_rms_epsilon": .read,
        "attention.sliding_window": .read,
        "rope.dimension_count": .read,
        "rope.freq_base": .read,
        "rope.scale_linear": .read,
        "rope.scaling.type": .read,
        "rope.scaling.factor": .read,
        "rope.scaling.original_context_length": .read,
        "rope.scaling.attn_factor": .read,
        "rope.scaling.yarn_attn_factor": .read,
        "rope.scaling.yarn_beta_fast": .read,
        "rope.scaling.yarn_beta_slow": .read,

        "vocab_size": .harmless("the rows of token_embd.weight say it"),
        "rope.scaling.finetuned": .harmless("how the model was trained"),
        "attention.layer_norm_epsilon": .harmless("these families have RMS norms only"),
        "attention.sliding_window_pattern": .harmless("no job is longer than the window"),
        "router_logit_softcapping": .harmless("of experts, and expert_count must be 0"),
        "interleave_moe_layer_step": .harmless("of experts, and expert_count must be 0"),
        "moe_every_n_layers": .harmless("of experts, and expert_count must be 0"),

        "expert_count": .only(.zero, "a mixture of experts"),
        "expert_used_count": .only(.zero, "a mixture of experts"),
        "attention.causal": .only(.bool(true), "attention that looks ahead"),
        "attention.clamp_kqv": .only(.zero, "limits on queries, keys and values"),
        "attention.max_alibi_bias": .only(.zero, "ALiBi instead of rotary positions"),
        "attention.output_scale": .only(.zeroOrOne, "a scale of attention's output"),
        "attention.value_scale": .only(.zeroOrOne, "a scale of values"),
        "attention.temperature_length": .only(.zero, "an attention temperature that follows the position"),
        "attention.temperature_scale": .only(.zero, "an attention temperature that follows the position"),
        "attention.key_length_swa": .only(.sameAs("attention.key_length"), "other heads in some layers"),
        "attention.value_length_swa": .only(.sameAs("attention.value_length"), "other heads in some layers"),
        "attention.shared_kv_layers": .only(.zero, "keys and values shared by layers"),
        "attn_logit_softcapping": .only(.zero, "a soft limit of scores"),
        "final_logit_softcapping": .only(.zero, "a soft limit of logits"),
        "logit_scale": .only(.zeroOrOne, "a scale of logits"),
        "residual_scale": .only(.zeroOrOne, "a scale of each layer's output"),
        "embedding_scale": .only(.zeroOrOne, "a scale of embeddings"),
        "embedding_length_out": .only(.sameAs("embedding_length"), "an output of another width"),
        "use_parallel_residual": .only(.bool(false), "feed-forward beside attention"),
        "swin_norm": .only(.bool(false), "norms behind attention and feed-forward"),
        "hidden_activation": .only(.texts(["silu", "swish"]), "another activation"),
        "pooling_type": .only(.zero, "an embedding of the text instead of an answer"),
        "classifier.output_labels": .only(.noElements, "a class instead of an answer"),
        "leading_dense_block_count": .only(.zero, "a mixture of experts"),
        "nextn_predict_layers": .only(.zero, "layers that predict several tokens"),
        "n_deepstack_layers": .only(.zero, "pictures in several layers"),
        "num_loops": .only(.zeroOrOne, "layers that are run several times"),
        "adapters.count": .only(.zero, "adapters"),
        "rope.dimension_sections": .only(.zero, "positions in several dimensions"),
        "rope.dimension_count_swa": .only(.sameAs("rope.dimension_count"), "other positions in some layers"),
        "rope.freq_base_swa": .only(.sameAs("rope.freq_base"), "other positions in some layers"),
        "rope.scaling.alpha": .only(.zeroOrOne, "a changed rotary base"),
        "rope.scaling.yarn_ext_factor": .only(.one, "a part of YaRN's blend"),
        // Writers disagree by a factor of ten on what it means.
        "rope.scaling.yarn_log_multiplier": .only(.zero, "another attention factor of YaRN"),
    ]

    /// Keys behind `tokenizer.ggml.`.
    static let ofTokenizer: [String: MetadataRule] = [
        "model": .read,
        "pre": .read,
        "tokens": .read,
        "scores": .read,
        "token_type": .read,
        "merges": .read,
        "bos_token_id": .read,
        "eos_token_id": .read,
        "eot_token_id": .read,
        "eom_token_id": .read,
        "unknown_token_id": .read,
        "fim_pad_token_id": .read,
        "fim_rep_token_id": .read,
        "fim_sep_token_id": .read,
        "add_bos_token": .read,
        "add_space_prefix": .read,

        "padding_token_id": .harmless("no text is padded"),
        "seperator_token_id": .harmless("no two texts are joined"),
        "separator_token_id": .harmless("no two texts are joined"),
        "add_sep_token": .harmless("no two texts are joined"),
        "cls_token_id": .harmless("for classifiers"),
        "mask_token_id": .harmless("for models that fill gaps"),
        "token_type_count": .harmless("for models with token types"),
        "fim_pre_token_id": .harmless("for filling in the middle, which nobody can ask for"),
        "fim_suf_token_id": .harmless("for filling in the middle, which nobody can ask for"),
        "fim_mid_token_id": .harmless("for filling in the middle, which nobody can ask for"),
        "prefix_token_id": .harmless("for filling in the middle, which nobody can ask for"),
        "suffix_token_id": .harmless("for filling in the middle, which nobody can ask for"),
        "middle_token_id": .harmless("for filling in the middle, which nobody can ask for"),

        "add_eos_token": .only(
            .bool(false), "an end token behind every prompt, as models for embeddings have it"),
        "remove_extra_whitespaces": .only(.bool(false), "white space that is taken out of the text"),
        "precompiled_charsmap": .only(.noElements, "characters that are replaced in the text"),
        "normalizer.lowercase": .only(.bool(false), "text in lower case"),
        "normalizer.strip_accents": .only(.bool(false), "text without accents"),
        "suppress_tokens": .only(.noElements, "tokens that may not be generated"),
    ]
}
