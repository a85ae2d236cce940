// Runs one job: calls its workers, feeds what they say to `RunState`, and does what that decides.
import Messages
import Observability
import Protobuf
import Synchronization

/// What a finished run leaves.
struct RunOutcome: Sendable {
    var record: JobRecord
    /// Times between the tokens of its answer.
    var tokenGaps: Histogram
    /// False when the journal could not take the end.
    var journalled: Bool
    /// Why it did not end well; with a queued record: why the job goes back to its place.
    var failure: RunFailure?
}

/// The driver of one run.
struct JobRunner: Sendable {
    let journal: Journal
    let dialler: any WorkerDialler
    let plan: JobPlan
    let prompt: [UInt32]
    let profile: ProfileMessage
    let epoch: UInt64
    let stallSeconds: Double
    let feed: JobFeed
    let inbox: RunInbox<RunState.Input>
    /// Told of a worker whose connection broke, and why.
    let lost: @Sendable (_ worker: String, _ reason: String) async -> Void

    /// Runs to the end, whatever it is. Returns when all calls are over.
    /// - Parameter state: of the job, before `begin`.
    func run(_ initial: RunState) async -> RunOutcome {
        var state = initial
        let job = initial.record
        let calls = Calls()
        var saved = await perform(state.begin(), &state, calls)
        saved = await withTaskGroup(of: Void.self) { group in
            for rank in plan.members.indices {
                group.addTask { await converse(rank, job, calls) }
            }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(25))
                    inbox.tick()
                }
            }
            while !state.isOver {
                let inputs = await inbox.take()
                let now = ContinuousClock.now
                var actions: [RunState.Action] = []
                for input in inputs + [.tick] {
                    actions += state.handle(input, at: now, wallMicroseconds: wallMicroseconds())
                }
                saved = await perform(actions, &state, calls)
            }
            inbox.close()
            if state.record.state == .succeeded {
                // Workers end their calls themselves; one that does not is cut off.
                for call in calls.all { await call.finishSending() }
                group.addTask { try? await Task.sleep(for: .seconds(2)) }
                for _ in plan.members.indices { await group.next() }
            }
            calls.cancelAll()
            group.cancelAll()
            return saved
        }
        return RunOutcome(
            record: state.record, tokenGaps: state.tokenGaps, journalled: saved,
            failure: state.failure)
    }

    /// Writes, shows and sends what one round of inputs led to. False when the journal did not take the end.
    private func perform(_ actions: [RunState.Action], _ state: inout RunState, _ calls: Calls) async -> Bool
    {
        var saved = true
        let published = Self.published(actions)
        if !published.isEmpty {
            do throws(CoordinatorError) {
                let last = try await journal.append(published, to: state.record)
                feed.update {
                    $0.lastEvent = last
                    $0.record = state.record
                    $0.ended = state.isOver && !state.isReturned
                }
            } catch {
                saved = await giveUp(error, &state)
            }
        } else if actions.contains(.progress) {
            feed.update { $0.record = state.record }
        }
        let lines = actions.compactMap { action -> LogLine? in
            guard case .log(var line) = action else { return nil }
            line.timeMicroseconds = wallMicroseconds()
            return line
        }
        // A log that cannot be written is no reason to end a job.
        if !lines.isEmpty { try? await journal.log(lines, job: state.record.id) }
        for case .trace(let part) in actions { try? await journal.trace(part, job: state.record.id) }
        guard !state.isOver else { return saved }
        for action in actions {
            switch action {
            case .start:
                for call in calls.all { await send(RunCommand.with { $0.start = true }, to: call) }
            case .stop(let rank):
                if let call = calls[rank] { await send(RunCommand.with { $0.stop = true }, to: call) }
            case .publish, .log, .trace, .progress, .finished: break
            }
        }
        return saved
    }

    /// The journal refuses: the job ends, and if even that cannot be written, only memory knows.
    private func giveUp(_ error: CoordinatorError, _ state: inout RunState) async -> Bool {
        let end = state.abort(
            "the job's output cannot be written: \(error.message), then submit the job again",
            wallMicroseconds: wallMicroseconds())
        if state.record.state != .failed {
            state.overrule("the job's output cannot be written: \(error.message)")
        }
        let record = state.record
        let published = Self.published(end).filter { $0.kind == .end }
        do throws(CoordinatorError) {
            let last = try await journal.append(
                published.isEmpty
                    ? [
                        JobEvent.with {
                            $0.kind = .end
                            $0.job = record
                        }
                    ] : published, to: record)
            feed.update {
                $0.lastEvent = last
                $0.record = record
                $0.ended = true
            }
            return true
        } catch {
            feed.update {
                $0.record = record
                $0.ended = true
            }
            return false
        }
    }

    private static func published(_ actions: [RunState.Action]) -> [JobEvent] {
        actions.compactMap { if case .publish(let event) = $0 { event } else { nil } }
    }

    /// A command whose failure the reading side will report.
    private func send(_ command: RunCommand, to call: any WorkerConnection) async {
        try? await call.send(command)
    }

    /// One worker's call from dialling to its end.
    private func converse(_ rank: Int, _ job: JobRecord, _ calls: Calls) async {
        do throws(WorkerFailure) {
            let call = try await dialler.open(plan.members[rank])
            guard calls.add(call, rank) else { return call.cancel() }
            // The plan goes out beside reading, so that a worker's refusal is heard at once.
            async let sent: Void = sendPlan(rank, job, call)
            while let event = try await call.next() {
                guard await inbox.put(.event(rank: rank, event)) else { break }
            }
            await sent
            _ = await inbox.put(.ended(rank: rank, nil))
        } catch {
            if error.connectionLost { await lost(plan.members[rank].name, error.message) }
            _ = await inbox.put(.ended(rank: rank, error))
        }
    }

    private func sendPlan(_ rank: Int, _ job: JobRecord, _ call: any WorkerConnection) async {
        do throws(WorkerFailure) {
            try await call.send(
                RunCommand.with {
                    $0.plan = plan.message(
                        rank: rank, job: job, prompt: prompt, profile: profile, epoch: epoch,
                        stallSeconds: stallSeconds)
                })
            for command in plan.tokenCommands(
                rank: rank, prompt: prompt, kind: job.options?.kind ?? .generate)
            {
                try await call.send(command)
            }
        } catch {
            // The reading side throws the same and reports it.
        }
    }
}

/// The open calls of a run.
private final class Calls: Sendable {
    private let state = Mutex<(open: [Int: any WorkerConnection], cancelled: Bool)>(([:], false))

    /// False when the run is over already.
    func add(_ call: any WorkerConnection, _ rank: Int) -> Bool {
        state.withLock { state in
            guard !state.cancelled else { return false }
            state.open[rank] = call
            return true
        }
    }

    subscript(_ rank: Int) -> (any WorkerConnection)? { state.withLock { $0.open[rank] } }

    var all: [any WorkerConnection] { state.withLock { $0.open.sorted { $0.key < $1.key }.map(\.value) } }

    func cancelAll() {
        let open = state.withLock { state in
            state.cancelled = true
            return Array(state.open.values)
        }
        for call in open { call.cancel() }
    }
}
