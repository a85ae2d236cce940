// An answer as a stream of server-sent events: what happens goes in, the bytes to send come out.
import JSONText

/// The body of an answer with `"stream": true`. It keeps nothing of what it has written.
///
/// A stream ends with `data: [DONE]`. When a job fails after the stream began, its status is sent already: the error is
/// an event of its own before that, as in vLLM.
public struct ResponseStream: Sendable {
    public static let contentType = "text/event-stream; charset=utf-8"

    private var identity: ResponseIdentity
    private var logprobs: LogprobWriter
    private var hasBegun = false
    /// Whether the last byte has come out. Whatever is received after that gives nothing.
    public private(set) var isOver = false

    public init(_ identity: ResponseIdentity) {
        self.identity = identity
        logprobs = LogprobWriter(identity.form)
    }

    /// - Returns: the bytes to send now; may be none.
    public mutating func receive(_ event: ResponseEvent) -> [UInt8] {
        guard !isOver else { return [] }
        switch event {
        case .started(let fingerprint):
            if !hasBegun { identity.fingerprint = fingerprint }
            return opening()
        case .tokens(let text, let ids, let entries):
            let shown = identity.hasLogprobs ? entries : []
            guard !text.isEmpty || !shown.isEmpty || (identity.hasTokenIDs && !ids.isEmpty) else {
                return opening()
            }
            let logprobs = shown.isEmpty ? .null : logprobs.json(shown)
            return opening()
                + Self.event(
                    identity.piece(
                        delta: [("content", .string(text))], text: text, ids: ids, logprobs: logprobs))
        case .ended(let finish, let usage):
            isOver = true
            return opening() + Self.event(identity.piece(finish: finish))
                + (identity.includesUsage ? Self.event(identity.usagePiece(usage)) : []) + Self.end
        case .failed(let error):
            isOver = true
            return Self.event(error.json) + Self.end
        }
    }

    /// A line that clients skip: for whatever closes connections on which nothing is said for long, as while a long
    /// prompt is read.
    public static let keepAlive = Array(": waiting\n\n".utf8)

    private static let end = Array("data: [DONE]\n\n".utf8)

    /// JSON text has no line breaks, so an event is one line.
    private static func event(_ json: JSONValue) -> [UInt8] { Array("data: \(json.text)\n\n".utf8) }

    /// Chat only: the first piece says who speaks.
    private mutating func opening() -> [UInt8] {
        guard !hasBegun else { return [] }
        hasBegun = true
        guard identity.form == .chat else { return [] }
        return Self.event(
            identity.piece(delta: [
                ("role", .string("assistant")), ("content", .string("")), ("refusal", .null),
            ]))
    }
}
