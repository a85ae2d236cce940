// What clients and workers ask of the coordinator, whatever transport it came by.
package import Observability
package import Messages
import Protobuf

extension CoordinatorCore {
    // MARK: jobs

    /// For prompts that are to be submitted now.
    package var encoder: PromptEncoder {
        PromptEncoder(admission: scheduler.admission, members: scheduler.members.ready)
    }

    /// A prompt was refused before it was submitted.
    package func count(refused error: CoordinatorError) { take(.refused(error.kind)) }

    /// Admits a job and journals it. The reply may be sent when this returns.
    /// - Parameters:
    ///   - given: its tokens; of a question about a context those behind the context's.
    ///   - owner: the name of the token that it came with; empty: none was asked for.
    package func submit(
        _ options: JobOptions, prompt given: [UInt32], owner: String = ""
    ) async throws(CoordinatorError) -> JobRecord {
        let prompt: [UInt32]
        do throws(CoordinatorError) {
            prompt = try await whole(given, options, owner: owner)
        } catch {
            take(.refused(error.kind))
            throw error
        }
        let seed = UInt64.random(in: 1...UInt64.max)
        let answer = take(.asked(options, prompt: prompt, seed: seed, owner: owner))
        if let error = answer.error { throw error }
        guard var job = answer.accepted else { throw Self.noAnswer }
        let written: (record: JobRecord, sequence: Int64)
        do throws(CoordinatorError) {
            written = try await journal.submit(
                job.record, prompt: prompt, chain: job.chain, context: job.context,
                template: options.chatTemplate)
        } catch {
            take(.notSubmitted(error.kind))
            throw CoordinatorError(error.kind, "the job was not accepted: \(error.message)")
        }
        job.record = written.record
        desks[written.record.id] = JobDesk(written.record, lastEvent: 1)
        take(.submitted(job, sequence: written.sequence))
        return scheduler.shown(written.record)
    }

    static let noAnswer = CoordinatorError(.internalFault, "the coordinator gave no answer")

    package func job(_ id: String) async throws(CoordinatorError) -> JobRecord {
        // The state is looked at before the text is read: what is said to have ended comes with all of its text.
        let known = live(id)
        let kept = try await journal.job(id)
        let hasEnded = [.succeeded, .failed, .cancelled].contains(kept.state)
        guard var record = known, !hasEnded else { return kept }
        record.text = kept.text
        return record
    }

    /// - Parameter token: of the last page; empty for the first.
    package func jobs(_ request: ListJobsRequest) async throws(CoordinatorError) -> ListJobsReply {
        let size = request.pageSize == 0 ? 100 : min(Int(request.pageSize), 100)
        guard let before = request.pageToken.isEmpty ? Int64.max : Int64(request.pageToken) else {
            throw CoordinatorError(
                .invalid, "the page token \"\(request.pageToken.prefix(40))\" is not one of ours")
        }
        let found = try await journal.jobs(before: before, limit: size, activeOnly: request.activeOnly)
        return ListJobsReply.with {
            $0.jobs = found.map { record in
                // A page must fit one message.
                (live(record.id) ?? record).summary
            }
            if found.count == size, let last = found.last, let sequence = Journal.sequence(last.id) {
                $0.nextPageToken = String(sequence)
            }
        }
    }

    /// Cancels a job that waits or runs; one that has ended stays as it is.
    package func cancel(_ id: String) async throws(CoordinatorError) -> JobRecord {
        take(.cancel(id))
        if let feed = desks[id]?.feed { await feed.wait(atMost: .seconds(5)) { $0.ended } }
        return try await job(id)
    }

    /// What a job like this would cost now.
    /// - Parameter given: as for `submit`.
    package func forecast(
        _ options: JobOptions, prompt given: [UInt32], owner: String = ""
    ) async -> Forecast {
        var prompt = given
        do throws(CoordinatorError) {
            prompt = try await whole(given, options, owner: owner)
            let question = try scheduler.question(options, prompt: prompt, owner: owner, at: .now)
            let rates = await rates(of: question.measurable)
            return scheduler.answer(question, rates: rates, at: .now)
        } catch {
            return .with {
                $0.promptTokens = UInt64(prompt.count)
                $0.reason = error.message
            }
        }
    }

    /// Where a follower of this job finds news; nil when it has ended.
    func feed(_ id: String) -> Feed<JobNotice>? { desks[id]?.feed }

    /// Jobs that wait or run, each with a number that changes with what is to be told of it, and those that wait in
    /// their order.
    var unended: (versions: [String: UInt64], queue: [String]) {
        (desks.compactMapValues { $0.feed.value.ended ? nil : $0.feed.news.version }, scheduler.waiting)
    }

    /// The job as memory knows it; nil for those that only the journal knows.
    func live(_ id: String) -> JobRecord? { desks[id].map { scheduler.shown($0.feed.value.record) } }

    // MARK: workers

    package func register(_ request: RegisterRequest) throws(CoordinatorError) -> RegisterReply {
        let answer = take(.register(request))
        guard case .registered(let epoch, let drop) = answer.reply else {
            throw answer.error ?? Self.noAnswer
        }
        return RegisterReply.with {
            $0.epoch = epoch
            $0.drop = drop
            $0.heartbeatSeconds = configuration.heartbeatSeconds
            $0.protocol = LariatProtocol.current
        }
    }

    package func heartbeat(_ request: HeartbeatRequest) throws(CoordinatorError) -> HeartbeatReply {
        let answer = take(.heartbeat(request))
        guard case .beat(let reply) = answer.reply else { throw answer.error ?? Self.noAnswer }
        return reply
    }

    /// Workers take no more jobs, finish what they run and leave, or take jobs again.
    package func drain(_ request: DrainRequest) throws(CoordinatorError) -> DrainReply {
        let answer = take(.drain(request))
        guard case .workers(let names) = answer.reply else { throw answer.error ?? Self.noAnswer }
        return DrainReply.with { $0.workers = names }
    }

    package func leave(_ request: HeartbeatRequest) throws(CoordinatorError) -> HeartbeatReply {
        let epoch = try epoch(.leave(request))
        return HeartbeatReply.with { $0.epoch = epoch }
    }

    private func epoch(_ input: Scheduler.Input) throws(CoordinatorError) -> UInt64 {
        let answer = take(input)
        guard case .epoch(let epoch) = answer.reply else { throw answer.error ?? Self.noAnswer }
        return epoch
    }

    /// Hosts that this worker registered with.
    package func hosts(of worker: String) -> [String] { scheduler.members.hosts(worker) }

    // MARK: figures

    package func cluster() -> ClusterState { scheduler.cluster(at: .now) }

    /// What is in memory beyond runs.
    package var keptSequences: SequenceTable { scheduler.keptSequences }

    /// Tokens since the start, of all jobs.
    package var tokens: (prompt: Double, generated: Double) { scheduler.tokens }

    /// The last hour, oldest first.
    package var lastHour: [Throughput.Sample] { scheduler.lastHour }

    /// Whether jobs can be run.
    package var health: Health {
        if scheduler.isStopping { return .notReady("the coordinator is shutting down") }
        return scheduler.members.whyNobody.map { .notReady($0) } ?? .ready
    }

    /// Everything that is counted and measured here.
    package func metrics() -> [MetricFamily] {
        cluster().metrics(
            precision: configuration.precision, queueLimit: configuration.queueLimit,
            oldestWait: scheduler.oldestWait(at: .now))
            + scheduler.statistics.families(running: scheduler.unendedTokens)
            + scheduler.keptFamilies + ProcessMetrics.current()
    }
}
