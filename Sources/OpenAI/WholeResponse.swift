// An answer in one piece: what happens goes in, and at the end the whole answer comes out.
import JSONText
import Numerals

/// Collects the answer to a request without `"stream": true`, within a limit.
public struct WholeResponse: Sendable {
    private var identity: ResponseIdentity
    private let limit: Int
    private var text = ""
    private var ids: [UInt32] = []
    private var logprobs: [TokenLogprob] = []
    private var cost = 0
    private var isOver = false

    /// - Parameter limit: bytes of text, token ids and log probabilities together.
    public init(_ identity: ResponseIdentity, limit: Int = 64 << 20) {
        self.identity = identity
        self.limit = limit
    }

    /// - Returns: what to answer, once, when it is known. If the job has not ended then, the answer became too large and
    ///   nobody will read the rest of it.
    public mutating func receive(_ event: ResponseEvent) -> Reply? {
        guard !isOver else { return nil }
        switch event {
        case .started(let fingerprint):
            identity.fingerprint = fingerprint
            return nil
        case .tokens(let piece, let newIDs, let entries):
            let keptIDs = identity.hasTokenIDs ? newIDs : []
            let keptEntries = identity.hasLogprobs ? entries : []
            cost += piece.utf8.count + 12 * keptIDs.count + keptEntries.reduce(0) { $0 + $1.cost }
            guard cost <= limit else {
                return over(
                    APIError.invalid(
                        "the answer is longer than \(limit.grouped) bytes, the limit of an answer in one piece; set "
                            + "\"stream\" to true, or ask for fewer tokens or log probabilities",
                        param: "stream", code: "response_too_large"
                    ).reply)
            }
            text += piece
            ids += keptIDs
            logprobs += keptEntries
            return nil
        case .ended(let finish, let usage):
            var writer = LogprobWriter(identity.form)
            return over(
                Reply(
                    identity.whole(
                        text: text, ids: ids, logprobs: identity.hasLogprobs ? writer.json(logprobs) : .null,
                        finish: finish, usage: usage)))
        case .failed(let error):
            return over(error.reply)
        }
    }

    private mutating func over(_ reply: Reply) -> Reply {
        isOver = true
        text = ""
        ids = []
        logprobs = []
        return reply
    }
}
