// What the page shows once a second: the cluster with each running job's place in its layers. Differences are taken
// from one look to the next. A value; time is an argument.
package import JSONText
package import Messages

/// One follower's view.
package struct LiveView: Sendable {
    private struct Sent: Sendable {
        var bytes: UInt64
        var at: ContinuousClock.Instant
        var speed = 0.0
    }
    /// By job and worker.
    private var sent: [String: Sent] = [:]
    /// Tokens since the coordinator's start, as they were in the last few seconds.
    private var sums: [(at: ContinuousClock.Instant, prompt: Double, generated: Double)] = []

    /// Rates are over so long: prefill counts layer by layer, in jumps.
    private static let rateInterval: Duration = .seconds(5)

    package init() {}

    /// The page's "cluster" event.
    /// - Parameter tokens: since the coordinator's start.
    package mutating func event(
        _ cluster: ClusterState, tokens: (prompt: Double, generated: Double),
        at now: ContinuousClock.Instant
    ) -> JSONValue {
        let rates = rates(tokens, at: now)
        guard case .object(let members) = cluster.json else { return .null }
        let working = cluster.members.filter { !$0.job.isEmpty && $0.progress != nil }
        var seen: [String: Sent] = [:]
        // In small steps: the compiler takes minutes for all of it as one expression.
        var jobs: [JSONValue] = []
        for (job, workers) in Dictionary(grouping: working, by: \.job).sorted(by: { $0.key < $1.key }) {
            var shown: [JSONValue] = []
            for worker in workers {
                let progress = worker.progress ?? RunProgress()
                let key = "\(job) \(worker.name)"
                let mark = speed(key, progress.ringBytesSent, at: now)
                seen[key] = mark
                let busy = progress.computeSeconds + progress.waitSeconds
                let share: JSONValue = busy > 0 ? .number(progress.computeSeconds / busy) : .null
                let members: [(String, JSONValue)] = [
                    ("name", .string(worker.name)), ("layer", .unsigned(UInt64(progress.layer))),
                    ("step", .unsigned(UInt64(progress.step))), ("steps", .unsigned(UInt64(progress.steps))),
                    ("compute_share", share), ("ring_bytes_per_second", .number(mark.speed.rounded())),
                    ("ring_bytes_sent", .unsigned(progress.ringBytesSent)),
                    ("ring_bytes_received", .unsigned(progress.ringBytesReceived)),
                    ("compute_seconds", .number(progress.computeSeconds)),
                    ("wait_seconds", .number(progress.waitSeconds)),
                    ("wire_seconds", .number(progress.wireSeconds)),
                ]
                shown.append(.object(members))
            }
            let layer = workers.compactMap { $0.progress?.layer }.min() ?? 0
            let layers = workers.first?.progress?.layers ?? 0
            let members: [(String, JSONValue)] = [
                ("job", .string(job)), ("layer", .unsigned(UInt64(layer))),
                ("layers", .unsigned(UInt64(layers))), ("workers", .array(shown)),
            ]
            jobs.append(.object(members))
        }
        sent = seen
        let speeds: JSONValue = .object([
            ("prompt_tokens_per_second", .number(rates.prompt)),
            ("generated_tokens_per_second", .number(rates.generated)),
        ])
        let added: [(String, JSONValue)] = [("progress", .array(jobs)), ("rates", speeds)]
        return .object(members + added)
    }

    private mutating func rates(
        _ tokens: (prompt: Double, generated: Double), at now: ContinuousClock.Instant
    ) -> (prompt: Double, generated: Double) {
        sums.append((now, tokens.prompt, tokens.generated))
        while sums.count > 2, now - sums[1].at >= Self.rateInterval { sums.removeFirst() }
        let first = sums[0]
        let seconds = (now - first.at) / .seconds(1)
        guard seconds > 0 else { return (0, 0) }
        // A job that fails takes its unfinished tokens with it.
        return (
            max(0, tokens.prompt - first.prompt) / seconds,
            max(0, tokens.generated - first.generated) / seconds
        )
    }

    /// Heartbeats come once a second: between two of them the speed stays what it was.
    private func speed(_ key: String, _ bytes: UInt64, at now: ContinuousClock.Instant) -> Sent {
        guard let before = sent[key], bytes >= before.bytes else { return Sent(bytes: bytes, at: now) }
        let seconds = (now - before.at) / .seconds(1)
        if bytes == before.bytes, seconds < 3 { return before }
        guard seconds > 0 else { return before }
        return Sent(bytes: bytes, at: now, speed: Double(bytes - before.bytes) / seconds)
    }
}
