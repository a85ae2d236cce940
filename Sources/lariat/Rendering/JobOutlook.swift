// What is to come for a job that is not over: why it waits and for whom, how far it is, when it will be done. No I/O.

package import Messages

/// A job beside the cluster that it waits for or runs on.
package struct JobOutlook {
    private let job: JobRecord
    private let cluster: ClusterState
    private let active: [JobRecord]
    private let now: UInt64

    /// Names in one list.
    private static let mostNames = 6
    private static let unknown = "not known yet"

    /// - Parameters:
    ///   - active: the jobs that are not over.
    ///   - known: any jobs of this cluster, for what a token's keys and values need.
    ///   - now: microseconds since 1970.
    package init(_ job: JobRecord, cluster: ClusterState, active: [JobRecord], at now: UInt64) {
        self.job = job
        self.cluster = cluster
        self.active = active
        self.now = now
    }

    /// The job with what its workers have told since its start: computing, waits and bytes.
    package var live: JobRecord {
        guard job.state == .prefill else { return job }
        var live = job
        for index in live.shares.indices {
            guard
                let progress = cluster.members.first(where: {
                    $0.name == live.shares[index].worker && $0.job == job.id
                })?.progress
            else { continue }
            live.shares[index].computeSeconds = progress.computeSeconds
            live.shares[index].waitSeconds = progress.waitSeconds
            live.shares[index].ringBytesSent = progress.ringBytesSent
            live.shares[index].ringBytesReceived = progress.ringBytesReceived
        }
        return live
    }

    /// Names and values; nothing for a job that is over.
    package var facts: [(name: String, value: String)] {
        switch job.state {
        case .queued: [("before it", before), ("workers", workers), ("KV memory", memory)]
        case .prefill, .decode: [("progress", progress), ("time left", left)]
        case .unspecified, .succeeded, .failed, .cancelled: []
        }
    }

    // MARK: Waiting

    private var before: String {
        let running = active.filter(\.isRunning)
        let ahead = active.filter {
            $0.state == .queued && $0.queuePosition > 0 && $0.queuePosition < job.queuePosition
        }.sorted { $0.queuePosition < $1.queuePosition }
        var parts = running.prefix(Self.mostNames).map { other in
            "\(other.id) (\(JobOutlook(other, cluster: cluster, active: active, at: now).briefly))"
        }
        if running.count > Self.mostNames {
            parts.append("\(running.count - Self.mostNames) more that run")
        }
        if !ahead.isEmpty {
            parts.append(
                "\(Self.list(ahead.map(\.id))) (\(ahead.count == 1 ? "waits" : "wait") too)")
        }
        return parts.isEmpty ? "no other job" : parts.joined(separator: ", ")
    }

    private var workers: String {
        let able = cluster.members.filter { $0.state.isAble }
        let asked = Int(job.options?.workers ?? 0)
        var parts: [String] = []
        if able.isEmpty {
            parts.append("none takes jobs")
        } else if asked == 0 || asked >= able.count {
            let all = asked == 0 ? "one, or all \(able.count) if that is faster" : "all \(able.count)"
            parts.append(able.count == 1 ? "it takes the only one" : "it takes \(all)")
        } else {
            parts.append("it takes \(asked) of \(able.count)")
        }
        for (state, word) in [
            (.ready, "free"), (.busy, "busy"), (.draining, "draining"), (.aside, "set aside"),
            (.lost, "lost"),
            (.refused, "refused"),
        ] as [(MemberState, String)] {
            let names = cluster.members.filter { $0.state == state }.map(\.name)
            if !names.isEmpty {
                parts.append("\(Self.list(names)) \(names.count == 1 ? "is" : "are") \(word)")
            }
        }
        return parts.joined(separator: "; ")
    }

    /// Needed against free. What a token needs is known from the jobs that have their shares.
    private var memory: String {
        let able = cluster.members.filter { $0.state.isAble }
        guard !able.isEmpty else { return "" }
        let whole = JobReport.sum(able.map(\.memoryBytes))
        let used = min(whole, JobReport.sum(able.map(\.kvBytesUsed)))
        let free = "\(Quantity.bytes(whole - used)) of \(Quantity.bytes(whole)) are free"
        let tokens = Double(job.promptTokens) + Double(job.options?.maxTokens ?? 0)
        let known = active.lazy.compactMap { other -> Double? in
            let bytes = JobReport.sum(other.shares.map(\.kvBytes))
            let held = Double(other.promptTokens) + Double(other.options?.maxTokens ?? 0)
            return bytes > 0 && held > 0 ? Double(bytes) / held : nil
        }.first
        guard let known, tokens > 0 else { return free }
        let need = Quantity.bytes(UInt64(min(known * tokens, 1e18)))
        return "about \(need) for \(Quantity.count(UInt64(min(tokens, 1e18)))) tokens; \(free)"
    }

    private static func list(_ names: [String]) -> String {
        guard names.count > mostNames else { return names.listed }
        return (names.prefix(mostNames - 1) + ["\(names.count - mostNames + 1) more"]).listed
    }

    // MARK: Running

    /// `prefill, 45%, about 12 s left`
    private var briefly: String {
        let parts = [
            job.state.word, part.map { Gauge.percent($0) } ?? "", left == Self.unknown ? "" : left + " left",
        ]
        return parts.filter { !$0.isEmpty }.joined(separator: ", ")
    }

    /// Of this phase, 0 to 1.
    private var part: Double? {
        switch job.state {
        case .prefill:
            return job.promptTokens > 0 ? min(1, Double(job.prefilledTokens) / Double(job.promptTokens)) : nil
        case .decode:
            let most = Double(job.options?.maxTokens ?? 0)
            return most > 0 ? min(1, Double(job.generatedTokens) / most) : nil
        default: return nil
        }
    }

    private var progress: String {
        guard let part else { return "" }
        let bar = Gauge.bar(part, width: 22) + " " + Gauge.percent(part)
        if job.state == .decode {
            return "\(bar) of at most \(Quantity.count(UInt64(job.options?.maxTokens ?? 0))) tokens"
        }
        let told = members.compactMap(\.progress).filter { $0.layers > 0 }
        guard let last = told.min(by: { $0.layer < $1.layer }) else { return bar }
        return "\(bar), layer \(last.layer) of \(last.layers)"
    }

    private var members: [MemberRecord] { cluster.members.filter { $0.job == job.id } }

    /// Seconds since the job's start by the clocks of this host and of the coordinator's; nil when they disagree.
    private var elapsed: Double? {
        guard job.startedMicroseconds > 0, now > job.startedMicroseconds else { return nil }
        return Double(now - job.startedMicroseconds) / 1e6
    }

    private var left: String {
        switch job.state {
        case .prefill:
            // By the workers' own clocks where they tell; layers take equally long.
            let told = members.compactMap(\.progress).filter { $0.layer > 0 && $0.layer <= $0.layers }
            let spent = told.map { $0.computeSeconds + $0.waitSeconds }.max()
            let done = told.map { Double($0.layer) / Double($0.layers) }.min() ?? part ?? 0
            guard done > 0, let spent = spent ?? elapsed else { return Self.unknown }
            return "about \(Quantity.duration(spent * (1 - done) / done))"
        case .decode:
            let most = UInt64(job.options?.maxTokens ?? 0)
            guard job.generatedTokens > 1, let elapsed, elapsed > job.firstTokenSeconds else {
                return Self.unknown
            }
            let pace = (elapsed - job.firstTokenSeconds) / Double(job.generatedTokens - 1)
            return "at most \(Quantity.duration(pace * Double(most - min(most, job.generatedTokens))))"
        default: return ""
        }
    }
}
