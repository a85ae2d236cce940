// A prompt that arrives in parts by gRPC: collected within a limit.
package import Messages

/// The parts of one submission.
package struct PromptParts: Sendable {
    package private(set) var options: JobOptions?
    private var text: [UInt8] = []
    private var tokens: [UInt32] = []
    /// What was said before the text.
    private var turns: [(role: ConversationTurn.Role, content: [UInt8])] = []
    private var turnBytes = 0
    private let limit: Int

    package init(limit: Int) { self.limit = limit }

    /// What a turn takes beside its content.
    private static let turnOverhead = 64

    /// Bytes held so far; four for a token.
    package var bytes: Int { text.count + 4 * tokens.count + turnBytes }

    /// What a part adds to them.
    package static func bytes(of part: SubmitPart) -> Int {
        part.text.count + 4 * part.tokens.count
            + part.turns.reduce(0) { $0 + $1.content.count + turnOverhead }
    }

    package mutating func add(_ part: SubmitPart) throws(CoordinatorError) {
        if let given = part.options {
            guard options == nil, bytes == 0 else {
                throw CoordinatorError(.invalid, "only the first part of a submission may carry options")
            }
            options = given
        } else if options == nil {
            throw CoordinatorError(.invalid, "the first part of a submission must carry the job's options")
        }
        guard bytes + Self.bytes(of: part) <= limit else {
            throw CoordinatorError(
                .exhausted, "the prompt is longer than \(humanBytes(limit)), which is the limit")
        }
        text += part.text
        tokens += part.tokens
        for turn in part.turns { try add(turn) }
        guard text.isEmpty && turns.isEmpty || tokens.isEmpty else {
            throw CoordinatorError(.invalid, "a prompt is either text or tokens, not both")
        }
    }

    private mutating func add(_ turn: ChatTurn) throws(CoordinatorError) {
        switch turn.role {
        case .user: turns.append((.user, turn.content))
        case .assistant: turns.append((.assistant, turn.content))
        case .unspecified:
            guard !turns.isEmpty else {
                throw CoordinatorError(
                    .invalid, "the first turn of a conversation has no role: USER or ASSISTANT")
            }
            turns[turns.count - 1].content += turn.content
        case .unknown:
            throw CoordinatorError(.invalid, "a turn's role is unknown; USER and ASSISTANT are possible")
        }
        turnBytes += turn.content.count + Self.turnOverhead
    }

    /// What was submitted, once all parts have come, its options saying whether it is for a chat template. Takes time in
    /// proportion to the text.
    /// - Parameters:
    ///   - hasChatTemplate: whether the model has one, for submissions that leave it to that.
    ///   - topic: the context that it asks about.
    package func whole(
        hasChatTemplate: Bool, about topic: ContextTopic? = nil
    ) throws(CoordinatorError) -> (options: JobOptions, prompt: Prompt) {
        guard var options else { throw CoordinatorError(.invalid, "the submission is empty") }
        if let topic { try topic.settle(&options) }
        guard options.chatTemplate.isEmpty || options.chat else {
            throw CoordinatorError(.invalid, "a chat template is named for a prompt that is no chat")
        }
        guard tokens.isEmpty else {
            if options.chat, topic == nil {
                throw CoordinatorError(
                    .invalid, "the chat template needs text; token ids are taken as they are")
            }
            return (options, .tokens(tokens))
        }
        guard let string = String(validating: text, as: UTF8.self) else {
            throw CoordinatorError(.invalid, "the prompt is not UTF-8 text")
        }
        guard string.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw CoordinatorError(
                .invalid,
                string.isEmpty
                    ? "the prompt is empty; give some text or token ids"
                    : "the prompt has nothing but white space; give some text or token ids")
        }
        let user = ConversationTurn(role: .user, content: string)
        if let topic {
            if topic.record.chat { return (options, .question(try earlier() + [user])) }
            guard turns.isEmpty else {
                throw CoordinatorError(
                    .invalid,
                    "what was said before is for the chat template, and the context \"\(topic.record.name)\" is none of "
                        + "a chat")
            }
            return (options, .continuation(string))
        }
        if options.chatIfTemplate, hasChatTemplate { options.chat = true }
        guard options.chat else {
            guard turns.isEmpty else {
                throw CoordinatorError(
                    .invalid,
                    "what was said before is for the chat template, and this prompt is none of a chat")
            }
            return (options, .text(string))
        }
        let system =
            options.system.isEmpty ? [] : [ConversationTurn(role: .system, content: options.system)]
        let all = system + (try earlier()) + [user]
        return (options, options.kind == .ingest ? .opening(all) : .conversation(all))
    }

    /// What was said before the text, as text.
    private func earlier() throws(CoordinatorError) -> [ConversationTurn] {
        var whole: [ConversationTurn] = []
        for (index, turn) in turns.enumerated() {
            guard let content = String(validating: turn.content, as: UTF8.self) else {
                throw CoordinatorError(.invalid, "turn \(index + 1) of the conversation is not UTF-8 text")
            }
            whole.append(ConversationTurn(role: turn.role, content: content))
        }
        return whole
    }
}
