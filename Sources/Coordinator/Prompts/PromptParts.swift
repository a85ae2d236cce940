// A prompt that arrives in parts by gRPC: collected within a limit.
package import Messages

/// The parts of one submission.
package struct PromptParts: Sendable {
    package private(set) var options: JobOptions?
    private var text: [UInt8] = []
    private var tokens: [UInt32] = []
    private let limit: Int

    package init(limit: Int) { self.limit = limit }

    /// Bytes held so far; four for a token.
    package var bytes: Int { text.count + 4 * tokens.count }

    package mutating func add(_ part: SubmitPart) throws(CoordinatorError) {
        if let given = part.options {
            guard options == nil, bytes == 0 else {
                throw CoordinatorError(.invalid, "only the first part of a submission may carry options")
            }
            options = given
        } else if options == nil {
            throw CoordinatorError(.invalid, "the first part of a submission must carry the job's options")
        }
        guard bytes + part.text.count + 4 * part.tokens.count <= limit else {
            throw CoordinatorError(
                .exhausted, "the prompt is longer than \(humanBytes(limit)), which is the limit")
        }
        text += part.text
        tokens += part.tokens
        guard text.isEmpty || tokens.isEmpty else {
            throw CoordinatorError(.invalid, "a prompt is either text or tokens, not both")
        }
    }

    /// What was submitted, once all parts have come, its options saying whether it is for a chat template. Takes time in
    /// proportion to the text.
    /// - Parameter hasChatTemplate: whether the model has one, for submissions that leave it to that.
    package func whole(
        hasChatTemplate: Bool
    ) throws(CoordinatorError) -> (options: JobOptions, prompt: Prompt) {
        guard var options else { throw CoordinatorError(.invalid, "the submission is empty") }
        guard options.chatTemplate.isEmpty || options.chat else {
            throw CoordinatorError(.invalid, "a chat template is named for a prompt that is no chat")
        }
        guard tokens.isEmpty else {
            if options.chat {
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
        if options.chatIfTemplate, hasChatTemplate { options.chat = true }
        guard options.chat else { return (options, .text(string)) }
        let system =
            options.system.isEmpty ? [] : [ConversationTurn(role: .system, content: options.system)]
        return (options, .conversation(system + [ConversationTurn(role: .user, content: string)]))
    }
}
