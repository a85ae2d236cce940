// The OpenAI-compatible API: requests become jobs, their events become answers.
import Cluster
package import Messages
import Observability
package import OpenAI
import Protobuf

/// Routes under /v1.
struct CompletionAPI: Sendable {
    let core: CoordinatorCore
    let intake: PromptIntake
    let entrance: Guard
    let served: ServedModel

    /// So that nobody between takes a long prefill for a dead connection.
    private static let quietInterval: Duration = .seconds(15)

    var routes: [WebRoute] {
        [
            entrance.route(.get, "/v1/models", needs: .read) { _ in Self.response(ServedModel.list([served]))
            },
            entrance.route(.get, "/v1/models/{id}", needs: .read) { request in
                do throws(APIError) {
                    try served.check(request.captures["id"] ?? "")
                    return Self.response(served.reply)
                } catch { return Guard.response(error) }
            },
            completions("/v1/completions", .text), completions("/v1/chat/completions", .chat),
        ]
    }

    private func completions(_ path: String, _ form: CompletionRequest.Form) -> WebRoute {
        entrance.route(
            .post, path, needs: .submit, maximumBodyBytes: core.configuration.promptBytes
        ) { request in
            do {
                return try await answer(request, form)
            } catch let error as APIError {
                return Guard.response(error)
            } catch let error as CoordinatorError {
                return Guard.response(error.apiError(form))
            }
        }
    }

    private func answer(_ request: WebRequest, _ form: CompletionRequest.Form) async throws -> WebResponse {
        let body = request.body
        let caller = entrance.caller(request)
        let (asked, job) = try await intake.holding(for: caller, .submission) { hold in
            try hold.add(bytes: body.count)
            let owner = entrance.owner(request)
            let (asked, parsed) = try await intake.tokens(for: core, .submission, bytes: body.count) {
                encoder, isAbandoned in
                let asked = try CompletionRequest(form, json: body)
                try served.check(asked.model)
                // A question has to wait until what it asks about is known.
                let isQuestion = !asked.context.isEmpty
                return (asked, isQuestion ? nil : try self.parsed(asked, nil, by: encoder, isAbandoned))
            }
            if let (options, prompt) = parsed {
                return (asked, try await core.submit(options, prompt: prompt, owner: owner))
            }
            let topic = try await core.topic(
                of: .with {
                    $0.kind = .generate
                    $0.context = asked.context
                }, owner: owner)
            if let topic { try hold.add(bytes: 4 * Int(clamping: topic.record.tokens)) }
            let (options, prompt) = try await intake.tokens(
                for: core, .submission, bytes: body.count
            ) { encoder, isAbandoned in try self.parsed(asked, topic, by: encoder, isAbandoned) }
            return (asked, try await core.submit(options, prompt: prompt, owner: owner))
        }
        let identity = ResponseIdentity(
            asked, job: job.id, created: Int64(job.submittedMicroseconds / 1_000_000))
        guard asked.streams else { return try await whole(asked, job, identity) }
        var response = WebResponse.stream(type: ResponseStream.contentType) { writer in
            try await stream(asked, job, identity, to: writer)
        }
        response.headers.append(WebField("X-Lariat-Job", job.id))
        return response
    }

    private func parsed(
        _ asked: CompletionRequest, _ topic: ContextTopic?, by encoder: PromptEncoder,
        _ isAbandoned: @escaping @Sendable () -> Bool
    ) throws -> (JobOptions, [UInt32]) {
        var options = JobOptions.with {
            $0.kind = .generate
            $0.name = asked.user
            $0.maxTokens = asked.maxTokens ?? 0
            $0.stop = asked.stop
            $0.chat = asked.form == .chat
            $0.context = asked.context
            $0.beyondWindow = asked.beyondWindow
            $0.ignoreEnd = asked.ignoresEnd
            $0.workers = asked.workers
            $0.rope = asked.rope.map { name in .with { $0.name = name } }
            $0.logProbabilities = asked.logprobs != nil
            $0.topProbabilities = UInt32(asked.logprobs ?? 0)
            $0.sampling = .with {
                $0.temperature = asked.sampling.temperature
                $0.topK = asked.sampling.topK
                $0.topP = asked.sampling.topP
                $0.minP = asked.sampling.minP
                $0.repetitionPenalty = asked.sampling.repetitionPenalty
                $0.repetitionWindow = asked.sampling.repetitionWindow
                $0.seed = asked.sampling.seed
            }
        }
        if let topic { try settle(&options, asked, topic) }
        let prompt: Prompt =
            switch asked.input {
            case .tokens(let tokens): .tokens(tokens)
            case .text(let text): topic == nil ? .text(text) : .continuation(text)
            case .messages(let messages):
                turns(messages.map { ConversationTurn(role: .init($0.role), content: $0.content) }, topic)
            }
        return (options, try encoder.tokens(of: prompt, options, isAbandoned: isAbandoned))
    }

    private func turns(_ turns: [ConversationTurn], _ topic: ContextTopic?) -> Prompt {
        topic == nil ? .conversation(turns) : .question(turns)
    }

    /// A conversation about a context begins in the context's own turn.
    private func settle(
        _ options: inout JobOptions, _ asked: CompletionRequest, _ topic: ContextTopic
    ) throws {
        guard topic.record.chat == (asked.form == .chat) else {
            let form: CompletionRequest.Form = topic.record.chat ? .chat : .text
            throw APIError.invalid(
                "the context \(topic.record.name) was made \(topic.record.chat ? "in" : "without") the chat template: "
                    + "ask about it at \(form.path)", param: "context")
        }
        if case .messages(let messages) = asked.input {
            guard messages.first?.role == .user, !messages.contains(where: { $0.role == .system }) else {
                throw APIError.invalid(
                    "a conversation about a context begins with the user's question and has no system message: the "
                        + "context \(topic.record.name) has its own", param: "messages")
            }
        }
        try topic.settle(&options)
    }

    // MARK: answers

    private func whole(
        _ asked: CompletionRequest, _ job: JobRecord, _ identity: ResponseIdentity
    ) async throws -> WebResponse {
        var collected = WholeResponse(identity)
        var reply: Reply?
        do {
            try await follow(job, asked) { event in
                if reply == nil { reply = collected.receive(event) }
                if reply != nil { throw AnswerIsKnown() }
            }
        } catch is AnswerIsKnown {
            // The job has ended, or nobody will read the rest of it.
            await leave(job, asked)
        } catch {
            await leave(job, asked)
            throw error
        }
        guard let reply else {
            // The client went away: nobody reads this.
            await leave(job, asked)
            throw CancellationError()
        }
        var response = Self.response(reply)
        response.headers.append(WebField("X-Lariat-Job", job.id))
        return response
    }

    private struct AnswerIsKnown: Error {}

    private func stream(
        _ asked: CompletionRequest, _ job: JobRecord, _ identity: ResponseIdentity, to writer: WebBodyWriter
    ) async throws {
        let sink = Sink(ResponseStream(identity), writer)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await Task.sleep(for: Self.quietInterval)
                        try await sink.keepAlive()
                    }
                }
                try await follow(job, asked) { event in try await sink.send(event) }
                group.cancelAll()
            }
            if Task.isCancelled { await leave(job, asked) }
        } catch {
            await leave(job, asked)
            throw error
        }
    }

    /// Writes whole events, one after another.
    private actor Sink {
        private var stream: ResponseStream
        private let writer: WebBodyWriter

        init(_ stream: ResponseStream, _ writer: WebBodyWriter) {
            self.stream = stream
            self.writer = writer
        }

        func send(_ event: ResponseEvent) async throws { try await writer.write(stream.receive(event)) }

        func keepAlive() async throws { try await writer.write(ResponseStream.keepAlive) }
    }

    /// A client that has gone takes its job with it, unless the job was to be kept.
    private func leave(_ job: JobRecord, _ asked: CompletionRequest) async {
        guard !asked.isStored else { return }
        let core = core
        // This task may be cancelled already; cancelling the job must not be.
        _ = await Task { _ = try? await core.cancel(job.id) }.value
    }

    /// Gives the job's events to `handle` until its end.
    private func follow(
        _ job: JobRecord, _ asked: CompletionRequest, _ handle: (ResponseEvent) async throws -> Void
    ) async throws {
        let model = core.model
        var isStarted = false
        try await JobFollower(core: core, id: job.id).follow(from: 1) { event in
            let isAnswer =
                switch event.content {
                case .tokens, .end: true
                case .state, .progress, .scores, nil: false
                }
            if !isStarted, isAnswer {
                isStarted = true
                if let fingerprint = try await fingerprint(job.id) {
                    try await handle(.started(fingerprint: fingerprint))
                }
            }
            switch event.content {
            case .tokens(let part):
                let entries = part.logProbabilities.indices.map { index in
                    TokenLogprob(
                        chosen: .init(
                            bytes: model.bytes(of: part.tokens[index]),
                            logprob: part.logProbabilities[index]),
                        top: part.likely.indices.contains(index)
                            ? zip(part.likely[index].tokens, part.likely[index].logProbabilities).map {
                                .init(bytes: model.bytes(of: $0), logprob: $1)
                            } : [])
                }
                try await handle(
                    .tokens(text: String(lossy: part.text), ids: part.tokens, logprobs: entries))
            case .end(let record):
                guard let finish = FinishReason(record.finish), record.state == .succeeded else {
                    return try await handle(.failed(Self.failure(record)))
                }
                try await handle(
                    .ended(
                        finish,
                        Usage(
                            promptTokens: Int(clamping: record.promptTokens),
                            completionTokens: Int(clamping: record.generatedTokens),
                            cachedTokens: Int(clamping: record.cachedTokens))))
            case .state, .progress, .scores, nil: break
            }
        }
    }

    /// Of what computes this job; nil while it has no workers.
    private func fingerprint(_ id: String) async throws -> String? {
        let record =
            if let live = await core.live(id) { live } else { try await core.journal.job(id, textLimit: 0) }
        return record.systemFingerprint(version: core.configuration.version)
    }

    private static func failure(_ job: JobRecord) -> APIError {
        APIError(
            status: job.state == .cancelled ? 409 : 500, .server, "job \(job.id) \(job.state): \(job.reason)",
            code: job.state == .cancelled ? "job_cancelled" : "job_failed")
    }

    private static func response(_ reply: Reply) -> WebResponse { .json(reply.body, status: reply.status) }
}

extension FinishReason {
    /// nil: the job did not end by itself.
    package init?(_ finish: Finish) {
        switch finish {
        case .stop, .end: self = .stop
        case .length: self = .length
        case .cancelled, .error, .unspecified: return nil
        }
    }
}

extension ConversationTurn.Role {
    init(_ role: CompletionRequest.Message.Role) {
        self =
            switch role {
            case .system: .system
            case .user: .user
            case .assistant: .assistant
            }
    }
}
