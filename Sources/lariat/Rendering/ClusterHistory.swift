// What was seen of a cluster, look by look, and what follows from it: rates, link speeds, time left. No I/O, no clock.

package import JSONText
package import Messages
import Protobuf

/// What `lariat top` knows. Bounded, however long it runs. Times are seconds on one clock that only goes forward.
package struct ClusterHistory: Sendable {
    /// Why nothing new is known.
    package struct Trouble: Sendable, Equatable {
        package var text: String
        /// When it began.
        package var since: Double
        /// When the next attempt begins.
        package var retry: Double
    }

    /// A worker of a job, or one that is free.
    package struct Place: Sendable {
        package var member: MemberRecord
        package var job: JobRecord?
        package var share: WorkerShare?
    }

    package private(set) var cluster = ClusterState()
    /// Newest first.
    package private(set) var jobs: [JobRecord] = []
    /// Last used first.
    package private(set) var contexts: [ContextRecord] = []
    /// When the cluster was last seen; nil: never.
    package private(set) var seenAt: Double?
    package private(set) var trouble: Trouble?
    private var prompt: TokenFlow?
    private var generated: TokenFlow?
    private var prefills: [String: PrefillClock] = [:]
    private var counts: [String: JobRecord] = [:]
    private var newestSubmission: UInt64 = 0
    private var links: [String: LinkSamples] = [:]

    /// Rates are means over this time.
    private static let window = 5.0
    /// Jobs remembered from look to look.
    private static let mostJobs = 2000
    private static let mostContexts = 1000

    package init() {}

    // MARK: Looks

    /// - Parameters:
    ///   - jobs: newest first; those that are not over, and some that are.
    ///   - contexts: last used first.
    package mutating func see(
        _ cluster: ClusterState, _ jobs: [JobRecord], _ contexts: [ContextRecord] = [], at now: Double
    ) {
        let jobs = Array(jobs.prefix(Self.mostJobs))
        count(jobs, at: now)
        for member in cluster.members { links[member.name, default: LinkSamples()].add(member, at: now) }
        let names = Set(cluster.members.map(\.name))
        links = links.filter { names.contains($0.key) }
        self.cluster = cluster
        self.jobs = jobs
        self.contexts = Array(contexts.prefix(Self.mostContexts))
        seenAt = now
        trouble = nil
    }

    /// A look failed.
    package mutating func miss(_ text: String, at now: Double, retry: Double) {
        trouble = Trouble(text: text, since: trouble?.since ?? now, retry: retry)
    }

    private mutating func count(_ jobs: [JobRecord], at now: Double) {
        var promptFlow = prompt ?? TokenFlow(start: now)
        var generatedFlow = generated ?? TokenFlow(start: now)
        for job in jobs {
            let isNew = seenAt != nil && job.submittedMicroseconds > newestSubmission
            // What was done before the first look, nobody saw when.
            guard let before = counts[job.id] ?? (isNew ? JobRecord() : nil), let last = seenAt else {
                if job.state == .prefill {
                    prefills[job.id, default: PrefillClock()].add(job, at: now)
                }
                continue
            }
            let isAgain = before.attempt != job.attempt || job.prefilledTokens < before.prefilledTokens
            // What was in memory took nobody's time. It may be told after the beginning.
            let done = isAgain ? 0 : before.computedTokens
            let prefilled = job.computedTokens - min(done, job.computedTokens)
            // Prefill is told layer by layer: what came now was done since the layer before.
            let began = isAgain ? last : prefills[job.id]?.lastChange ?? last
            promptFlow.add(Double(prefilled), from: began, to: now)
            let answered =
                job.generatedTokens >= before.generatedTokens
                ? job.generatedTokens - before.generatedTokens : job.generatedTokens
            generatedFlow.add(Double(answered), from: last, to: now)
            if job.state == .prefill {
                prefills[job.id, default: PrefillClock()].add(job, at: now)
            } else {
                prefills[job.id] = nil
            }
        }
        prompt = promptFlow
        generated = generatedFlow
        counts = Dictionary(jobs.map { ($0.id, Self.slim($0)) }) { first, _ in first }
        prefills = prefills.filter { counts[$0.key] != nil }
        newestSubmission = max(newestSubmission, jobs.map(\.submittedMicroseconds).max() ?? 0)
    }

    private static func slim(_ job: JobRecord) -> JobRecord {
        .with {
            $0.attempt = job.attempt
            $0.prefilledTokens = job.prefilledTokens
            $0.cachedTokens = job.cachedTokens
            $0.generatedTokens = job.generatedTokens
        }
    }

    // MARK: What follows

    /// Tokens per second of all jobs at the last look; nil while there was only one.
    package var promptRate: Double? {
        seenAt.flatMap { now in promptFlow(at: now)?.rate(from: now - Self.window, to: now) }
    }
    package var generatedRate: Double? {
        seenAt.flatMap { now in generated?.rate(from: now - Self.window, to: now) }
    }

    /// Tokens per second in `count` intervals of `seconds` up to the last look; nil where nothing is known.
    package func promptSeries(_ count: Int, each seconds: Double) -> [Double?] {
        guard let seenAt else { return [] }
        return promptFlow(at: seenAt)?.series(count: count, each: seconds, end: seenAt) ?? []
    }
    package func generatedSeries(_ count: Int, each seconds: Double) -> [Double?] {
        guard let seenAt else { return [] }
        return generated?.series(count: count, each: seconds, end: seenAt) ?? []
    }

    /// With what is under way but not told yet: layers are long for long prompts.
    private func promptFlow(at now: Double) -> TokenFlow? {
        guard var flow = prompt else { return nil }
        for clock in prefills.values {
            if let pace = clock.pace, let last = clock.lastChange, !clock.isOverdue(at: now) {
                flow.add((now - last) / pace, from: last, to: now)
            }
        }
        return flow
    }

    /// Bytes a second to the next worker; nil while it is not known.
    package func linkRate(_ worker: String) -> Double? { links[worker]?.rate }

    /// The part of its time that a worker computes, the rest being waits for blocks; nil while it is not known.
    package func computeShare(_ worker: String) -> Double? { links[worker]?.computeShare }

    /// Seconds until this job is over or, in prefill, until its prefill is; nil while it is not known.
    package func remaining(_ job: JobRecord, at now: Double) -> Double? {
        switch job.state {
        case .prefill:
            return prefills[job.id]?.remaining(
                of: job.promptTokens - min(job.promptTokens, job.cachedTokens), at: now)
        case .decode:
            let most = UInt64(job.options?.maxTokens ?? 0)
            // The cluster's rate is this job's only when no other job decodes.
            let decoding = jobs.count { $0.state == .decode }
            guard decoding == 1, most > 0, let rate = generatedRate, rate > 0 else { return nil }
            return Double(most - min(most, job.generatedTokens)) / rate
        default: return nil
        }
    }

    /// Jobs that run, in order of submission; that wait, next one first; that have ended, newest first.
    package var running: [JobRecord] { jobs.filter(\.isRunning).reversed() }
    package var waiting: [JobRecord] {
        func place(_ job: JobRecord) -> UInt32 { job.queuePosition == 0 ? .max : job.queuePosition }
        return jobs.reversed().filter { $0.state == .queued }.sorted { place($0) < place($1) }
    }
    package var ended: [JobRecord] { jobs.filter { ExitStatus.of($0.state) != nil } }

    /// In ring order: job by job by rank, then those that are free, as the coordinator lists them.
    package var places: [Place] {
        var taken: Set<String> = []
        var places: [Place] = []
        for job in running {
            let shares = Dictionary(job.shares.map { ($0.worker, $0) }) { first, _ in first }
            let own = cluster.members.filter {
                !taken.contains($0.name) && ($0.job.isEmpty ? shares[$0.name] != nil : $0.job == job.id)
            }
            func rank(_ member: MemberRecord) -> UInt32 { shares[member.name]?.rank ?? .max }
            for member in own.sorted(by: { rank($0) < rank($1) }) {
                taken.insert(member.name)
                places.append(Place(member: member, job: job, share: shares[member.name]))
            }
        }
        return places + cluster.members.filter { !taken.contains($0.name) }.map { Place(member: $0) }
    }

    /// For programs: the last look and the rates that follow from it.
    package var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
        return .object([
            ("prompt_tokens_per_second", number(promptRate)),
            ("generated_tokens_per_second", number(generatedRate)),
            ("cluster", cluster.json),
            (
                "workers",
                .array(
                    cluster.members.map { member in
                        .object([
                            ("name", .string(member.name)),
                            ("ring_bytes_per_second", number(linkRate(member.name))),
                            ("compute_share", number(computeShare(member.name))),
                        ])
                    })
            ),
            ("jobs", .array(jobs.map(\.json))), ("contexts", .array(contexts.map(\.json))),
        ])
    }
}

/// How far a prefill is, and when it will be over. Progress comes in steps: layers.
private struct PrefillClock: Sendable {
    /// Only where the count changed; bounded.
    private var samples: [(done: UInt64, at: Double)] = []
    private var attempt: UInt64 = 0
    private static let mostSamples = 32

    mutating func add(_ job: JobRecord, at now: Double) {
        let done = job.computedTokens
        if job.attempt != attempt || done < samples.last?.done ?? 0 { samples = [] }
        attempt = job.attempt
        if let last = samples.last, done == last.done { return }
        samples.append((done, now))
        // The first one stays: the mean since then is the steadiest.
        if samples.count > Self.mostSamples { samples.remove(at: 1) }
    }

    var lastChange: Double? { samples.last?.at }

    /// Seconds per token.
    var pace: Double? {
        guard let first = samples.first, let last = samples.last, last.done > first.done, last.at > first.at
        else { return nil }
        return (last.at - first.at) / Double(last.done - first.done)
    }

    /// The next step should have come.
    func isOverdue(at now: Double) -> Bool {
        guard let first = samples.first, let last = samples.last, samples.count > 1 else { return true }
        return now - last.at > 1.5 * (last.at - first.at) / Double(samples.count - 1)
    }

    func remaining(of total: UInt64, at now: Double) -> Double? {
        guard let pace, let first = samples.first, let last = samples.last else { return nil }
        let rest = Double(total - min(total, last.done))
        // A step that is overdue slows the mean, so that a job that hangs never seems near its end.
        return isOverdue(at: now)
            ? rest * (now - first.at) / Double(last.done - first.done)
            : max(0, rest * pace - (now - last.at))
    }
}

/// What a worker told of its part of a job in the last seconds.
private struct LinkSamples: Sendable {
    private var job = ""
    private var samples: [(at: Double, progress: RunProgress)] = []
    private static let window = 8.0
    private static let mostSamples = 64

    mutating func add(_ member: MemberRecord, at now: Double) {
        guard !member.job.isEmpty, let progress = member.progress else {
            self = LinkSamples()
            return
        }
        if member.job != job || progress.ringBytesSent < samples.last?.progress.ringBytesSent ?? 0 {
            samples = []
        }
        job = member.job
        samples.append((now, progress))
        while samples.count > Self.mostSamples || (samples.count > 2 && now - samples[0].at > Self.window) {
            samples.removeFirst()
        }
    }

    var rate: Double? {
        guard let first = samples.first, let last = samples.last, last.at - first.at > 0.05 else {
            return nil
        }
        return Double(last.progress.ringBytesSent - first.progress.ringBytesSent) / (last.at - first.at)
    }

    var computeShare: Double? {
        guard let first = samples.first, let last = samples.last else { return nil }
        func share(_ compute: Double, _ wait: Double) -> Double? {
            compute >= 0 && wait >= 0 && compute + wait > 0 ? compute / (compute + wait) : nil
        }
        let (old, new) = (first.progress, last.progress)
        // Heartbeats come once a second: two looks may have seen the same one.
        return share(new.computeSeconds - old.computeSeconds, new.waitSeconds - old.waitSeconds)
            ?? share(new.computeSeconds, new.waitSeconds)
    }
}
