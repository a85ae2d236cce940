// What people read about a job: tables and one-line summaries. No I/O.

package import Messages

/// A job in words.
package struct JobReport {
    private let job: JobRecord
    private let outlook: [(name: String, value: String)]

    package init(_ job: JobRecord) {
        self.job = job
        outlook = []
    }

    /// With what is to come, and with what the workers have told so far.
    package init(_ outlook: JobOutlook) {
        job = outlook.live
        self.outlook = outlook.facts
    }

    /// Prompt tokens that were computed, per second; nil when not known.
    package var prefillRate: Double? {
        let tokens = job.computedTokens
        return tokens > 0 && job.prefillSeconds > 0 ? Double(tokens) / job.prefillSeconds : nil
    }

    /// Tokens per second after the first, which prefill gives; nil when not known.
    package var decodeRate: Double? {
        job.generatedTokens > 1 && job.decodeSeconds > 0
            ? Double(job.generatedTokens - 1) / job.decodeSeconds : nil
    }

    /// `succeeded (end)`, `queued, 2nd in line: ...`
    package var stateText: String {
        var text = job.state.word
        if job.state == .queued, job.queuePosition > 0 {
            text += " (number \(job.queuePosition) in the queue)"
        }
        if job.state == .succeeded, job.finish != .unspecified { text += " (\(job.finish.word))" }
        return text
    }

    /// One line for the end of `submit` and `attach`.
    package var summary: String {
        var parts: [String] = []
        if job.promptTokens > 0 {
            parts.append(
                Quantity.counted(job.promptTokens, "prompt token") + cached
                    + Self.pace(job.prefillSeconds, prefillRate))
        }
        if job.generatedTokens > 0 {
            parts.append(
                Quantity.counted(job.generatedTokens, "token") + Self.pace(job.decodeSeconds, decodeRate))
        }
        if job.firstTokenSeconds > 0 {
            parts.append("first token after \(Quantity.duration(job.firstTokenSeconds))")
        }
        return "\(job.id.printable): \(parts.joined(separator: ", "))"
    }

    /// `, 119,936 of them in memory,`
    private var cached: String {
        guard job.cachedTokens > 0 else { return "" }
        return ", \(Quantity.count(job.cachedTokens)) of them in memory" + (job.prefillSeconds > 0 ? "," : "")
    }

    /// ` in 5.63 s (220 tokens/s)`, as far as it is known.
    private static func pace(_ seconds: Double, _ rate: Double?) -> String {
        guard seconds > 0 else { return "" }
        return " in \(Quantity.duration(seconds))" + (rate.map { " (\(Quantity.rate($0)) tokens/s)" } ?? "")
    }

    /// Everything but the answer: facts, then the workers' shares.
    package func lines() -> [String] {
        var facts = FactList()
        facts.add("job", job.id)
        facts.add("name", job.options?.name ?? "")
        facts.add("kind", job.options?.kind.word ?? "")
        facts.add("context", job.options?.context ?? "")
        facts.add("state", stateText)
        facts.add("reason", job.reason)
        for (name, value) in outlook { facts.add(name, value) }
        if job.submittedMicroseconds > 0 {
            facts.add("submitted", Quantity.time(microseconds: job.submittedMicroseconds) + " UTC")
        }
        if job.attempt > 1 { facts.add("attempt", "\(job.attempt)") }
        facts.add("model", model)
        facts.add("profile", profile)
        facts.add("note", job.note)
        facts.add("compute", [job.precision, job.isa].filter { !$0.isEmpty }.joined(separator: ", "))
        if job.options?.kind == .score, job.perplexity > 0 {
            facts.add("mean NLL", Quantity.number(job.meanNLL, decimals: 5))
            facts.add("perplexity", Quantity.number(job.perplexity, decimals: 4))
        }
        if job.firstTokenSeconds > 0 {
            facts.add("first token after", Quantity.duration(job.firstTokenSeconds))
        }
        var lines = facts.lines() + [""] + phases()
        if !job.shares.isEmpty { lines += [""] + shares() }
        let steps = Self.steps(job.shares)
        if !steps.isEmpty { lines += [""] + steps }
        if let straggler = job.straggler {
            lines += ["", straggler.text(isOver: job.state == .succeeded).printable]
        }
        return lines
    }

    /// The steps of prefill's ring, worker by worker; nothing for a single worker.
    package static func steps(_ shares: [WorkerShare]) -> [String] {
        let shares = shares.filter { $0.steps.count > 1 }.sorted { $0.rank < $1.rank }
        guard !shares.isEmpty else { return [] }
        var table = Table([
            ("ring step", .left), ("worker", .left), ("compute", .right), ("wait", .right),
            ("wire", .right), ("received", .right), ("bandwidth", .right),
        ])
        for share in shares {
            for step in share.steps {
                table.add([
                    step.step == 0 ? "own block" : "from \(step.step) before", share.worker,
                    time(step.computeSeconds), time(step.waitSeconds), time(step.wireSeconds),
                    step.step == 0 ? "-" : Quantity.bytes(step.bytes),
                    step.wireSeconds > 0
                        ? Quantity.bytes(UInt64(min(Double(step.bytes) / step.wireSeconds, 1e18))) + "/s"
                        : "-",
                ])
            }
        }
        return table.lines()
    }

    private var model: String {
        job.fingerprint.isEmpty ? job.model : "\(job.model) (fingerprint \(job.fingerprint.prefix(16)))"
    }

    private var profile: String {
        guard let profile = job.profile else { return "" }
        var text =
            "\(profile.name), window \(Quantity.count(profile.window)), attention factor "
            + Quantity.number(profile.attentionFactor, decimals: 4)
        if profile.startTokens > 0 {
            text += ", first \(Quantity.count(profile.startTokens)) positions unscaled"
        }
        if let gap = profile.gap {
            text +=
                ", \(Quantity.count(gap.length)) positions left out after every \(Quantity.count(gap.every)) tokens"
        }
        if !profile.identity.isEmpty { text += " (\(profile.identity.prefix(16)))" }
        return text
    }

    private func phases() -> [String] {
        var table = Table([("phase", .left), ("tokens", .right), ("time", .right), ("tokens/s", .right)])
        let prefilled =
            job.prefilledTokens == job.promptTokens
            ? Quantity.count(job.promptTokens)
            : "\(Quantity.count(job.prefilledTokens))/\(Quantity.count(job.promptTokens))"
        table.add(["prefill", prefilled, Self.time(job.prefillSeconds), Quantity.rate(prefillRate)])
        if job.options?.kind != .score, job.options?.kind != .ingest {
            table.add([
                "decode", Quantity.count(job.generatedTokens), Self.time(job.decodeSeconds),
                Quantity.rate(decodeRate),
            ])
        }
        guard job.cachedTokens > 0 else { return table.lines() }
        return table.lines()
            + [
                "of the prompt, \(Quantity.counted(job.cachedTokens, "token")) were in memory and not computed"
            ]
    }

    private func shares() -> [String] {
        var table = Table([
            ("worker", .left), ("tokens", .right), ("share", .right), ("KV", .right), ("sent", .right),
            ("received", .right), ("compute", .right), ("wait", .right),
        ])
        let shares = job.shares.sorted { $0.rank < $1.rank }
        let tokens = Self.sum(shares.map(\.tokens))
        for share in shares {
            table.add([
                share.worker, Quantity.count(share.tokens), Quantity.share(share.tokens, of: tokens),
                Quantity.bytes(share.kvBytes), Quantity.bytes(share.ringBytesSent),
                Quantity.bytes(share.ringBytesReceived), Self.time(share.computeSeconds),
                Self.time(share.waitSeconds),
            ])
        }
        table.addRule()
        table.add([
            "total", Quantity.count(tokens), Quantity.share(tokens, of: tokens),
            Quantity.bytes(Self.sum(shares.map(\.kvBytes))),
            Quantity.bytes(Self.sum(shares.map(\.ringBytesSent))),
            Quantity.bytes(Self.sum(shares.map(\.ringBytesReceived))),
            Self.time(shares.map(\.computeSeconds).reduce(0, +)),
            Self.time(shares.map(\.waitSeconds).reduce(0, +)),
        ])
        return table.lines()
    }

    private static func time(_ seconds: Double) -> String { seconds > 0 ? Quantity.duration(seconds) : "-" }

    /// Figures come from other processes: a sum past the largest number stays there.
    static func sum(_ values: [UInt64]) -> UInt64 {
        values.reduce(0) { sum, value in
            let (result, overflow) = sum.addingReportingOverflow(value)
            return overflow ? .max : result
        }
    }

    /// Many jobs, one a line.
    package static func list(_ jobs: [JobRecord]) -> [String] {
        var table = Table([
            ("job", .left), ("state", .left), ("kind", .left), ("prompt", .right), ("answer", .right),
            ("prefill", .right), ("decode", .right), ("submitted (UTC)", .left), ("name or reason", .left),
        ])
        for job in jobs {
            let report = JobReport(job)
            var state = job.state.word
            if job.state == .prefill, job.promptTokens > 0 {
                state += " \(Int(Double(job.prefilledTokens) / Double(job.promptTokens) * 100))%"
            }
            if job.state == .queued, job.queuePosition > 0 { state += " #\(job.queuePosition)" }
            let name = job.options?.name ?? ""
            let context = job.options?.context ?? ""
            let note = [name.isEmpty ? context : name, job.state == .succeeded ? "" : job.reason]
                .filter { !$0.isEmpty }.joined(separator: ": ")
            table.add([
                job.id, state, job.options?.kind.word ?? "", Quantity.count(job.promptTokens),
                Quantity.count(job.generatedTokens), Quantity.rate(report.prefillRate),
                Quantity.rate(report.decodeRate), Quantity.time(microseconds: job.submittedMicroseconds),
                String(note.prefix(60)),
            ])
        }
        return table.lines()
    }
}

extension JobRecord {
    /// Tokens of its prompt that were computed so far: the others were in memory.
    package var computedTokens: UInt64 { prefilledTokens - min(prefilledTokens, cachedTokens) }

    /// Whether workers work on it.
    package var isRunning: Bool { state == .prefill || state == .decode }
}

extension JobState {
    /// For people: `prefill`.
    package var word: String { self == .unspecified ? "unknown" : "\(self)" }
}

extension JobKind {
    /// For people: `score`.
    package var word: String { self == .unspecified ? "" : "\(self)" }
}
