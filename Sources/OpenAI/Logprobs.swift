// Log probabilities of an answer's tokens in both forms of the API.
import JSONText
import Numerals

/// A token of the answer, how likely it was, and what else was likely in its place.
public struct TokenLogprob: Equatable, Sendable {
    public struct Candidate: Equatable, Sendable {
        /// The token's own bytes; alone they need not be UTF-8.
        public var bytes: [UInt8]
        /// Natural logarithm.
        public var logprob: Float

        public init(bytes: [UInt8], logprob: Float) {
            self.bytes = bytes
            self.logprob = logprob
        }
    }
    public var chosen: Candidate
    /// Likeliest first; as many as were asked for, or fewer.
    public var top: [Candidate]

    public init(chosen: Candidate, top: [Candidate] = []) {
        self.chosen = chosen
        self.top = top
    }

    /// An upper bound of the memory and of the JSON text it takes, but for long tokens.
    var cost: Int { top.reduce(96 + 8 * chosen.bytes.count) { $0 + 96 + 8 * $1.bytes.count } }
}

extension TokenLogprob.Candidate {
    /// As OpenAI writes tokens that end or begin inside a character: ` \xf0\x9f`.
    fileprivate func text(prefix: String) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return bytes.reduce(into: prefix) { text, byte in
            if (0x20..<0x7f).contains(byte), byte != UInt8(ascii: "\\") {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += "\\x\(CollectionOfOne(byte).hexadecimal)"
            }
        }
    }

    /// JSON has no infinity; OpenAI writes -9999 for what is very unlikely.
    fileprivate var number: JSONValue { .float(logprob.isFinite ? logprob : -9999) }

    fileprivate var chatMembers: [(String, JSONValue)] {
        [
            ("token", .string(text(prefix: ""))), ("logprob", number),
            ("bytes", .array(bytes.map { .unsigned(UInt64($0)) })),
        ]
    }
}

/// Writes the `logprobs` object of a choice. For `/v1/completions` it counts where each token begins in the answer.
struct LogprobWriter: Sendable {
    let form: CompletionRequest.Form
    /// Unicode scalars that have begun so far.
    private var begun = 0

    init(_ form: CompletionRequest.Form) { self.form = form }

    mutating func json(_ tokens: [TokenLogprob]) -> JSONValue {
        form == .chat ? chat(tokens) : text(tokens)
    }

    private func chat(_ tokens: [TokenLogprob]) -> JSONValue {
        let content: [JSONValue] = tokens.map { token in
            .object(
                token.chosen.chatMembers + [
                    ("top_logprobs", .array(token.top.map { .object($0.chatMembers) }))
                ])
        }
        return .object([("content", .array(content)), ("refusal", .null)])
    }

    private mutating func text(_ tokens: [TokenLogprob]) -> JSONValue {
        var names: [JSONValue] = []
        var numbers: [JSONValue] = []
        var tops: [JSONValue] = []
        var offsets: [JSONValue] = []
        for token in tokens {
            names.append(.string(token.chosen.text(prefix: "bytes:")))
            numbers.append(token.chosen.number)
            tops.append(.object(Self.ranking(token)))
            let isContinuation = token.chosen.bytes.first.map { $0 & 0xc0 == 0x80 } ?? false
            offsets.append(.integer(Int64(max(0, begun - (isContinuation ? 1 : 0)))))
            begun += token.chosen.bytes.count { $0 & 0xc0 != 0x80 }
        }
        return .object([
            ("tokens", .array(names)), ("token_logprobs", .array(numbers)), ("top_logprobs", .array(tops)),
            ("text_offset", .array(offsets)),
        ])
    }

    /// Token to log probability, likeliest first; the chosen one is always there, as in OpenAI's. Of two tokens with the
    /// same text the likelier stays: a JSON object cannot hold both.
    private static func ranking(_ token: TokenLogprob) -> [(String, JSONValue)] {
        var seen: Set<String> = []
        return (token.top + [token.chosen]).compactMap { candidate in
            let name = candidate.text(prefix: "bytes:")
            return seen.insert(name).inserted ? (name, candidate.number) : nil
        }
    }
}
