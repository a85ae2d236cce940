// A request for text: the body of POST /v1/completions and /v1/chat/completions, checked.
import Foundation
public import JSONText
import Numerals

/// What a client asks for. Every value is within its limits; the rules over the model (window, vocabulary, chat
/// template) are the coordinator's.
///
/// - `RequestMembers` has a line for each member that is read, cannot change the answer, or is refused. Any other is
///   refused by name: it may be misspelt, or an option of another program that would change the answer.
/// - Of a member that is there twice the first counts.
/// - Beside OpenAI's there are vLLM's `top_k`, `min_p`, `repetition_penalty`, `ignore_eos` and `return_token_ids`, and
///   Lariat's own `repetition_window`, `rope`, `workers`, `beyond_window` and `context`.
public struct CompletionRequest: Equatable, Sendable {
    /// The two forms of the API.
    public enum Form: Sendable {
        /// `/v1/completions`: text goes on.
        case text
        /// `/v1/chat/completions`: a conversation is answered.
        case chat

        /// Where it is served.
        public var path: String {
            switch self {
            case .text: "/v1/completions"
            case .chat: "/v1/chat/completions"
            }
        }
    }

    public enum Input: Equatable, Sendable {
        case text(String)
        case tokens([UInt32])
        case messages([Message])
    }

    public struct Message: Equatable, Sendable {
        public enum Role: String, Sendable {
            /// OpenAI's `developer` as well.
            case system
            case user
            case assistant
        }
        public let role: Role
        /// Of several text parts, one to a line, as vLLM and llama.cpp join them.
        public let content: String
    }

    /// As in the coordinator's options; 0 is "not given".
    public struct Sampling: Equatable, Sendable {
        public var temperature: Float = 1
        public var topK: UInt32 = 0
        public var topP: Float = 1
        public var minP: Float = 0
        public var repetitionPenalty: Float = 0
        public var repetitionWindow: UInt32 = 0
        /// A seed of 0 from a client is another number here, since 0 lets the coordinator choose.
        public var seed: UInt64 = 0

        /// OpenAI's defaults, and vLLM's: the model's own distribution.
        public init() {}
    }

    public let form: Form
    public let model: String
    public let input: Input
    /// Nil: the coordinator's default.
    public let maxTokens: UInt32?
    public let sampling: Sampling
    public let stop: [String]
    /// Whether the answer is a stream of events.
    public let streams: Bool
    /// Whether the stream ends with a count of tokens.
    public let includesUsage: Bool
    /// How many of the likeliest tokens to list beside each token's own log probability; nil: no log probabilities.
    public let logprobs: Int?
    public let returnsTokenIDs: Bool
    /// Who asks, or empty; fits a job's name.
    public let user: String
    /// Whether the job goes on when the client disconnects.
    public let isStored: Bool
    public let ignoresEnd: Bool
    /// The name of a rotary method, as after `--rope`; not checked here.
    public let rope: String?
    /// Most workers to use; 0: all.
    public let workers: UInt32
    public let beyondWindow: Bool
    /// The context that it asks about; empty: none.
    public let context: String

    /// The coordinator's own limits of a job are the same.
    static let mostStops = 64
    static let longestStop = 1024
    static let longestName = 256
    static let longestContext = 128
    static let mostMessages = 10_000
    static let largestWindow: Int64 = 1 << 16
    /// What a client's seed of 0 becomes.
    static let seedOfZero: UInt64 = 0x9e37_79b9_7f4a_7c15

    /// - Parameters:
    ///   - json: the body. Its size is limited by the caller; parsing takes up to about 60 bytes a value more.
    ///   - limits: of the JSON text. The default lets a prompt have four million token ids.
    /// - Throws: status 400, naming the member at fault.
    public init(
        _ form: Form, json: [UInt8], limits: JSONLimits = JSONLimits(depth: 64, values: 1 << 22)
    ) throws(APIError) {
        do {
            try limits.check(json)
        } catch {
            throw .invalid("the body is refused: \(error)")
        }
        do {
            self = try JSONDecoder().decode(Body.self, from: Data(json), configuration: form).request
        } catch let error as APIError {
            throw error
        } catch DecodingError.typeMismatch {
            throw .invalid("the body must be a JSON object")
        } catch {
            throw .invalid("the body is not valid JSON")
        }
    }

    private struct Body: DecodableWithConfiguration {
        let request: CompletionRequest

        init(from decoder: any Decoder, configuration form: Form) throws {
            let container = try decoder.container(keyedBy: FieldName.self)
            request = try CompletionRequest(form, RequestFields(container))
        }
    }

    private init(_ form: Form, _ fields: RequestFields) throws(APIError) {
        self.form = form
        guard let model = try fields.string("model", most: Self.longestName) else {
            throw fields.wrong("model", "is missing", code: "missing_required_parameter")
        }
        self.model = model
        try RequestMembers.request.check(fields, form: form)
        try Self.checkFormats(fields, form)
        input = form == .chat ? .messages(try Self.messages(fields, form)) : try Self.prompt(fields)
        maxTokens = try Self.maxTokens(fields, form)
        sampling = try Self.sampling(fields)
        stop = try fields.texts("stop", most: Self.mostStops, bytes: Self.longestStop) ?? []
        guard !stop.contains("") else { throw fields.wrong("stop", "has an empty text") }
        streams = try fields.bool("stream") ?? false
        let streamOptions = try fields.object("stream_options")
        guard streams || streamOptions == nil else {
            throw fields.wrong("stream_options", "is only possible with \"stream\"")
        }
        if let streamOptions { try RequestMembers.streamOptions.check(streamOptions, form: form) }
        includesUsage = try streamOptions?.bool("include_usage") ?? false
        logprobs = try Self.logprobs(fields, form)
        returnsTokenIDs = try fields.bool("return_token_ids") ?? false
        user = Self.cut(try fields.string("user", most: .max) ?? "", toBytes: Self.longestName)
        isStored = try fields.bool("store") ?? false
        ignoresEnd = try fields.bool("ignore_eos") ?? false
        rope = try fields.string("rope", most: Self.longestName)
        workers = UInt32(try fields.integer("workers", 0...Int64(UInt32.max)) ?? 0)
        beyondWindow = try fields.bool("beyond_window") ?? false
        context = try fields.string("context", most: Self.longestContext) ?? ""
    }

    /// Answers are text.
    private static func checkFormats(_ fields: RequestFields, _ form: Form) throws(APIError) {
        if let format = try fields.object("response_format") {
            guard try format.string("type", most: 64) == "text" else {
                throw fields.wrong(
                    "response_format", "is not supported here: only the type \"text\" is",
                    code: RequestMembers.unsupported)
            }
            try RequestMembers.responseFormat.check(format, form: form)
        }
        if let modalities = try fields.texts("modalities", most: 8, bytes: 64), modalities != ["text"] {
            throw fields.wrong(
                "modalities", "is not supported here: only [\"text\"] is", code: RequestMembers.unsupported)
        }
    }

    private static func prompt(_ fields: RequestFields) throws(APIError) -> Input {
        let forms = "must be text, one text in an array, an array of token ids, or one such array in an array"
        func some(_ text: String) throws(APIError) -> Input {
            guard !text.isEmpty else { throw fields.wrong("prompt", "is empty") }
            return .text(text)
        }
        func some(_ tokens: [UInt32]) throws(APIError) -> Input {
            guard !tokens.isEmpty else { throw fields.wrong("prompt", "is empty") }
            return .tokens(tokens)
        }
        switch try fields.read("prompt", as: String.self) {
        case .absent: throw fields.wrong("prompt", "is missing", code: "missing_required_parameter")
        case .value(let text): return try some(text)
        case .other: break
        }
        if case .value(let tokens) = try fields.read("prompt", as: [UInt32].self) { return try some(tokens) }
        guard let inner = try fields.array("prompt", else: forms) else { throw fields.wrong("prompt", forms) }
        if inner.count == 1 {
            if case .value(let texts) = try fields.read("prompt", as: [String].self) {
                return try some(texts[0])
            }
            if case .value(let lists) = try fields.read("prompt", as: [[UInt32]].self) {
                return try some(lists[0])
            }
        } else if case .value = try fields.read("prompt", as: [[UInt32]].self) {
            throw fields.wrong("prompt", "has \(inner.count.grouped) prompts; a request may have one")
        } else if case .value = try fields.read("prompt", as: [String].self) {
            throw fields.wrong("prompt", "has \(inner.count.grouped) prompts; a request may have one")
        }
        throw fields.wrong("prompt", forms)
    }

    private static func messages(_ fields: RequestFields, _ form: Form) throws(APIError) -> [Message] {
        guard var inner = try fields.array("messages", else: "must be an array of messages") else {
            throw fields.wrong("messages", "is missing", code: "missing_required_parameter")
        }
        guard (1...mostMessages).contains(inner.count) else {
            throw fields.wrong(
                "messages", "has \(inner.count.grouped) messages; it must have 1 to \(mostMessages.grouped)")
        }
        var messages: [Message] = []
        messages.reserveCapacity(inner.count)
        while let message = try inner.nextObject() {
            let role = try role(message)
            try RequestMembers.message.check(message, form: form)
            messages.append(Message(role: role, content: try content(message, form)))
        }
        return messages
    }

    private static func role(_ message: RequestFields) throws(APIError) -> Message.Role {
        switch try message.string("role", most: 64) {
        case "system", "developer": return .system
        case "user": return .user
        case "assistant": return .assistant
        case nil: throw message.wrong("role", "is missing", code: "missing_required_parameter")
        default:
            throw message.wrong("role", "must be \"system\", \"developer\", \"user\" or \"assistant\"")
        }
    }

    private static func content(_ message: RequestFields, _ form: Form) throws(APIError) -> String {
        switch try message.read("content", as: String.self) {
        case .absent: throw message.wrong("content", "is missing", code: "missing_required_parameter")
        case .value(let text): return text
        case .other: break
        }
        guard var parts = try message.array("content", else: "must be text or an array of text parts") else {
            throw message.wrong("content", "is missing")
        }
        var texts: [String] = []
        while let part = try parts.nextObject() {
            guard try part.string("type", most: 64) == "text" else {
                throw part.wrong(
                    "type", "is not supported here: only \"text\" is", code: RequestMembers.unsupported)
            }
            try RequestMembers.contentPart.check(part, form: form)
            guard let text = try part.string("text", most: .max) else {
                throw part.wrong("text", "is missing", code: "missing_required_parameter")
            }
            texts.append(text)
        }
        return texts.joined(separator: "\n")
    }

    private static func maxTokens(_ fields: RequestFields, _ form: Form) throws(APIError) -> UInt32? {
        let range = 1...Int64(UInt32.max)
        let older = try fields.integer("max_tokens", range)
        let newer = form == .chat ? try fields.integer("max_completion_tokens", range) : nil
        guard older == nil || newer == nil || older == newer else {
            throw fields.wrong("max_tokens", "and \"max_completion_tokens\" differ; give one of them")
        }
        return (newer ?? older).map { UInt32($0) }
    }

    private static func sampling(_ fields: RequestFields) throws(APIError) -> Sampling {
        var sampling = Sampling()
        if let temperature = try fields.number("temperature", 0...2) {
            sampling.temperature = Float(temperature)
        }
        if let topP = try fields.number("top_p", 0...1) {
            // To the coordinator 0 is "all", to OpenAI's clients "as few as possible".
            sampling.topP = max(Float(topP), Float.leastNormalMagnitude)
        }
        // vLLM's -1 is "all", as 0 is here.
        sampling.topK = UInt32(max(0, try fields.integer("top_k", -1...Int64(Int32.max)) ?? 0))
        sampling.minP = Float(try fields.number("min_p", 0...1) ?? 0)
        sampling.repetitionPenalty = Float(try fields.number("repetition_penalty", 0...100) ?? 0)
        sampling.repetitionWindow = UInt32(try fields.integer("repetition_window", 0...largestWindow) ?? 0)
        switch try fields.read("seed", as: UInt64.self) {
        case .absent: break
        case .value(let seed): sampling.seed = seed == 0 ? seedOfZero : seed
        case .other:
            if let seed = try fields.integer("seed", Int64.min...Int64.max) {
                sampling.seed = UInt64(bitPattern: seed)
            }
        }
        return sampling
    }

    private static func logprobs(_ fields: RequestFields, _ form: Form) throws(APIError) -> Int? {
        guard form == .chat else { return try fields.integer("logprobs", 0...5).map { Int($0) } }
        let top = try fields.integer("top_logprobs", 0...20)
        guard try fields.bool("logprobs") == true else {
            guard (top ?? 0) == 0 else {
                throw fields.wrong("top_logprobs", "is only possible with \"logprobs\": true")
            }
            return nil
        }
        return Int(top ?? 0)
    }

    /// The longest beginning of at most so many bytes that ends between two characters.
    private static func cut(_ text: String, toBytes count: Int) -> String {
        guard text.utf8.count > count else { return text }
        var end = text.startIndex
        var left = count
        for character in text {
            left -= character.utf8.count
            guard left >= 0 else { break }
            end = text.index(after: end)
        }
        return String(text[..<end])
    }
}
