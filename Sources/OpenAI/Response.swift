// The objects of an answer: a whole one, or one of the pieces of a stream.
import JSONText

/// Why an answer ended.
public enum FinishReason: String, Sendable {
    /// At a stop text or at the model's own end.
    case stop
    case length
}

/// Tokens that were read and written.
public struct Usage: Equatable, Sendable {
    public var promptTokens: Int
    public var completionTokens: Int
    /// Of the prompt's: they were in memory and were not computed.
    public var cachedTokens: Int

    public init(promptTokens: Int, completionTokens: Int, cachedTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }

    var json: JSONValue {
        .object([
            ("prompt_tokens", .integer(Int64(promptTokens))),
            ("completion_tokens", .integer(Int64(completionTokens))),
            ("total_tokens", .integer(Int64(promptTokens) + Int64(completionTokens))),
            ("prompt_tokens_details", .object([("cached_tokens", .integer(Int64(cachedTokens)))])),
        ])
    }
}

/// What happens to a job, in this order: started, any number of tokens, ended or failed.
public enum ResponseEvent: Equatable, Sendable {
    /// - Parameter fingerprint: of all that decides the answer to a request with a seed, see `system_fingerprint` of
    ///   OpenAI's API. It is known once a job has its workers.
    case started(fingerprint: String)
    /// Whole characters only: the text of a token may come with a later one.
    /// - Parameter logprobs: of these tokens, where the request asks for them.
    case tokens(text: String, ids: [UInt32], logprobs: [TokenLogprob] = [])
    case ended(FinishReason, Usage)
    case failed(APIError)
}

/// What is the same in every object of one answer.
public struct ResponseIdentity: Equatable, Sendable {
    let form: CompletionRequest.Form
    let id: String
    let model: String
    let created: Int64
    /// Null until the job has started.
    var fingerprint: String?
    let hasLogprobs: Bool
    let hasTokenIDs: Bool
    let includesUsage: Bool

    /// - Parameters:
    ///   - job: the coordinator's id of it; becomes part of the answer's.
    ///   - created: seconds since 1970.
    public init(_ request: CompletionRequest, job: String, created: Int64) {
        form = request.form
        id = (request.form == .chat ? "chatcmpl-" : "cmpl-") + job
        model = request.model
        self.created = created
        hasLogprobs = request.logprobs != nil
        hasTokenIDs = request.returnsTokenIDs
        includesUsage = request.includesUsage
    }

    /// The whole answer.
    func whole(
        text: String, ids: [UInt32], logprobs: JSONValue, finish: FinishReason, usage: Usage
    ) -> JSONValue {
        let content: (String, JSONValue) =
            form == .chat
            ? (
                "message",
                .object([("role", .string("assistant")), ("content", .string(text)), ("refusal", .null)])
            )
            : ("text", .string(text))
        return object(
            form == .chat ? "chat.completion" : "text_completion",
            choices: [choice(content, ids: ids, logprobs: logprobs, finish: finish)], usage: usage.json)
    }

    /// A piece of a stream. `delta` is only for chat; nil: an empty one.
    func piece(
        delta: [(String, JSONValue)] = [], text: String = "", ids: [UInt32] = [], logprobs: JSONValue = .null,
        finish: FinishReason? = nil
    ) -> JSONValue {
        let content: (String, JSONValue) =
            form == .chat ? ("delta", .object(delta)) : ("text", .string(text))
        return object(
            pieceName, choices: [choice(content, ids: ids, logprobs: logprobs, finish: finish)],
            usage: includesUsage ? .null : nil)
    }

    /// The last piece, where it is asked for.
    func usagePiece(_ usage: Usage) -> JSONValue { object(pieceName, choices: [], usage: usage.json) }

    private var pieceName: String { form == .chat ? "chat.completion.chunk" : "text_completion" }

    private func choice(
        _ content: (String, JSONValue), ids: [UInt32], logprobs: JSONValue, finish: FinishReason?
    ) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("index", .integer(0)), content, ("logprobs", logprobs),
            ("finish_reason", JSONValue(finish?.rawValue)),
        ]
        if hasTokenIDs { members.append(("token_ids", .array(ids.map { .unsigned(UInt64($0)) }))) }
        return .object(members)
    }

    private func object(_ name: String, choices: [JSONValue], usage: JSONValue?) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("id", .string(id)), ("object", .string(name)), ("created", .integer(created)),
            ("model", .string(model)), ("system_fingerprint", JSONValue(fingerprint)),
            ("choices", .array(choices)),
        ]
        if let usage { members.append(("usage", usage)) }
        return .object(members)
    }
}
