// Every member of a request that is known: what becomes of it, and why. What is not here is refused by name.

/// What becomes of one member of an object of a request.
enum MemberUse: Sendable {
    /// `CompletionRequest` reads it and checks its value.
    case read
    /// The same in one form of the API only.
    case readOnlyBy(CompletionRequest.Form)
    /// Nobody looks at it: it cannot change the answer, for this reason.
    case harmless(String)
    /// Accepted only where it asks for nothing.
    case only(HarmlessValue)
    /// Never accepted, for this reason.
    case refused(String)
    /// Another API's name of a member that this one has.
    case calledHere(String)
}

/// The names of an object's members, and what becomes of each.
struct RequestMembers: Sendable {
    let uses: [String: MemberUse]

    /// The body of a request.
    ///
    /// Sources: OpenAI's reference of `/v1/chat/completions` and `/v1/completions`; vLLM's `ChatCompletionRequest` and
    /// `CompletionRequest`; llama.cpp's server, `params_from_json_cmpl`.
    static let request = RequestMembers(uses: openAI.merging(vLLM) { $1 }.merging(llamaCPP) { $1 })

    private static let openAI: [String: MemberUse] = [
        "model": .read, "messages": .readOnlyBy(.chat), "prompt": .readOnlyBy(.text),
        "max_tokens": .read, "max_completion_tokens": .readOnlyBy(.chat),
        "temperature": .read, "top_p": .read, "seed": .read, "stop": .read,
        "stream": .read, "stream_options": .read,
        "logprobs": .read, "top_logprobs": .readOnlyBy(.chat),
        "user": .read, "store": .read, "response_format": .read, "modalities": .read,
        // Lariat's own.
        "repetition_window": .read, "rope": .read, "workers": .read, "beyond_window": .read,
        "context": .read,
        "n": .only(.number(1)), "best_of": .only(.number(1)),
        "presence_penalty": .only(.number(0)), "frequency_penalty": .only(.number(0)),
        "logit_bias": .only(.nothing), "echo": .only(.flag(false)), "suffix": .only(.nothing),
        "tools": .only(.nothing), "functions": .only(.nothing),
        "tool_choice": .only(.oneOf(["none", "auto"])), "function_call": .only(.oneOf(["none", "auto"])),
        "reasoning_effort": .only(.oneOf(["none"])), "verbosity": .only(.oneOf(["medium"])),
        "audio": .refused("answers are text"), "web_search_options": .refused("nothing is searched"),
        "parallel_tool_calls": .harmless("there are no tools to call"),
        "prediction": .harmless("it is a hint that saves time"),
        "metadata": .harmless("it labels the request for the client's own use"),
        "service_tier": .harmless("there is one tier"),
        "safety_identifier": .harmless("it tells the client's users apart"),
        "prompt_cache_key": .harmless("it is a hint that saves time"),
        "prompt_cache_retention": .harmless("it is a hint that saves time"),
    ]

    private static let vLLM: [String: MemberUse] = [
        "top_k": .read, "min_p": .read, "repetition_penalty": .read, "ignore_eos": .read,
        "return_token_ids": .read,
        "use_beam_search": .only(.flag(false)), "length_penalty": .only(.number(1)),
        "min_tokens": .only(.number(0)), "stop_token_ids": .only(.nothing),
        "include_stop_str_in_output": .only(.flag(false)), "bad_words": .only(.nothing),
        "allowed_token_ids": .only(.nothing), "skip_special_tokens": .only(.flag(true)),
        "spaces_between_special_tokens": .only(.flag(true)),
        "add_generation_prompt": .only(.flag(true)), "continue_final_message": .only(.flag(false)),
        "documents": .only(.nothing), "chat_template_kwargs": .only(.nothing),
        "mm_processor_kwargs": .only(.nothing), "media_io_kwargs": .only(.nothing),
        "logits_processors": .only(.nothing), "kv_transfer_params": .only(.nothing),
        "vllm_xargs": .only(.nothing), "return_tokens_as_token_ids": .only(.flag(false)),
        "truncate_prompt_tokens": .refused("prompts are never cut"),
        "prompt_logprobs": .refused("`lariat score` gives a text's log probabilities"),
        "prompt_embeds": .refused("a prompt is text or token ids"),
        "add_special_tokens": .refused("leave it out: the model file says so"),
        "chat_template": .refused("leave it out: the model file has one"),
        "thinking_token_budget": .refused("leave it out"),
        "structured_outputs": .refused("leave it out"), "structural_tag": .refused("leave it out"),
        "guided_json": .refused("leave it out"), "guided_regex": .refused("leave it out"),
        "guided_choice": .refused("leave it out"), "guided_grammar": .refused("leave it out"),
        "guided_decoding_backend": .harmless("the guides that it serves are refused"),
        "guided_whitespace_pattern": .harmless("the guides that it serves are refused"),
        "include_reasoning": .harmless("no part of an answer is set apart as reasoning"),
        "priority": .harmless("it is about who comes first"),
        "request_id": .harmless("it names the request"), "cache_salt": .harmless("it separates caches"),
    ]

    private static let llamaCPP: [String: MemberUse] = [
        "n_predict": .calledHere("max_tokens"), "repeat_penalty": .calledHere("repetition_penalty"),
        "repeat_last_n": .calledHere("repetition_window"), "n_probs": .calledHere("top_logprobs"),
        "return_tokens": .calledHere("return_token_ids"),
        // Of other programs and older versions of the APIs.
        "max_new_tokens": .calledHere("max_tokens"), "max_length": .calledHere("max_tokens"),
        "max_output_tokens": .calledHere("max_tokens"), "num_predict": .calledHere("max_tokens"),
        "stop_sequences": .calledHere("stop"), "random_seed": .calledHere("seed"),
        "typical_p": .only(.number(1)), "tfs_z": .only(.number(1)), "top_n_sigma": .only(.number(-1)),
        "min_keep": .only(.number(0)), "n_indent": .only(.number(0)), "penalize_nl": .only(.flag(false)),
        "mirostat": .only(.number(0)),
        "mirostat_tau": .harmless("mirostat is refused"), "mirostat_eta": .harmless("mirostat is refused"),
        "dynatemp_range": .only(.number(0)),
        "dynatemp_exponent": .harmless("it is of no use without dynatemp_range, which is refused"),
        "dry_multiplier": .only(.number(0)),
        "dry_base": .harmless("it is of no use without dry_multiplier, which is refused"),
        "dry_allowed_length": .harmless("it is of no use without dry_multiplier, which is refused"),
        "dry_penalty_last_n": .harmless("it is of no use without dry_multiplier, which is refused"),
        "dry_sequence_breakers": .harmless("it is of no use without dry_multiplier, which is refused"),
        "xtc_probability": .only(.number(0)),
        "xtc_threshold": .harmless("it is of no use without xtc_probability, which is refused"),
        "grammar": .only(.nothing), "json_schema": .only(.nothing), "grammar_lazy": .only(.flag(false)),
        "grammar_triggers": .only(.nothing), "preserved_tokens": .only(.nothing),
        "lora": .only(.nothing), "image_data": .only(.nothing), "response_fields": .only(.nothing),
        "post_sampling_probs": .only(.flag(false)), "reasoning_format": .only(.oneOf(["none"])),
        "thinking_forced_open": .only(.flag(false)),
        "samplers": .refused("leave it out: the order is temperature, top_k, top_p, min_p"),
        "t_max_predict_ms": .refused("leave it out: an answer ends by tokens, not by time"),
        "n_keep": .harmless("a prompt is never cut"), "n_discard": .harmless("a prompt is never cut"),
        "cache_prompt": .harmless("it is a hint that saves time"),
        "n_cache_reuse": .harmless("it is a hint that saves time"),
        "id_slot": .harmless("it says where, not what"),
        "timings_per_token": .harmless("it asks for figures beside the answer"),
        "return_progress": .harmless("it asks for figures beside the answer"),
        "parse_tool_calls": .harmless("there are no tools to call"),
    ]

    /// `stream_options`.
    static let streamOptions = RequestMembers(uses: [
        "include_usage": .read,
        "include_obfuscation": .harmless("it only pads the events"),
        "continuous_usage_stats": .only(.flag(false)),
    ])

    /// `response_format`; what other types have is refused with the type.
    static let responseFormat = RequestMembers(uses: ["type": .read])

    /// One of `messages`. Clients send an answer back as they got it, with what is null or empty in it.
    static let message = RequestMembers(uses: [
        "role": .read, "content": .read,
        "name": .harmless("no chat template writes it"),
        "refusal": .only(.nothing), "annotations": .only(.nothing), "audio": .only(.nothing),
        "tool_calls": .only(.nothing), "function_call": .only(.nothing),
        "reasoning": .only(.nothing), "reasoning_content": .only(.nothing),
        "tool_call_id": .refused("leave it out: there are no tools to call"),
    ])

    /// One of the parts of a message's `content`.
    static let contentPart = RequestMembers(uses: [
        "type": .read, "text": .read,
        "cache_control": .harmless("it is a hint that saves time"),
        "annotations": .only(.nothing),
    ])
}

extension RequestMembers {
    /// Refuses the first member, by name, that is unknown or asks for what Lariat cannot do. Null asks for nothing.
    func check(_ fields: RequestFields, form: CompletionRequest.Form) throws(APIError) {
        var first: (name: String, error: APIError)?
        for name in fields.names where first.map({ name < $0.name }) ?? true {
            do throws(APIError) { try check(name, fields, form: form) } catch { first = (name, error) }
        }
        if let first { throw first.error }
    }

    private func check(
        _ name: String, _ fields: RequestFields, form: CompletionRequest.Form
    ) throws(APIError) {
        guard fields.isPresent(name) else { return }
        switch uses[name] {
        case .read, .harmless: return
        case .readOnlyBy(let owner):
            if owner == form { return }
            throw fields.wrong(
                name, "is not a member of this request: \(owner.path) has it", code: Self.unknown)
        case .only(let value):
            if value.includes(try AskedValue(name, of: fields)) { return }
            throw fields.wrong(name, "is not supported here: \(value.words)", code: Self.unsupported)
        case .refused(let why):
            throw fields.wrong(name, "is not supported here: \(why)", code: Self.unsupported)
        case .calledHere(let other):
            throw fields.wrong(name, "is called \"\(other)\" here", code: Self.unknown)
        case nil:
            let near = nearestName(to: name, among: names(form)).map { "; did you mean \"\($0)\"?" } ?? ""
            // A name may be as long as a body.
            let shown = String(String.UnicodeScalarView(name.unicodeScalars.prefix(40)))
            throw fields.wrong(shown, "is not a member of this request\(near)", code: Self.unknown)
        }
    }

    /// The names that may be meant.
    private func names(_ form: CompletionRequest.Form) -> [String] {
        uses.compactMap { name, use in
            switch use {
            case .read, .only: name
            case .readOnlyBy(let owner): owner == form ? name : nil
            case .harmless, .refused, .calledHere: nil
            }
        }
    }

    static let unknown = "unknown_parameter"
    static let unsupported = "unsupported_parameter"
}
