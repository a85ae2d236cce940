// Writing a conversation as tokens. The marks of the template become control tokens; what the messages say never does.

extension Tokenizer {
    /// The tokens of a conversation in the form of the model's chat template.
    ///
    /// Special tokens come from the template only: `<|im_end|>` in a message is read as the ten letters it is, so that a
    /// document cannot speak in another role.
    ///
    /// - Parameters:
    ///   - messages: a system message, if any, first; then user and assistant by turns, as the model was trained.
    ///   - template: the form to use instead of the model's own.
    ///   - addingAnswerHeader: whether the header of the assistant's next message follows, so that the model answers.
    public func encodeChat(
        _ messages: [ChatMessage], template: ChatTemplate? = nil, addingAnswerHeader: Bool = true
    ) throws(TokenizerError) -> [TokenID] {
        guard let template = template ?? chatTemplate else {
            throw TokenizerError(
                kind: .noChatTemplate,
                problem: "The model has no chat template that Lariat knows ("
                    + ChatTemplate.allCases.map(\.rawValue).joined(separator: ", ")
                    + "). Send plain text, or name one of these forms")
        }
        guard !messages.isEmpty else {
            throw TokenizerError(kind: .conversation, problem: "The conversation has no messages")
        }
        guard messages.dropFirst().allSatisfy({ $0.role != .system }) else {
            throw TokenizerError(
                kind: .conversation, problem: "A system message must be the first of the conversation")
        }
        var writer = ChatWriter(tokenizer: self)
        if addsBeginning || template == .llama2 || template == .llama3 || chat?.writesBeginning == true {
            writer.token(beginning)
        }
        switch template {
        case .chatML: writeChatML(messages, addingAnswerHeader, &writer)
        case .llama2: try writeLlama2(messages, &writer)
        case .llama3: writeLlama3(messages, addingAnswerHeader, &writer)
        case .phi3: writePhi3(messages, addingAnswerHeader, &writer)
        }
        return writer.finish()
    }

    private func writeChatML(_ messages: [ChatMessage], _ answer: Bool, _ writer: inout ChatWriter) {
        var messages = messages
        if messages[0].role != .system, let text = chat?.defaultSystem {
            messages.insert(ChatMessage(role: .system, content: text), at: 0)
        }
        for message in messages {
            writer.marks("<|im_start|>\(message.role.rawValue)\n")
            writer.content(message.content)
            writer.marks("<|im_end|>\n")
        }
        if answer { writer.marks("<|im_start|>assistant\n") }
    }

    private func writeLlama3(_ messages: [ChatMessage], _ answer: Bool, _ writer: inout ChatWriter) {
        for message in messages {
            writer.marks("<|start_header_id|>\(message.role.rawValue)<|end_header_id|>\n\n")
            writer.content(trimmed(message.content))
            writer.marks("<|eot_id|>")
        }
        if answer { writer.marks("<|start_header_id|>assistant<|end_header_id|>\n\n") }
    }

    /// Line breaks of Phi 3's template are left out: its special tokens swallow the white space that follows them, and
    /// Phi 4 mini has none.
    private func writePhi3(_ messages: [ChatMessage], _ answer: Bool, _ writer: inout ChatWriter) {
        for message in messages {
            writer.marks("<|\(message.role.rawValue)|>")
            writer.content(isSentencePiece ? trimmed(message.content, endToo: false) : message.content[...])
            writer.marks("<|end|>")
        }
        if answer { writer.marks("<|assistant|>") }
    }

    private func writeLlama2(_ messages: [ChatMessage], _ writer: inout ChatWriter) throws(TokenizerError) {
        let withSystemMarks = chat?.template == .llama2 ? chat?.hasSystemMarks == true : true
        var messages = messages[...]
        var system: Substring?
        if let first = messages.first, first.role == .system {
            system = trimmed(first.content)
            messages = messages.dropFirst()
        }
        guard messages.first?.role == .user else {
            throw TokenizerError(
                kind: .conversation,
                problem: "With this model's chat template the user must have the first word")
        }
        for (index, message) in messages.enumerated() {
            guard message.role == (index % 2 == 0 ? .user : .assistant) else {
                throw TokenizerError(
                    kind: .conversation,
                    problem: "With this model's chat template user and assistant must speak by turns")
            }
            if message.role == .assistant {
                writer.marks(" ")
                writer.content(trimmed(message.content))
                if withSystemMarks { writer.marks(" ") }
                writer.token(end)
                continue
            }
            if index > 0, withSystemMarks { writer.token(beginning) }
            writer.marks("[INST] ")
            if index == 0, let system {
                writer.marks(withSystemMarks ? "<<SYS>>\n" : "")
                writer.content(system)
                writer.marks(withSystemMarks ? "\n<</SYS>>\n\n" : "\n\n")
            }
            writer.content(trimmed(message.content))
            writer.marks(" [/INST]")
        }
    }

    private func trimmed(_ text: String, endToo: Bool = true) -> Substring {
        var rest = text[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while endToo, rest.last?.isWhitespace == true { rest.removeLast() }
        return rest
    }
}

/// Collects marks and contents. Text between two special tokens is tokenized in one piece, as the template's own
/// rendering would be, but only marks are searched for special tokens.
private struct ChatWriter {
    let tokenizer: Tokenizer
    private var output: [TokenID] = []
    private var text: [UInt8] = []

    init(tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    mutating func marks(_ marks: String) {
        for part in tokenizer.parts(Array(marks.utf8)) {
            text += part.text
            token(part.token)
        }
    }

    mutating func content(_ content: some StringProtocol) { text += content.utf8 }

    mutating func token(_ token: TokenID?) {
        guard let token else { return }
        flush()
        output.append(token)
    }

    mutating func finish() -> [TokenID] {
        flush()
        return output
    }

    private mutating func flush() {
        guard !text.isEmpty else { return }
        let run = text
        text = []
        var work = EncoderWork(textLength: run.count)
        tokenizer.encodePlain(run.span, 0..<run.count, &work, &output)
    }
}
