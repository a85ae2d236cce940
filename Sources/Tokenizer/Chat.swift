// Writing a conversation as tokens. The marks of the template become control tokens; what the messages say never does.
public import Jinja

/// A message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    public enum Role: String, Sendable, CaseIterable {
        case system
        case user
        case assistant
        /// What a tool answered.
        case tool
    }

    public var role: Role
    /// Nil where a message has none, as one that calls tools.
    public var content: String?
    /// What templates read besides: `tool_calls`, `tool_call_id`, `name`, `reasoning_content`. Texts in it must be
    /// foreign (`JinjaText.init(foreign:)`), or what they say could become control tokens.
    public var fields: [JinjaMember]

    public init(role: Role, content: String?, fields: [JinjaMember] = []) {
        self.role = role
        self.content = content
        self.fields = fields
    }
}

/// What a template is told besides the messages.
public struct ChatOptions: Sendable {
    /// Whether the header of the assistant's next message follows, so that the model answers.
    public var addsAnswerHeader = true
    /// Tools as the OpenAI API has them, a list of mappings; null: none. Their texts must be foreign.
    public var tools = JinjaValue.null
    /// Further names for the template, such as `enable_thinking`.
    public var variables: [(name: String, value: JinjaValue)] = []
    /// What templates that write today's date take it from.
    public var now: JinjaMoment

    public init(now: JinjaMoment) { self.now = now }
}

extension Tokenizer {
    /// The tokens of a conversation, as the chat template writes it.
    ///
    /// The text is what transformers' `apply_chat_template` gives. Special tokens come from the template's own bytes only:
    /// `<|im_end|>` in a message is read as the ten letters it is, so that a document cannot speak in another role. Tokens
    /// that the vocabulary's author defined and that neither end an answer nor stand in the template, such as runs of
    /// spaces, are found everywhere, as in any text. The text between two special tokens is tokenized in one piece.
    ///
    /// The beginning token stands where the template writes it; where it does not, it comes first if the file says that
    /// texts begin with it, as in llama.cpp. It never comes twice.
    ///
    /// - Parameters:
    ///   - messages: one at least; which roles may follow each other is the template's matter.
    ///   - template: instead of the model file's own.
    public func encodeChat(
        _ messages: [ChatMessage], template: ChatTemplate? = nil, options: ChatOptions
    ) throws(TokenizerError) -> [TokenID] {
        guard let template = template ?? chatTemplate else {
            throw TokenizerError(
                kind: .noChatTemplate,
                problem:
                    "The model file has no chat template (tokenizer.chat_template)")
        }
        guard !messages.isEmpty else {
            throw TokenizerError(kind: .conversation, problem: "The conversation has no messages")
        }
        let text = try render(messages, template, options)
        return tokens(of: text, literals: template.literals)
    }

    /// The conversation as text that knows which bytes are the template's own.
    func render(
        _ messages: [ChatMessage], _ template: ChatTemplate, _ options: ChatOptions
    ) throws(TokenizerError) -> JinjaText {
        var variables: [(name: String, value: JinjaValue)] = [
            ("messages", .list(messages.map(\.value))), ("tools", options.tools), ("documents", .null),
            ("add_generation_prompt", .bool(options.addsAnswerHeader)),
        ]
        for (name, token) in [("bos_token", beginning), ("eos_token", end), ("unk_token", unknown)] {
            if let token { variables.append((name, .own(specialText(token)))) }
        }
        variables += options.variables
        // A template copies each text a few times.
        let size = messages.reduce(0) { $0 + ($1.content?.utf8.count ?? 0) }
        let limits = JinjaLimits(bytes: (64 << 20) + 32 * size)
        do throws(JinjaError) {
            return try template.program.get().render(variables, now: options.now, limits: limits)
        } catch {
            switch error.kind {
            case .refused:
                throw TokenizerError(
                    kind: .conversation,
                    problem: "\(template.origin) refuses the conversation: \(error.problem)")
            case .evaluation:
                throw TokenizerError(
                    kind: .conversation,
                    problem: "\(template.origin) cannot write the conversation: \(error)")
            case .syntax, .unsupported, .limit:
                throw TokenizerError(
                    kind: .chatTemplate,
                    problem: "\(template.origin) cannot be used: \(error)")
            }
        }
    }

    /// - Parameter isBeginning: whether nothing stands before it.
    func tokens(of rendered: JinjaText, literals: [String], isBeginning: Bool = true) -> [TokenID] {
        let text = rendered.bytes.span
        var work = EncoderWork(textLength: text.count)
        var output: [TokenID] = []
        output.reserveCapacity(text.count / 4 + 2)
        // Whether a token that the vocabulary's author defined is one of the template's marks.
        var marks: [TokenID: Bool] = [:]
        func isMark(_ token: TokenID) -> Bool {
            if let known = marks[token] { return known }
            let name = specialText(token)
            let isMark =
                !isUserDefined(token) || ends.contains(token) || literals.contains { $0.contains(name) }
            marks[token] = isMark
            return isMark
        }
        appendTokens(text, to: &output, &work) { token, range in rendered.isOwn(range) || !isMark(token) }
        if isBeginning, addsBeginning, let beginning, output.first != beginning {
            output.insert(beginning, at: 0)
        }
        return output
    }
}

extension ChatMessage {
    /// The message as a template sees it. The role is one of a few words, which templates make marks of (`<|user|>`).
    fileprivate var value: JinjaValue {
        var members = [
            JinjaMember(JinjaText(own: "role"), .own(role.rawValue)),
            JinjaMember(JinjaText(own: "content"), content.map(JinjaValue.foreign) ?? .null),
        ]
        members += fields
        // transformers gives what the model thought under both names that templates read.
        func field(_ name: String) -> JinjaValue? { fields.last { $0.key.string == name }?.value }
        let thoughts = ["reasoning_content", "thinking", "reasoning"].lazy.compactMap(field)
        if let thought = thoughts.first(where: { $0 != .null }) {
            if field("thinking") == nil { members.append(JinjaMember(JinjaText(own: "thinking"), thought)) }
            members.append(JinjaMember(JinjaText(own: "reasoning_content"), thought))
        }
        return .map(members)
    }
}
