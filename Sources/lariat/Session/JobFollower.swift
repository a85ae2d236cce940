// Follows a job to its end: the answer on standard output, progress on standard error.

internal import Logging
internal import Messages
internal import Protobuf
internal import RPC

/// What a follower prints.
struct FollowStyle: Sendable {
    enum Output: Sendable {
        /// The answer as it comes.
        case text
        /// Small events and last the whole record, one object a line (`JSONStream`).
        case json
        /// Position and negative log-likelihood of every token, one a line.
        case scores
        /// Nothing but progress.
        case none
    }
    var output: Output
    /// Progress and a summary on standard error.
    var showsProgress = true
}

/// Attaches to one job.
struct JobFollower: Sendable {
    let coordinator: CoordinatorClient
    let id: String
    let style: FollowStyle

    private enum End: Sendable {
        case finished(JobRecord)
        case interrupted
    }

    /// Replays the job from its beginning, then follows it. Returns its last state.
    /// - Throws: `Failure` with 130 when a person interrupts (the job goes on), 69 when the coordinator is lost.
    func follow(_ interrupts: Interrupts) async throws -> JobRecord {
        let call = try await attach(timeout: nil)
        let end: End = try await withThrowingTaskGroup(of: End?.self) { group in
            group.addTask { .finished(try await read(call)) }
            group.addTask { await interrupts.next() == nil ? nil : .interrupted }
            defer {
                call.cancel()
                group.cancelAll()
            }
            while let end = try await group.next() {
                if let end { return end }
            }
            throw CancellationError()
        }
        switch end {
        case .finished(let job): return job
        case .interrupted:
            throw Failure(
                "detached; job \(id) goes on. See it again with `lariat attach \(id)`, or stop it with "
                    + "`lariat cancel \(id)`", exitCode: ExitStatus.interrupted)
        }
    }

    /// The same for whoever handles signals elsewhere: waits `limit` at most, without one as long as it takes, and ends
    /// when its task is cancelled.
    func follow(within limit: Duration?) async throws -> JobRecord {
        let call = try await attach(timeout: limit)
        return try await withTaskCancellationHandler {
            try await read(call)
        } onCancel: {
            call.cancel()
        }
    }

    private func attach(timeout: Duration?) async throws -> RPCCall<AttachRequest, JobEvent> {
        try await coordinator.replies(
            CoordinatorService.attach,
            AttachRequest.with {
                $0.id = id
                $0.fromEvent = 1
            }, timeout: timeout)
    }

    private func read(_ call: RPCCall<AttachRequest, JobEvent>) async throws -> JobRecord {
        let isTerminal = Terminal.errorIsTerminal
        let isShown = style.showsProgress && style.output != .json
        var meter = ProgressMeter(style: isTerminal ? .bar(width: Terminal.width) : .lines)
        var stream = JSONStream()
        var waits = ""
        var endsInMiddle = false
        let clock = ContinuousClock()
        let start = clock.now
        func erase() { if let text = meter.erase() { Terminal.writeError(text) } }
        defer { erase() }
        while true {
            let event: JobEvent
            do throws(RPCStatus) {
                guard let next = try await call.next() else {
                    throw RPCStatus(.unavailable, "the coordinator ended the stream before the job's end")
                }
                event = next
            } catch {
                if endsInMiddle { try? await Terminal.write([UInt8(ascii: "\n")]) }
                throw lost(error)
            }
            if style.output == .json { try await Terminal.print(json: stream.line(event)) }
            switch event.content {
            case nil: break
            case .state(let job), .progress(let job):
                guard isShown else { break }
                if job.state == .prefill {
                    let seconds = (clock.now - start) / .seconds(1)
                    if let text = meter.update(
                        done: job.prefilledTokens, total: job.promptTokens, at: seconds)
                    {
                        Terminal.writeError(text)
                    }
                } else {
                    erase()
                    let isWaiting = job.state == .queued && (job.queuePosition > 0 || !job.reason.isEmpty)
                    let why =
                        isWaiting
                        ? JobReport(job).stateText + (job.reason.isEmpty ? "" : ": \(job.reason)") : ""
                    if !why.isEmpty, why != waits { Terminal.note("\(id) \(why)".printable) }
                    waits = why
                }
            case .tokens(let part):
                if style.output == .text, !part.text.isEmpty {
                    erase()
                    try await Terminal.write(part.text)
                    endsInMiddle = part.text.last != UInt8(ascii: "\n")
                }
            case .scores(let scores):
                if style.output == .scores {
                    erase()
                    try await Terminal.print(
                        scores.nll.enumerated().map {
                            "\(scores.firstPosition &+ UInt64($0.offset))\t\($0.element)"
                        })
                }
            case .end(let job):
                erase()
                if endsInMiddle { try await Terminal.write([UInt8(ascii: "\n")]) }
                return job
            }
        }
    }

    private func lost(_ status: RPCStatus) -> Failure {
        guard
            ExitStatus.of(status.code) == ExitStatus.unreachable || status.code == .internal
                || status.code == .cancelled
        else { return coordinator.failure(status) }
        return Failure(
            "lost the coordinator at \(coordinator.address) (\(status.message)). Job \(id) is in its journal; when it "
                + "answers again, see the whole answer with `lariat attach \(id)`",
            exitCode: ExitStatus.unreachable)
    }
}

extension JobRecord {
    /// Says how the job ended on standard error, and throws unless it succeeded.
    func conclude(summary: Bool) throws {
        switch state {
        case .succeeded: if summary { Terminal.note(JobReport(self).summary) }
        case .cancelled:
            throw Failure(
                "job \(id) was cancelled" + (reason.isEmpty || reason == "cancelled" ? "" : ": \(reason)"),
                exitCode: ExitStatus.cancelled)
        default:
            throw Failure("job \(id) \(state.word): \(reason.isEmpty ? "no reason was given" : reason)")
        }
    }
}
