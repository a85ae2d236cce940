// Every tensor of a file is used and every key that matters is read; all else is refused by name.
import GGUF
import Kernels
import TestSupport
import Testing
import Transformer

@Suite struct FileRulesTests {
    @Test func tensorsThatNobodyUses() async throws {
        for (name, meaning) in [
            ("blk.0.attn_q_norm.weight", " (a norm of queries)"),
            ("blk.1.ffn_gate_inp.weight", " (of a mixture"),
            ("blk.0.attn_norm.bias", " (a bias of a norm)"), ("blk.0.attn_q.scale", " (a scale of weights)"),
            ("blk.7.ffn_up.weight", " is not one"), ("something.else", " is not one"),
        ] {
            let text = try await refusal(of: "bias-ffn-down.gguf") {
                $0.setTensor(name, dimensions: [16], Array(repeating: 1, count: 16))
            }
            #expect(text?.contains("the tensor \(name)\(meaning)") == true, "\(text ?? "accepted")")
        }
        let several = try await refusal(of: "bias-ffn-down.gguf") {
            for layer in 0..<2 { $0.setTensor("blk.\(layer).attn_k_norm.weight", dimensions: [2], [1, 1]) }
        }
        #expect(several?.contains("and 1 more that it does not know") == true)
    }

    /// The numbers are llama.cpp's (Golden/llama_cpp_biases.py). Without the bias it would be another by 0.05 and more.
    @Test(arguments: [1, 3])
    func biases(workers: Int) async throws {
        let one = try await meanNLL(Golden.path("bias-ffn-down.gguf"), workers: workers)
        #expect(abs(one - 6.108270395983883) < 1e-4)
        let parts = [
            ("attn_q", 32), ("attn_k", 16), ("attn_v", 16), ("attn_output", 32), ("ffn_gate", 64),
            ("ffn_up", 64),
            ("ffn_down", 32),
        ]
        try await withCopy(of: "bias-ffn-down.gguf") { edit in
            for layer in 0..<2 {
                for (p, part) in parts.enumerated() {
                    let values = (0..<part.1).map { Float((37 * $0 + 11 * p + 5 * layer) % 19 - 9) / 50 }
                    edit.setTensor("blk.\(layer).\(part.0).bias", dimensions: [part.1], values)
                }
            }
        } _: { path in
            let all = try await meanNLL(path, workers: workers)
            #expect(abs(all - 6.18937952782582) < 1e-4)
        }
    }

    @Test func biasesOfWrongSize() async throws {
        let text = try await refusal(of: "bias-ffn-down.gguf") {
            $0.setTensor("blk.0.attn_k.bias", dimensions: [4], [1, 2, 3, 4])
        }
        #expect(text?.contains("blk.0.attn_k.bias is [4], expected [16]") == true)
    }

    /// Keys with values that change an answer.
    @Test func keysThatMatter() async throws {
        for (key, value) in [
            ("llama.logit_scale", GGUFEdit.Value.float32(16)), ("llama.residual_scale", .float32(0.22)),
            ("llama.embedding_scale", .float32(12)), ("llama.expert_count", .uint32(8)),
            ("llama.attention.scale", .float32(0.0078125)), ("llama.attention.clamp_kqv", .float32(8)),
            ("llama.attention.causal", .bool(false)), ("llama.attention.value_length", .uint32(8)),
            ("llama.attention.max_alibi_bias", .float32(8)), ("llama.pooling_type", .uint32(1)),
            ("llama.tensor_data_layout", .string("transposed")), ("llama.use_parallel_residual", .bool(true)),
            ("llama.final_logit_softcapping", .float32(30)), ("llama.hidden_activation", .string("gelu")),
            ("llama.rope.dimension_count", .uint32(8)),
            ("llama.rope.dimension_sections", .uint32s([4, 4, 8, 0])),
            ("llama.rope.freq_base_swa", .float32(1e6)),
            ("llama.rope.scaling.yarn_log_multiplier", .float32(0.1)),
            ("llama.rope.scaling.yarn_ext_factor", .float32(0.5)), ("llama.something_new", .uint32(1)),
            ("llama.attention.head_count", .uint32s([2, 1])), ("tokenizer.ggml.add_eos_token", .bool(true)),
            ("tokenizer.ggml.normalizer.lowercase", .bool(true)),
            ("tokenizer.ggml.suppress_tokens", .int32s([3])),
            ("tokenizer.ggml.remove_extra_whitespaces", .bool(true)),
            ("tokenizer.ggml.something_new", .uint32(1)),
            ("tokenizer.rwkv.world", .string("x")), ("adapter.type", .string("lora")),
            ("general.type", .string("adapter")), ("general.type", .string("mmproj")),
            ("general.quantization_version", .uint32(1)), ("lariat.rope.something_new", .uint32(1)),
        ] {
            let text = try await refusal(of: "bias-ffn-down.gguf") { $0.set(key, value) }
            let named = text?.contains(String(key.split(separator: ".").last ?? "")) == true
            #expect(named || text?.contains("is no model but") == true, "\(key): \(text ?? "accepted")")
        }
    }

    /// The same keys with values that change nothing, and keys of converters and publishers.
    @Test func keysThatDoNotMatter() async throws {
        let text = try await refusal(of: "bias-ffn-down.gguf") {
            $0.set("general.type", .string("model"))
            $0.set("general.file_type", .uint32(1))
            $0.set("general.quantization_version", .uint32(2))
            $0.set("general.base_model.0.name", .string("x"))
            $0.set("general.sampling.temp", .float32(0.7))
            $0.set("quantize.imatrix.entries_count", .int32(7))
            $0.set("mradermacher.quantized_by", .string("x"))
            $0.set("split.count", .uint32(1))
            $0.set("split.no", .uint32(0))
            $0.set("split.tensors.count", .int32(22))
            $0.set("llama.vocab_size", .uint32(266))
            $0.set("llama.tensor_data_layout", .string("Meta AI original pth"))
            $0.set("llama.expert_count", .uint32(0))
            $0.set("llama.expert_used_count", .uint32(0))
            $0.set("llama.expert_weights_scale", .float32(1))
            $0.set("llama.attention.causal", .bool(true))
            $0.set("llama.attention.head_count", .uint32s([2, 2]))
            $0.set("llama.attention.key_length", .uint32(16))
            $0.set("llama.attention.value_length", .uint32(16))
            $0.set("llama.attention.scale", .float32(0.25))
            $0.set("llama.attention.layer_norm_epsilon", .float32(1e-5))
            $0.set("llama.attention.clamp_kqv", .float32(0))
            $0.set("llama.logit_scale", .float32(1))
            $0.set("llama.rope.scaling.finetuned", .bool(false))
            $0.set("llama.rope.dimension_sections", .int32s([0, 0, 0, 0]))
            $0.set("llama.rope.freq_base_swa", .float32(10000))
            $0.set("tokenizer.ggml.padding_token_id", .uint32(0))
            $0.set("tokenizer.ggml.seperator_token_id", .uint32(0))
            $0.set("tokenizer.ggml.mask_token_id", .uint32(0))
            $0.set("tokenizer.ggml.fim_pre_token_id", .uint32(0))
            $0.set("tokenizer.ggml.add_sep_token", .bool(false))
            $0.set("tokenizer.ggml.add_eos_token", .bool(false))
            $0.set("tokenizer.ggml.suppress_tokens", .int32s([]))
            $0.set("tokenizer.huggingface.json", .string("{}"))
            $0.set("tokenizer.chat_template.tool_use", .string("x"))
            $0.set("tokenizer.chat_templates", .strings(["tool_use"]))
        }
        #expect(text == nil)
    }

    @Test func remarks() async throws {
        #expect(try Model(path: Golden.path("llama3-nopre.gguf")).remarks == [.noPreTokenizer])
        #expect(try Model(path: Golden.path("bias-ffn-down.gguf")).remarks == [])
        let model = try await withCopy(of: "bias-ffn-down.gguf") {
            $0.set("llama.attention.sliding_window", .uint32(64))
        } _: {
            try Model(path: $0)
        }
        #expect(model.remarks == [.slidingWindow(tokens: 64)] && model.shape.slidingWindow == 64)
        // The published Phi-3 files with 128k have a window larger than their context.
        let wide = try await withCopy(of: "bias-ffn-down.gguf") {
            $0.set("llama.attention.sliding_window", .uint32(262_144))
        } _: {
            try Model(path: $0)
        }
        #expect(wide.remarks == [] && wide.shape.slidingWindow == 262_144)
    }

    @Test func phi4Mini() throws {
        let model = try Model(path: Golden.path("pre-gpt-4o.gguf"))
        #expect(model.remarks == [])
    }

    @Test func publishedFile() throws {
        let path = try #require(TestModel.smolLM2, "SmolLM2 is not in the cache: run Ops/model")
        #expect(try Model(path: path).remarks == [])
    }
}
