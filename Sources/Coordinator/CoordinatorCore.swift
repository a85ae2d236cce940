// Carries out what the scheduler decides: it has the clock, the dice, the journal and the workers' calls.
package import Logging
import Observability
import Messages

/// One coordinator. Every decision is a step of `Scheduler`; here are only the effects.
package actor CoordinatorCore {
    package nonisolated let configuration: CoordinatorConfiguration
    package nonisolated let model: any ModelDescription
    package nonisolated let journal: Journal
    let dialler: any WorkerDialler
    private let logger: Logger

    var scheduler: Scheduler
    /// By job.
    var desks: [String: JobDesk] = [:]
    /// What contexts have become that is not in the journal yet, and whether somebody writes it.
    var unsavedContexts: [ContextName: (record: ContextRecord, memory: ContextMemory?)] = [:]
    var isSavingContexts = false
    private var measurement: Task<Result<[WorkerRates], Unmeasured>, Never>?
    /// How many runs there are, for those who wait until there is none.
    private let running = Feed(0)

    /// While jobs run: their text is written in pieces of 50 ms.
    private static let busyTick: Duration = .milliseconds(25)
    private static let idleTick: Duration = .milliseconds(100)

    /// - Parameters:
    ///   - start: counts the starts of this coordinator; epochs begin above those of the one before.
    package init(
        configuration: CoordinatorConfiguration, model: any ModelDescription, journal: Journal,
        dialler: any WorkerDialler, start: UInt64, logger: Logger
    ) {
        self.configuration = configuration
        self.model = model
        self.journal = journal
        self.dialler = dialler
        self.logger = logger
        scheduler = Scheduler(configuration: configuration, model: model, start: start, at: .now)
    }

    // MARK: the life of the process

    /// Takes over what the journal holds.
    package func recover() async throws(CoordinatorError) {
        let found = try await journal.recover(at: Scheduler.Time.now.wallMicroseconds)
        for (_, record) in found {
            let last = try await journal.events(record.id, from: 1).last?.number ?? 0
            desks[record.id] = JobDesk(record, lastEvent: last)
        }
        take(.restarted(found))
        for (_, record) in found {
            // One whose prompt cannot be read says so when its turn comes.
            if let chain = try? await journal.chain(of: record) { take(.chained(record.id, chain)) }
        }
        take(.contexts(try await journal.contexts(precision: configuration.precision)))
    }

    /// The scheduler's clock. Returns when cancelled.
    package func watch() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: scheduler.runCount > 0 ? Self.busyTick : Self.idleTick)
            take(.tick)
        }
    }

    /// No more jobs are taken or started. Returns when those that run have ended, or the limit has passed.
    package func drain(limit: Duration) async {
        take(.closing)
        await running.wait(atMost: limit) { $0 == 0 }
    }

    /// No more jobs are started; those that run end as failed.
    package func stop() async {
        take(.stop)
        measurement?.cancel()
        await running.wait(atMost: .seconds(5)) { $0 == 0 }
    }

    // MARK: effects

    /// What a step answers to its input.
    struct Answer {
        var reply: Scheduler.Reply?
        var accepted: AdmittedJob?
        var error: CoordinatorError?
    }

    /// Gives the scheduler an input and sees to what follows.
    @discardableResult
    func take(_ input: Scheduler.Input) -> Answer {
        var answer = Answer()
        for effect in scheduler.step(input, at: .now) {
            switch effect {
            case .reply(let reply): answer.reply = reply
            case .reject(let error): answer.error = error
            case .accept(let job): answer.accepted = job
            case .save(let context, let memory): save(context, memory)
            case .journal(let record, _), .notify(let record, _): add(effect, to: record.id)
            case .log(let id, _), .trace(let id, _), .forget(let id): add(effect, to: id)
            case .start(let id, _), .tell(let id, _, _), .finish(let id, _): add(effect, to: id.job)
            case .reach(let id, let workers): Task { await reach(id, workers) }
            case .measure(let workers, let epoch): measurement = measure(workers, epoch)
            case .say(let notice): say(notice)
            }
        }
        if running.value != scheduler.runCount { running.update { $0 = scheduler.runCount } }
        return answer
    }

    private func say(_ notice: Notice) {
        let details = notice.details.mapValues { Logger.MetadataValue.string($0) }
        logger.log(
            level: notice.level == .warning ? .warning : .info, "\(notice.text)", metadata: details)
    }

    private func measure(
        _ workers: [MemberRecord], _ epoch: UInt64
    ) -> Task<Result<[WorkerRates], Unmeasured>, Never> {
        let calibration = Calibration(dialler: dialler, timeout: .seconds(configuration.calibrateSeconds))
        return Task {
            let result = await calibration.measure(workers, epoch: epoch)
            take(.measured(result))
            return result
        }
    }

    /// What these workers can do: as measured before, or measured now if none of them works.
    func rates(of workers: [MemberRecord]) async -> Result<[WorkerRates], Unmeasured> {
        if let known = scheduler.rates(of: workers) { return .success(known) }
        if case .unmeasured(let why) = take(.wanted(workers)).reply { return .failure(why) }
        return await measurement?.value ?? .failure(.membersChange)
    }

    /// Makes sure that every worker can be spoken to, and reads the prompt.
    private func reach(_ id: RunID, _ workers: [MemberRecord]) async {
        let failures = await dialler.unreached(of: workers)
        guard failures.isEmpty else {
            take(.unreachable(id, failures))
            return
        }
        do throws(CoordinatorError) {
            let driver = RunDriver(
                prompt: try await journal.prompt(id.job), key: RunDriver.newKey(), dialler: dialler,
                report: { await self.report($0, of: id) },
                broke: { await self.broken($0, reason: $1) })
            desks[id.job]?.driver = driver
            take(.reached(id, lastToken: driver.lastToken))
        } catch { take(.unreadable(id, error)) }
    }

    private func broken(_ worker: String, reason: String) { take(.broken(worker: worker, reason: reason)) }

    /// What a worker of a run says. Waits while the job has more to be done than there is room for.
    private func report(_ input: RunState.Input, of id: RunID) async {
        take(.run(id, input))
        guard desks[id.job]?.isFull == true else { return }
        await withCheckedContinuation { continuation in
            if desks[id.job]?.wait(continuation) == nil { continuation.resume() }
        }
    }
}
