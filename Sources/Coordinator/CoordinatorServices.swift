// The coordinator's gRPC methods: each takes a message, asks the core, and gives a message or a status.
import Cluster
import Observability
import RPC

/// Handlers of lariat.v1.Coordinator and lariat.v1.Membership.
struct CoordinatorServices: Sendable {
    let core: CoordinatorCore
    let access: Access

    var handlers: [RPCHandler] { clients + workers }

    private var clients: [RPCHandler] {
        [
            .clientStreaming(CoordinatorService.submit) { reader, context in
                try require(.submit, context)
                return try await withStatus {
                    try await withPrompt(reader) { options, prompt in
                        try await core.submit(options, prompt: prompt)
                    }
                }
            },
            .clientStreaming(CoordinatorService.estimate) { reader, context in
                try require(.read, context)
                return try await withStatus {
                    try await withPrompt(reader) { options, prompt in
                        await core.forecast(options, prompt: prompt)
                    }
                }
            },
            .unary(CoordinatorService.listJobs) { request, context in
                try require(.read, context)
                return try await withStatus { try await core.jobs(request) }
            },
            .unary(CoordinatorService.getJob) { request, context in
                try require(.read, context)
                return try await withStatus { try await core.job(request.id) }
            },
            .unary(CoordinatorService.cancel) { request, context in
                try require(.submit, context)
                return try await withStatus { try await core.cancel(request.id) }
            },
            .serverStreaming(CoordinatorService.attach) { request, context, writer in
                try require(.read, context)
                return try await withStatus {
                    _ = try await core.job(request.id)
                    try await JobFollower(core: core, id: request.id).follow(from: request.fromEvent) {
                        event in try await writer.write(event)
                    }
                }
            },
            .serverStreaming(CoordinatorService.getLog) { request, context, writer in
                try require(.read, context)
                return try await withStatus {
                    var sent = 0
                    while !Task.isCancelled {
                        let lines = try await core.journal.logLines(request.id, after: sent)
                        if lines.isEmpty { return }
                        for line in lines { try await writer.write(line) }
                        sent += lines.count
                    }
                }
            },
            .unary(CoordinatorService.getCluster) { _, context in
                try require(.read, context)
                return await core.cluster()
            },
            .serverStreaming(CoordinatorService.getTrace) { request, context, writer in
                try require(.read, context)
                return try await withStatus {
                    _ = try await core.job(request.id)
                    var last: Int64 = 0
                    while let (number, part) = try await core.journal.tracePart(request.id, after: last) {
                        try await writer.write(part)
                        last = number
                    }
                }
            },
            .unary(CoordinatorService.drain) { request, context in
                try require(.admin, context)
                return try await withStatus { try await core.drain(request) }
            },
        ]
    }

    private var workers: [RPCHandler] {
        [
            .unary(MembershipService.register) { request, _ in
                try await withStatus { try await core.register(request) }
            },
            .unary(MembershipService.heartbeat) { request, _ in
                try await withStatus { try await core.heartbeat(request) }
            },
            .unary(MembershipService.leave) { request, _ in await core.leave(request) },
        ]
    }

    /// Refuses callers whose token does not allow this.
    private func require(_ role: TokenStore.Role, _ context: RPCContext) throws(RPCStatus) {
        let shown = context.metadata["authorization"].flatMap(WebRequest.bearerToken(of:))
        let decision = access.decide(shown, needs: role)
        switch decision {
        case .allowed: return
        case .unknown: throw RPCStatus(.unauthenticated, decision.refusal ?? "")
        case .forbidden: throw RPCStatus(.permissionDenied, decision.refusal ?? "")
        }
    }

    /// Collects a submission, within the limit of its own and of all together, and tokenises it.
    private func withPrompt<T: Sendable>(
        _ reader: RPCReader<SubmitPart>,
        _ body: (JobOptions, [UInt32]) async throws -> T
    ) async throws -> T {
        var parts = PromptParts(limit: core.configuration.promptBytes)
        var held = 0
        let result: Result<T, any Error>
        do {
            while let part = try await reader.next() {
                let bytes = part.text.count + 4 * part.tokens.count
                try await core.holdPrompt(bytes: bytes)
                held += bytes
                try parts.add(part)
            }
            let (options, tokens) = try await parts.tokenisedElsewhere(by: core.model)
            result = .success(try await body(options, tokens))
        } catch {
            result = .failure(error)
        }
        await core.releasePrompt(bytes: held)
        return try result.get()
    }

    /// The core's errors as gRPC statuses.
    private func withStatus<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch let error as CoordinatorError {
            throw RPCStatus(error.kind.code, error.message)
        }
    }
}

extension CoordinatorError.Kind {
    var code: RPCStatus.Code {
        switch self {
        case .invalid, .beyondWindow: .invalidArgument
        case .notFound: .notFound
        case .notPossible: .failedPrecondition
        case .exhausted: .resourceExhausted
        case .unavailable: .unavailable
        case .internalFault: .internal
        }
    }
}
