// Jobs before and after they run: admitted, waiting, cancelled, ended, written down.
import Observability
package import Messages
import Protobuf

extension Scheduler {
    /// Takes over the jobs that waited when the last coordinator stopped.
    mutating func restart(_ found: [(sequence: Int64, record: JobRecord)]) {
        for (sequence, record) in found {
            queue.restore(record.id, sequence: sequence)
            jobs[record.id] = Job(record: record, sequence: sequence)
        }
        if !found.isEmpty { say("jobs wait from before", ["jobs": "\(found.count)"]) }
    }

    mutating func admit(
        _ options: JobOptions, _ prompt: [UInt32], seed: UInt64, owner: String, at now: Time
    ) {
        do throws(CoordinatorError) {
            guard !isStopping else {
                throw CoordinatorError(.unavailable, "the coordinator is shutting down")
            }
            let admitted = try admitted(options, prompt, seed: seed, owner: owner)
            try queue.reserve()
            let record = JobRecord.with {
                $0.options = admitted.options
                // It is in the prompt.
                $0.options?.system = ""
                $0.state = .queued
                $0.submittedMicroseconds = now.wallMicroseconds
                $0.promptTokens = UInt64(prompt.count)
                $0.profile = admitted.profile
                $0.note = admitted.note
                $0.model = model.name
                $0.fingerprint = model.fingerprint
                $0.precision = configuration.precision
                $0.attempt = 1
                $0.owner = owner
            }
            effects.append(
                .accept(
                    AdmittedJob(
                        record: record, chain: TokenChain(of: record, prompt: prompt),
                        context: ContextRecord(made: record))))
        } catch {
            statistics.count(refused: error.kind.rawValue)
            effects.append(.reject(error))
        }
    }

    mutating func enqueue(_ job: AdmittedJob, _ sequence: Int64, at now: Time) {
        let record = job.record
        statistics.count(submitted: record.options?.kind ?? .generate)
        queue.enqueue(record.id, sequence: sequence)
        jobs[record.id] = Job(record: record, sequence: sequence, chain: job.chain)
        noteContext(of: job, at: now)
        say("job submitted", ["job": record.id, "tokens": "\(record.promptTokens)"])
        place(at: now)
    }

    /// One that has ended, or that nobody knows, stays as it is.
    mutating func cancel(_ id: String, at now: Time) {
        if queue.remove(id) { return cancelled(id, at: now) }
        guard let run = runs[id] else { return }
        guard let state = run.started?.state else {
            // Nobody was told of it yet.
            release(run, at: now)
            cancelled(id, at: now)
            return place(at: now)
        }
        if state.isReturned {
            runs[id]?.isCancelled = true
        } else {
            report(.cancel, of: run.id, at: now)
        }
    }

    /// A job that does not run is cancelled.
    mutating func cancelled(_ id: String, at now: Time) {
        guard var record = jobs[id]?.record else { return }
        record.state = .cancelled
        record.reason = ""
        record.finish = .cancelled
        close(record, at: now)
    }

    /// Ends a job that does not run.
    mutating func close(_ given: JobRecord, at now: Time) {
        var record = given
        record.finishedMicroseconds = now.wallMicroseconds
        jobs[record.id]?.record = record
        jobs[record.id]?.end = .beingWritten
        effects.append(.journal(record, [Self.end(of: record)]))
        countEnd(record, gaps: nil, at: now)
    }

    /// A job has ended and its calls are over.
    mutating func countEnd(_ record: JobRecord, gaps: Histogram?, at now: Time) {
        statistics.count(ended: record, gaps: gaps)
        contextEnded(record)
        say("job ended", ["job": record.id, "state": "\(record.state)", "reason": record.reason])
        note(
            "ended: \(record.state)\(record.reason.isEmpty ? "" : ", \(record.reason)")", job: record.id,
            at: now)
        finishedSinceForgetting += 1
        guard finishedSinceForgetting >= 20 else { return }
        finishedSinceForgetting = 0
        effects.append(.forget(after: record.id))
    }

    static func end(of record: JobRecord) -> JobEvent { JobEvent(.end(record)) }

    /// A line of the job's own log.
    mutating func note(_ text: String, job: String, at now: Time) {
        let line = LogLine.with {
            $0.timeMicroseconds = now.wallMicroseconds
            $0.level = "info"
            $0.source = "coordinator"
            $0.text = text
        }
        effects.append(.log(job: job, [line]))
    }

    mutating func say(_ text: String, _ details: [String: String], level: Notice.Level = .info) {
        effects.append(.say(Notice(text, details, level: level)))
    }

    // MARK: the journal

    mutating func written(_ id: String) {
        jobs[id]?.end = .written
        forget(id)
    }

    /// A job whose end is written and whose calls are over is the journal's alone.
    mutating func forget(_ id: String) {
        if runs[id] == nil, case .written? = jobs[id]?.end { jobs[id] = nil }
    }

    /// The journal refuses: a job that runs ends, and if even that cannot be written, only memory knows.
    mutating func unwritten(_ id: String, _ error: CoordinatorError, at now: Time) {
        guard let job = jobs[id] else { return }
        switch job.end {
        case .ahead where runs[id]?.started != nil, .beingWritten where runs[id]?.started != nil:
            overrule(id, error, at: now)
        case .beingWritten, .beingForced:
            jobs[id]?.end = .unsaved
            effects.append(.notify(job.record, isOver: true))
        case .beingRetried: jobs[id]?.end = .unsaved
        case .ahead, .unsaved, .written: break
        }
    }

    mutating func saveUnsaved() {
        for (id, job) in jobs.sorted(by: { $0.value.sequence < $1.value.sequence }) {
            guard case .unsaved = job.end else { continue }
            jobs[id]?.end = .beingRetried
            effects.append(.journal(job.record, [Self.end(of: job.record)]))
        }
    }

    // MARK: what is shown

    /// A job that waits, with its place and why it waits.
    package func shown(_ queued: JobRecord) -> JobRecord {
        guard queued.state == .queued else { return queued }
        var record = queued
        record.queuePosition = UInt32(queue.position(record.id))
        if let reason = obstacle(record) {
            record.reason = reason
        } else if runs[record.id] == nil, !runs.isEmpty || record.queuePosition > 1 {
            record.reason = "waits for other jobs"
        }
        return record
    }

    /// Why this job cannot start even if no other ran.
    private func obstacle(_ record: JobRecord) -> String? {
        if let why = members.whyNobody { return why }
        if let job = ingestion(before: record) {
            return
                "waits for its context \(record.options?.context ?? ""), which job \(job) still computes"
        }
        if let job = jobs[record.id], past(for: job, holders: members.holders) != nil { return nil }
        let tokens = Int(clamping: record.promptTokens) + Int(record.options?.maxTokens ?? 0)
        return admission.memoryText(
            tokens: tokens, members: members.ready, taken: sequences.pinnedTokens())
    }

    /// Whether the coordinator knows more of this job than the journal.
    package func holds(_ id: String) -> Bool { jobs[id] != nil }

    /// Jobs that wait, in their order.
    package var waiting: [String] { queue.ids }
}
