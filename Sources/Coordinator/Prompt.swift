// A prompt that arrives in parts: collected within a limit, then turned into tokens.
import Dispatch
package import RPC

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

    /// The job's options, which say whether the chat template was applied, and its prompt as tokens. Minutes of text take
    /// seconds.
    package func tokenised(by model: any ModelDescription) throws(CoordinatorError) -> (JobOptions, [UInt32])
    {
        guard var options else { throw CoordinatorError(.invalid, "the submission is empty") }
        guard options.chatTemplate.isEmpty || options.chat else {
            throw CoordinatorError(.invalid, "a chat template is named for a prompt that is no chat")
        }
        guard tokens.isEmpty else {
            if options.chat {
                throw CoordinatorError(
                    .invalid, "the chat template needs text; token ids are taken as they are")
            }
            return (options, tokens)
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
        if options.chatIfTemplate { options.chat = options.chat || model.hasChatTemplate }
        do {
            let tokens =
                try options.chat
                ? model.encodeChat(
                    (options.system.isEmpty ? [] : [ConversationTurn(role: .system, content: options.system)])
                        + [ConversationTurn(role: .user, content: string)],
                    template: options.chatTemplate, wallMicroseconds: wallMicroseconds())
                : model.encode(string, literal: options.literal)
            return (options, tokens)
        } catch {
            throw CoordinatorError(
                .invalid,
                "the prompt cannot be tokenised: \(error)"
                    + (options.chatIfTemplate ? ". With --raw it is continued without the chat template" : "")
            )
        }
    }

    /// The same on a thread of its own, never on the pool that serves the network.
    func tokenisedElsewhere(by model: any ModelDescription) async throws -> (JobOptions, [UInt32]) {
        try await Self.queue.run { try tokenised(by: model) }
    }

    private static let queue = DispatchQueue(label: "lariat.tokenise")
}

extension DispatchQueue {
    /// Runs `body` on this queue, never on the pool that serves the network.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            async { continuation.resume(with: Result { try body() }) }
        }
    }
}
