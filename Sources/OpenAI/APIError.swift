// What a client is told when a request is refused or fails, in the form of OpenAI's API.
public import JSONText
import Numerals

/// A refusal or failure: the HTTP status and the members of OpenAI's error object.
///
/// The `openai` clients choose the class of their exception by the status, and try again by themselves after 408, 409,
/// 429 and 500 and above.
public struct APIError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable {
        case invalidRequest = "invalid_request_error"
        case authentication = "authentication_error"
        case permission = "permission_error"
        case notFound = "not_found_error"
        case rateLimit = "rate_limit_error"
        case server = "server_error"
    }

    public var status: Int
    public var kind: Kind
    public var message: String
    /// The member of the request that is at fault, as in `messages[0].content`.
    public var param: String?
    /// For programs that tell errors apart.
    public var code: String?

    public init(status: Int, _ kind: Kind, _ message: String, param: String? = nil, code: String? = nil) {
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code
    }

    public var description: String { message }

    /// `{"error":{"message":...,"type":...,"param":...,"code":...}}`.
    public var json: JSONValue {
        .object([
            (
                "error",
                .object([
                    ("message", .string(message)), ("type", .string(kind.rawValue)),
                    ("param", JSONValue(param)), ("code", JSONValue(code)),
                ])
            )
        ])
    }

    /// The answer to a request of which nothing was answered yet.
    public var reply: Reply { Reply(status: status, json) }
}

extension APIError {
    /// Something in the request is wrong.
    public static func invalid(_ message: String, param: String? = nil, code: String? = nil) -> APIError {
        APIError(status: 400, .invalidRequest, message, param: param, code: code)
    }

    /// - Parameter message: that there is no token, or that it is wrong. Never the token itself.
    public static func unauthenticated(_ message: String) -> APIError {
        APIError(status: 401, .authentication, message, code: "invalid_api_key")
    }

    public static func forbidden(_ message: String) -> APIError {
        APIError(status: 403, .permission, message)
    }

    /// As OpenAI says it: status 404, but not the type `not_found_error`.
    public static func modelNotFound(_ name: String, serving: String) -> APIError {
        APIError(
            status: 404, .invalidRequest,
            "the model \"\(name.prefix(100))\" does not exist; this is \"\(serving)\"",
            param: "model", code: "model_not_found")
    }

    /// The prompt and the answer's reserve are longer than the model's window.
    /// - Parameters:
    ///   - isAtLeast: the prompt has so many tokens or more; they were not counted.
    ///   - form: decides whether `prompt` or `messages` is named.
    public static func contextLength(
        promptTokens: Int, isAtLeast: Bool = false, reserved: Int, window: Int, form: CompletionRequest.Form
    ) -> APIError {
        // OpenAI's sentence, from which programs read the figures: their digits stand together.
        let (total, overflow) = promptTokens.addingReportingOverflow(reserved)
        return .invalid(
            "this model's maximum context length is \(window) tokens; the request has "
                + "\(isAtLeast ? "at least " : "")"
                + "\(overflow ? Int.max : total) (\(promptTokens) of the prompt and \(reserved) for the answer). "
                + "Shorten the prompt or the answer, extend the window with \"rope\", or allow it with "
                + "\"beyond_window\"",
            param: form == .chat ? "messages" : "prompt", code: "context_length_exceeded")
    }

    /// The model has no chat template, or it cannot write this conversation.
    public static func conversation(_ problem: String) -> APIError {
        .invalid(
            "\(problem). \(CompletionRequest.Form.text.path) takes plain text", param: "messages",
            code: "chat_template")
    }

    /// The body is longer than the server takes.
    public static func bodyTooLarge(limit: Int) -> APIError {
        APIError(
            status: 413, .invalidRequest, "the request is longer than \(limit.grouped) bytes, the limit",
            code: "request_too_large")
    }
}

/// Why a coordinator refuses or ends a job; the cases are those of its errors.
public enum Refusal: Sendable, CaseIterable {
    /// The request itself is wrong.
    case invalid
    /// The prompt and the answer's reserve are more than the window.
    case beyondWindow
    case notFound
    /// The cluster or job is not in a state for it: no workers, or too little memory for so long a prompt.
    case notPossible
    /// A limit is reached: too many jobs wait, or the disk is full.
    case exhausted
    /// Stopping, or its journal cannot be written.
    case unavailable
    /// A fault of the coordinator's data or code.
    case internalFault
}

extension APIError {
    /// What a client of the HTTP API is told of a refusal.
    ///
    /// `notPossible` is 400, as gRPC's gateways have it: the clients' trying again by themselves would only send a long
    /// prompt twice more. The other states of the cluster pass by themselves.
    public init(_ refusal: Refusal, _ message: String) {
        switch refusal {
        case .invalid: self = .invalid(message)
        case .beyondWindow: self = .invalid(message, code: "context_length_exceeded")
        case .notFound: self.init(status: 404, .notFound, message, code: "not_found")
        case .notPossible: self = .invalid(message, code: "not_possible")
        case .exhausted: self.init(status: 429, .rateLimit, message, code: "limit_reached")
        case .unavailable: self.init(status: 503, .server, message, code: "unavailable")
        case .internalFault: self.init(status: 500, .server, message, code: "internal_error")
        }
    }
}

extension JSONValue {
    /// Null without a value.
    init(_ string: String?) { self = string.map { .string($0) } ?? .null }
}
