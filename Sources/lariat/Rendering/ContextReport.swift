// What people read about contexts: a table of many, the facts of one. No I/O.

package import Messages

/// A context in words.
package struct ContextReport {
    private let context: ContextRecord

    package init(_ context: ContextRecord) { self.context = context }

    /// `119,936 of 120,000 tokens, 1.24 GiB on 3 workers`; empty where nothing is in memory.
    package var memory: String {
        guard context.keptTokens > 0 else { return "" }
        let tokens = "\(Quantity.count(context.keptTokens)) of \(Quantity.counted(context.tokens, "token"))"
        let bytes = context.kvBytes > 0 ? ", \(Quantity.bytes(context.kvBytes))" : ""
        let workers = context.shares.isEmpty ? "" : " on \(Quantity.counted(context.shares.count, "worker"))"
        return tokens + bytes + workers
    }

    /// `"book" is ready: ...` for the end of `lariat context add`.
    package var summary: String {
        let held =
            switch context.state {
            case .ready: memory.isEmpty ? "is ready" : "is ready: \(memory)"
            case .ingesting: "is being ingested"
            case .stored: "is on disk: the first question reads it"
            case .gone, .unspecified: "is not in memory: the first question computes it again"
            }
        return "context \"\(context.name)\" \(held)".printable
    }

    /// Everything known of it: facts, then the workers' shares.
    package func lines() -> [String] {
        var facts = FactList()
        facts.add("context", context.name)
        facts.add("state", state)
        facts.add("tokens", Quantity.count(context.tokens))
        facts.add("in memory", memory)
        if context.reservedTokens > 0 {
            facts.add(
                "kept free",
                "\(Quantity.counted(context.reservedTokens, "token")) for a question and its answer")
        }
        facts.add("chat", context.chat ? "yes: the text is in the chat template, and so are questions" : "no")
        facts.add("pinned", context.pinned ? "yes: its memory is given to no job" : "no")
        facts.add("questions", Quantity.count(context.questions))
        facts.add("made", Self.time(context.createdMicroseconds))
        facts.add("last used", Self.time(context.usedMicroseconds))
        facts.add("by", context.owner)
        facts.add("job", context.job)
        facts.add(
            "model",
            context.fingerprint.isEmpty
                ? context.model : "\(context.model) (fingerprint \(context.fingerprint.prefix(16)))")
        if let profile = context.profile, !profile.name.isEmpty {
            facts.add("profile", "\(profile.name), window \(Quantity.count(profile.window))")
        }
        guard !context.shares.isEmpty else { return facts.lines() }
        var table = Table([("worker", .left), ("tokens", .right), ("share", .right), ("KV", .right)])
        let shares = context.shares.sorted { $0.rank < $1.rank }
        let tokens = JobReport.sum(shares.map(\.tokens))
        for share in shares {
            table.add([
                share.worker, Quantity.count(share.tokens), Quantity.share(share.tokens, of: tokens),
                Quantity.bytes(share.kvBytes),
            ])
        }
        return facts.lines() + [""] + table.lines()
    }

    private var state: String {
        switch context.state {
        case .unspecified: ""
        case .ingesting: context.job.isEmpty ? "ingesting" : "ingesting (job \(context.job))"
        case .ready: "ready"
        case .stored: "stored on disk; the next question reads it"
        case .gone: "gone from memory; the next question computes it again"
        }
    }

    private static func time(_ microseconds: UInt64) -> String {
        microseconds > 0 ? Quantity.time(microseconds: microseconds) + " UTC" : ""
    }

    /// Many contexts, one a line.
    package static func list(_ contexts: [ContextRecord]) -> [String] {
        var table = Table([
            ("context", .left), ("state", .left), ("tokens", .right), ("memory", .right), ("workers", .right),
            ("last used (UTC)", .left), ("questions", .right), ("pinned", .left),
        ])
        for context in contexts {
            table.add([
                context.name, context.state.word, Quantity.count(context.tokens),
                context.kvBytes > 0 ? Quantity.bytes(context.kvBytes) : "-",
                context.shares.isEmpty ? "-" : "\(context.shares.count)",
                Quantity.time(microseconds: context.usedMicroseconds), Quantity.count(context.questions),
                context.pinned ? "yes" : "",
            ])
        }
        return table.lines()
    }
}
