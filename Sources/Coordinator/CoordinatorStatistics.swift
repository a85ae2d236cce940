// What a coordinator counts about its jobs: a value that is told and asked, for the page of metrics.
package import Messages
package import Observability
import Protobuf

/// Sums since the coordinator's start.
package struct CoordinatorStatistics: Sendable {
    /// By the refusal's kind.
    private var refused = CounterVector()
    private var submitted = CounterVector()
    private var finished = CounterVector()
    private var promptTokens = 0.0
    private var generatedTokens = 0.0
    private var queue = Histogram.seconds
    private var prefill = Histogram.seconds
    private var decode = Histogram.seconds
    private var firstToken = Histogram.seconds
    private var betweenTokens = CoordinatorStatistics.tokenGaps
    private var compute = CounterVector()
    private var wait = CounterVector()
    private var wire = CounterVector()
    private var link = CounterVector()
    /// What has been counted of the jobs that run, by job and worker.
    private var counted: [String: [String: RunProgress]] = [:]
    private var heartbeats = CounterVector()
    private var hits = 0.0
    private var misses = 0.0
    private var cachedTokens = 0.0
    private var evictions = 0.0
    private var lost = CounterVector()

    /// From a millisecond to a minute: decoding is between 2 ms and some seconds a token, more on slow links.
    package static let tokenGaps = Histogram(upperBounds: [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10,
        30, 60,
    ])

    /// Series whose labels are known read 0 from the start, so that their first time is seen as a rise.
    package init() {
        for kind in [JobKind.generate, .score, .ingest] {
            submitted.add(0, Self.labels(kind))
            for state in [JobState.succeeded, .failed, .cancelled] {
                finished.add(0, Self.labels(kind, state))
            }
        }
        for kind in CoordinatorError.Kind.allCases { count(refused: kind.rawValue, 0) }
    }

    /// Tokens of jobs that have ended.
    package var endedTokens: (prompt: Double, generated: Double) { (promptTokens, generatedTokens) }

    package mutating func count(submitted kind: JobKind) { submitted.add(1, Self.labels(kind)) }

    package mutating func count(refused reason: String, _ times: Double = 1) {
        refused.add(times, ["reason": reason])
    }

    /// - Parameters:
    ///   - job: of those that run, the one that it works on.
    ///   - progress: what it has done for it so far.
    package mutating func count(
        heartbeatOf worker: String, job: JobRecord? = nil, progress: RunProgress? = nil
    ) {
        let labels: Labels = ["worker": worker]
        heartbeats.add(1, labels)
        lost.add(0, labels)
        compute.add(0, labels)
        wait.add(0, labels)
        wire.add(0, labels)
        if let job, let progress, let share = job.shares.first(where: { $0.worker == worker }) {
            count(progress, of: share, in: job)
        }
    }

    /// Counts what is new of a worker's work since it was last told. What was counted stays, however the job ends.
    private mutating func count(_ progress: RunProgress, of share: WorkerShare, in job: JobRecord) {
        let before = counted[job.id]?[share.worker] ?? RunProgress()
        counted[job.id, default: [:]][share.worker] = progress
        let labels: Labels = ["worker": share.worker]
        compute.add(max(0, progress.computeSeconds - before.computeSeconds), labels)
        wait.add(max(0, progress.waitSeconds - before.waitSeconds), labels)
        wire.add(max(0, progress.wireSeconds - before.wireSeconds), labels)
        let next = (Int(share.rank) + 1) % job.shares.count
        if let next = job.shares.first(where: { Int($0.rank) == next }), next.worker != share.worker {
            let new = Double(progress.ringBytesSent) - Double(before.ringBytesSent)
            link.add(max(0, new), ["from": share.worker, "to": next.worker])
        }
    }

    /// A run begins whose prompt could continue a kept sequence.
    /// - Parameter tokens: of the prompt, that it continues; 0: there was no such sequence.
    package mutating func count(cached tokens: Int) {
        if tokens > 0 { hits += 1 } else { misses += 1 }
        cachedTokens += Double(tokens)
    }

    /// Kept sequences gave their memory up for a job.
    package mutating func count(evicted sequences: Int) { evictions += Double(sequences) }

    package mutating func count(lost worker: String) { lost.add(1, ["worker": worker]) }

    /// - Parameter gaps: times between the tokens of its answer.
    package mutating func count(ended job: JobRecord, gaps: Histogram?) {
        defer { counted[job.id] = nil }
        let kind = job.options?.kind ?? .generate
        finished.add(1, Self.labels(kind, job.state))
        promptTokens += Double(job.prefilledTokens) - Double(min(job.cachedTokens, job.prefilledTokens))
        generatedTokens += Double(job.generatedTokens)
        if let gaps { _ = betweenTokens.merge(gaps) }
        guard job.startedMicroseconds > 0 else { return }
        queue.observe(Double(job.startedMicroseconds &- job.submittedMicroseconds) / 1e6)
        if job.firstTokenSeconds > 0 { firstToken.observe(job.firstTokenSeconds) }
        guard job.state == .succeeded else { return }
        prefill.observe(job.prefillSeconds)
        if kind == .generate { decode.observe(job.decodeSeconds) }
        for share in job.shares {
            let whole = RunProgress.with {
                $0.computeSeconds = share.computeSeconds
                $0.waitSeconds = share.waitSeconds
                $0.wireSeconds = share.steps.reduce(0) { $0 + $1.wireSeconds }
                $0.ringBytesSent = share.ringBytesSent
            }
            count(whole, of: share, in: job)
        }
    }

    /// - Parameters:
    ///   - running: prompt and generated tokens of jobs that have not ended.
    package func families(running: (prompt: Double, generated: Double)) -> [MetricFamily] {
        [
            submitted.family("lariat_jobs_submitted_total", "Jobs that were accepted and journalled."),
            finished.family("lariat_jobs_finished_total", "Jobs that have ended, by outcome."),
            refused.family("lariat_jobs_refused_total", "Submissions that were refused, by reason."),
            .counter(
                "lariat_prompt_tokens_total", "Prompt tokens prefilled.", promptTokens + running.prompt),
            .counter(
                "lariat_generated_tokens_total", "Tokens generated.", generatedTokens + running.generated),
            .counter(
                "lariat_kept_sequence_hits_total",
                "Runs that continued keys and values that were in memory.", hits),
            .counter(
                "lariat_kept_sequence_misses_total",
                "Runs that could have continued keys and values, of which none were in memory.", misses),
            .counter(
                "lariat_cached_prompt_tokens_total",
                "Prompt tokens whose keys and values were in memory when their run began.", cachedTokens),
            .counter(
                "lariat_kept_sequence_evictions_total",
                "Sequences that gave their memory up for a job.", evictions),
            .histogram(
                "lariat_queue_seconds", "Time from a job's submission to its start, of jobs that have ended.",
                queue),
            .histogram("lariat_prefill_seconds", "Time of the prefill of jobs that succeeded.", prefill),
            .histogram("lariat_decode_seconds", "Time of decoding of jobs that succeeded.", decode),
            .histogram(
                "lariat_time_to_first_token_seconds", "Time from a job's start to its first token.",
                firstToken),
            .histogram(
                "lariat_inter_token_latency_seconds", "Time from one token of an answer to the next.",
                betweenTokens),
            compute.family(
                "lariat_worker_compute_seconds_total",
                "Time that a worker computed in prefills."),
            wait.family(
                "lariat_worker_wait_seconds_total", "Time that a worker waited for blocks."),
            wire.family(
                "lariat_worker_wire_seconds_total", "Time that blocks took to come in."),
            link.family(
                "lariat_link_bytes_total", "Bytes of blocks sent over a link of the ring."),
            heartbeats.family("lariat_worker_heartbeats_total", "Heartbeats of a worker."),
            lost.family("lariat_workers_lost_total", "How often a worker was lost."),
        ]
    }

    private static func labels(_ kind: JobKind) -> Labels { ["kind": word(kind)] }

    private static func word(_ kind: JobKind) -> String {
        switch kind {
        case .score: "score"
        case .ingest: "ingest"
        case .generate, .unspecified, .unknown: "generate"
        }
    }

    private static func labels(_ kind: JobKind, _ state: JobState) -> Labels {
        let outcome =
            switch state {
            case .succeeded: "succeeded"
            case .cancelled: "cancelled"
            default: "failed"
            }
        return ["kind": word(kind), "outcome": outcome]
    }
}
