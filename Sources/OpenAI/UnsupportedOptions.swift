// Options of OpenAI's API, vLLM and llama.cpp that would change the answer and that Lariat does not have.

/// An option that is accepted only where it asks for nothing.
struct UnsupportedOption {
    let name: String
    /// In words: what it may be.
    let only: String
    private let isHarmless: @Sendable (Value) -> Bool

    /// As much of a value as tells whether it asks for something.
    private enum Value {
        case bool(Bool)
        case number(Double)
        case string(String)
        case array(count: Int)
        case object(isEmpty: Bool)
        case unreadable
    }

    /// Refuses the first option that asks for what Lariat cannot do. Null asks for nothing.
    static func check(_ fields: RequestFields, form: CompletionRequest.Form) throws(APIError) {
        for option in common + (form == .chat ? chat : text) {
            guard fields.isPresent(option.name) else { continue }
            guard option.isHarmless(try value(option.name, of: fields)) else {
                throw fields.wrong(
                    option.name, "is not supported here: \(option.only)", code: "unsupported_parameter")
            }
        }
        if let format = try fields.object("response_format") {
            let type = try format.string("type", most: 64)
            guard type == "text" else {
                throw fields.wrong(
                    "response_format", "is not supported here: only the type \"text\" is",
                    code: "unsupported_parameter")
            }
        }
        if let modalities = try fields.texts("modalities", most: 8, bytes: 64), modalities != ["text"] {
            throw fields.wrong(
                "modalities", "is not supported here: only [\"text\"] is", code: "unsupported_parameter")
        }
    }

    private static func value(_ name: String, of fields: RequestFields) throws(APIError) -> Value {
        if case .value(let value) = try fields.read(name, as: Bool.self) { return .bool(value) }
        if case .value(let value) = try fields.read(name, as: Double.self) { return .number(value) }
        if case .value(let value) = try fields.read(name, as: String.self) { return .string(value) }
        if let inner = try? fields.array(name, else: "") { return .array(count: inner.count) }
        if let inner = try? fields.object(name) { return .object(isEmpty: inner.names.isEmpty) }
        return .unreadable
    }

    private static let common: [UnsupportedOption] = [
        number("n", 1), number("presence_penalty", 0), number("frequency_penalty", 0), empty("logit_bias"),
        // vLLM
        flag("use_beam_search", false), number("length_penalty", 1), number("min_tokens", 0),
        empty("stop_token_ids"), flag("include_stop_str_in_output", false), empty("bad_words"),
        empty("allowed_token_ids"), flag("skip_special_tokens", true), absent("truncate_prompt_tokens"),
        absent("prompt_logprobs"), absent("structured_outputs"), absent("guided_json"),
        absent("guided_regex"),
        absent("guided_choice"), absent("guided_grammar"), absent("structural_tag"),
        // llama.cpp
        number("typical_p", 1), number("mirostat", 0), number("dry_multiplier", 0),
        number("xtc_probability", 0),
        empty("grammar"), empty("json_schema"), empty("lora"),
    ]
    private static let text: [UnsupportedOption] = [
        flag("echo", false), number("best_of", 1), empty("suffix"),
    ]
    private static let chat: [UnsupportedOption] = [
        empty("tools"), empty("functions"), choice("tool_choice"), choice("function_call"), absent("audio"),
        absent("web_search_options"), flag("echo", false), flag("continue_final_message", false),
        flag("add_generation_prompt", true), absent("chat_template"), empty("documents"),
    ]

    private static func number(_ name: String, _ only: Double) -> UnsupportedOption {
        UnsupportedOption(name: name, only: "only \(Int(only)) is") { value in
            if case .number(let value) = value { value == only } else { false }
        }
    }

    private static func flag(_ name: String, _ only: Bool) -> UnsupportedOption {
        UnsupportedOption(name: name, only: "only \(only) is") { value in
            if case .bool(let value) = value { value == only } else { false }
        }
    }

    private static func empty(_ name: String) -> UnsupportedOption {
        UnsupportedOption(name: name, only: "leave it out") { value in
            switch value {
            case .string(let value): value.isEmpty
            case .array(let count): count == 0
            case .object(let isEmpty): isEmpty
            case .bool, .number, .unreadable: false
            }
        }
    }

    private static func absent(_ name: String) -> UnsupportedOption {
        UnsupportedOption(name: name, only: "leave it out") { _ in false }
    }

    /// Which tool to call: without tools, none and auto are the same.
    private static func choice(_ name: String) -> UnsupportedOption {
        UnsupportedOption(name: name, only: "only \"none\" and \"auto\" are, since there are no tools") {
            value in
            if case .string(let value) = value { value == "none" || value == "auto" } else { false }
        }
    }
}
