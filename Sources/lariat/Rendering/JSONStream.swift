// What `--json` prints while a job is followed: small events, then the whole record with the answer. No I/O.

package import JSONText
package import Messages

/// The lines of one job's stream.
package struct JSONStream: Sendable {
    /// The answer so far. A coordinator sends it in pieces, and its end without them.
    private var text: [UInt8] = []

    package static let help = """
        --json prints an object a line: events as they come (kind STATE, PROGRESS, TOKENS or SCORES), and last the job's \
        record with state, text, finish, counts of tokens and times, as `lariat show --json` has it: \
        `lariat submit --json "..." | jq -r 'select(.state == "SUCCEEDED").text'` prints the answer.
        """

    package init() {}

    /// The line for an event.
    package mutating func line(_ event: JobEvent) -> JSONValue {
        switch event.content {
        case .state(let job): return Self.line(event, "STATE", job)
        case .progress(let job): return Self.line(event, "PROGRESS", job)
        case .end(var job):
            if job.text.isEmpty { job.text = text }
            return job.json
        case .tokens(let part):
            text += part.text
            return event.json
        case .scores, nil: return event.json
        }
    }

    private static func line(_ event: JobEvent, _ kind: String, _ job: JobRecord) -> JSONValue {
        .object([("number", .unsigned(event.number)), ("kind", .string(kind)), ("job", brief(job))])
    }

    /// Where a job stands.
    private static func brief(_ job: JobRecord) -> JSONValue {
        .object([
            ("id", .string(job.id)), ("state", job.state.json), ("reason", .string(job.reason)),
            ("queue_position", .unsigned(UInt64(job.queuePosition))),
            ("prompt_tokens", .unsigned(job.promptTokens)),
            ("prefilled_tokens", .unsigned(job.prefilledTokens)),
            ("generated_tokens", .unsigned(job.generatedTokens)),
        ])
    }
}
