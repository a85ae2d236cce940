// Evaluations as jobs of a cluster: each score and each answer is submitted, followed and, when given up, cancelled.

internal import ContextExtension
internal import LongRoPE
internal import Messages
internal import Numerals
internal import Protobuf
internal import RPC

/// Runs evaluations through a coordinator.
struct JobEvaluator: Evaluator {
    let coordinator: CoordinatorClient
    let workers: Int
    /// The longest time for one job, waiting included.
    let jobLimit: Duration

    /// Submitting, starting and reporting a job, in seconds: what short evaluations consist of.
    private static let overhead = 0.05

    func score(_ tokens: [UInt32], _ positions: Positions, workers: Int) async throws -> [Float] {
        let options = JobOptions.with {
            $0.kind = .score
            $0.name = positions.name
            $0.rope = positions.message
            $0.workers = UInt32(workers)
            $0.beyondWindow = true
        }
        let scores = try await scores(options, try PromptInput(.ids(tokens)))
        guard scores.count == tokens.count - 1 else {
            throw Failure(
                "a job scored \(scores.count.grouped) of \((tokens.count - 1).grouped) tokens; look at the coordinator's log"
            )
        }
        return scores
    }

    func generate(
        after tokens: [UInt32], count: Int, _ positions: Positions, workers: Int
    ) async throws -> String {
        let options = JobOptions.with {
            $0.kind = .generate
            $0.name = positions.name
            $0.maxTokens = UInt32(count)
            $0.rope = positions.message
            $0.workers = UInt32(workers)
            $0.beyondWindow = true
        }
        return try await run(options, try PromptInput(.ids(tokens))).text
    }

    /// Negative log-likelihoods of the second token and of every later one, as a job with these options gives them.
    func scores(_ options: JobOptions, _ input: PromptInput) async throws -> [Float] {
        try await run(options, input).scores
    }

    func seconds(tokens: Int, workers: Int) async throws -> Double {
        let options = JobOptions.with {
            $0.kind = .score
            $0.workers = UInt32(workers)
            $0.beyondWindow = true
        }
        let forecast: Forecast = try await coordinator.upload(
            CoordinatorService.estimate, options,
            try PromptInput(.ids([UInt32](repeating: 0, count: tokens))))
        guard forecast.admissible else { throw Failure(forecast.reason) }
        guard forecast.prefillSeconds > 0 else {
            throw Failure(
                "the cluster cannot say how long \(Quantity.count(UInt64(tokens))) tokens take: "
                    + forecast.unmeasuredReason, exitCode: ExitStatus.tryAgain)
        }
        return forecast.prefillSeconds + Self.overhead
    }

    private func run(_ options: JobOptions, _ input: PromptInput) async throws -> (
        scores: [Float], text: String
    ) {
        let job = try await coordinator.upload(CoordinatorService.submit, options, input)
        let call = try await coordinator.replies(
            CoordinatorService.attach,
            AttachRequest.with {
                $0.id = job.id
                $0.fromEvent = 1
            }, timeout: jobLimit)
        do {
            return try await withTaskCancellationHandler {
                try await read(call, job: job.id)
            } onCancel: {
                call.cancel()
            }
        } catch {
            // Nobody waits for it any more.
            _ = try? await Task.detached { [coordinator] in
                try await coordinator.unary(CoordinatorService.cancel, JobRequest.with { $0.id = job.id })
            }.value
            throw error
        }
    }

    private func read(
        _ call: RPCCall<AttachRequest, JobEvent>, job: String
    ) async throws -> (scores: [Float], text: String) {
        // Workers score their parts of the text at the same time, so parts come in any order.
        var scores: [UInt64: [Float]] = [:]
        var text: [UInt8] = []
        while true {
            let event: JobEvent
            do throws(RPCStatus) {
                guard let next = try await call.next() else {
                    throw RPCStatus(.unavailable, "the coordinator ended the stream before the job's end")
                }
                event = next
            } catch {
                guard error.code != .deadlineExceeded else {
                    throw Failure(
                        "job \(job) did not end within \(Quantity.duration(jobLimit / .seconds(1))); allow more with "
                            + "--job-timeout", exitCode: ExitStatus.tryAgain)
                }
                throw coordinator.failure(error)
            }
            switch event.content {
            case .scores(let part): scores[part.firstPosition] = part.nll
            case .tokens(let part): text += part.text
            case .end(let job):
                try job.conclude(summary: false)
                return (scores.sorted { $0.key < $1.key }.flatMap(\.value), String(lossy: text))
            case .state, .progress, nil: break
            }
        }
    }
}

extension Positions {
    /// Nil: as the model file says.
    fileprivate var message: RotaryMethodMessage? {
        var message = RotaryMethodMessage()
        switch method {
        case .model: return nil
        case .named(let name): message.name = name
        case .tables(let tables): message.tables = tables.map(RotaryTableMessage.init)
        }
        message.gap = gap.map { gap in
            PositionGapMessage.with {
                $0.every = UInt64(gap.every)
                $0.length = UInt64(gap.length)
            }
        }
        return message
    }
}
