// The coordinator's gRPC methods: each takes a message, asks the core, and gives a message or a status.
import Cluster
import Messages
import Observability
import Protobuf
import RPC

/// Handlers of lariat.v1.Coordinator and lariat.v1.Membership.
struct CoordinatorServices: Sendable {
    let core: CoordinatorCore
    let access: Access
    let intake: PromptIntake
    let certificates: ProcessCertificates

    var handlers: [RPCHandler] { clients + contexts + workers }

    private var clients: [RPCHandler] {
        [
            .clientStreaming(CoordinatorService.submit) { reader, context in
                try await withStatus {
                    try await withPrompt(reader, context, .submission) { options, prompt in
                        try await core.submit(options, prompt: prompt, owner: owner(context))
                    }
                }
            }.asking(require(.submit)),
            .clientStreaming(CoordinatorService.estimate) { reader, context in
                try await withStatus {
                    do {
                        return try await withPrompt(reader, context, .forecast) { options, prompt in
                            await core.forecast(options, prompt: prompt, owner: owner(context))
                        }
                    } catch let error as CoordinatorError where error.answersForecast {
                        return Forecast.with { $0.reason = error.message }
                    }
                }
            }.asking(require(.read)),
            .unary(CoordinatorService.listJobs) { request, _ in
                try await withStatus { try await core.jobs(request) }
            }.asking(require(.read)),
            .unary(CoordinatorService.getJob) { request, _ in
                try await withStatus { try await core.job(request.id) }
            }.asking(require(.read)),
            .unary(CoordinatorService.cancel) { request, _ in
                try await withStatus { try await core.cancel(request.id) }
            }.asking(require(.submit)),
            .serverStreaming(CoordinatorService.attach) { request, _, writer in
                try await withStatus {
                    _ = try await core.job(request.id)
                    try await JobFollower(core: core, id: request.id).follow(from: request.fromEvent) {
                        event in try await writer.write(event)
                    }
                }
            }.asking(require(.read)),
            .serverStreaming(CoordinatorService.getLog) { request, _, writer in
                try await withStatus {
                    var sent = 0
                    while !Task.isCancelled {
                        let lines = try await core.journal.logLines(request.id, after: sent)
                        if lines.isEmpty { return }
                        for line in lines { try await writer.write(line) }
                        sent += lines.count
                    }
                }
            }.asking(require(.read)),
            .unary(CoordinatorService.getCluster) { _, _ in
                await core.cluster()
            }.asking(require(.read)),
            .serverStreaming(CoordinatorService.getTrace) { request, _, writer in
                try await withStatus {
                    _ = try await core.job(request.id)
                    var last: Int64 = 0
                    while let (number, part) = try await core.journal.tracePart(request.id, after: last) {
                        try await writer.write(part)
                        last = number
                    }
                }
            }.asking(require(.read)),
            .unary(CoordinatorService.drain) { request, _ in
                try await withStatus { try await core.drain(request) }
            }.asking(require(.admin)),
        ]
    }

    private var contexts: [RPCHandler] {
        [
            .unary(CoordinatorService.listContexts) { request, context in
                try await withStatus { try await core.contexts(request, owner: owner(context)) }
            }.asking(require(.read)),
            .unary(CoordinatorService.getContext) { request, context in
                try await withStatus { try await core.context(request.name, owner: owner(context)) }
            }.asking(require(.read)),
            .unary(CoordinatorService.removeContext) { request, context in
                try await withStatus { try await core.removeContext(request.name, owner: owner(context)) }
            }.asking(require(.submit)),
            .unary(CoordinatorService.pinContext) { request, context in
                try await withStatus { try await core.pinContext(request, owner: owner(context)) }
            }.asking(require(.submit)),
        ]
    }

    private var workers: [RPCHandler] {
        [
            .unary(MembershipService.register) { request, context in
                // A member gets a share of every prompt: it must be who it says it is.
                try certificates.require(request.member?.hosts ?? [], context)
                return try await withStatus { try await core.register(request) }
            },
            .unary(MembershipService.heartbeat) { request, context in
                try certificates.require(await core.hosts(of: request.name), context)
                return try await withStatus { try await core.heartbeat(request) }
            },
            .unary(MembershipService.leave) { request, context in
                try certificates.require(await core.hosts(of: request.name), context)
                return try await withStatus { try await core.leave(request) }
            },
        ]
    }

    /// Refuses callers whose token does not allow this.
    private func require(_ role: TokenStore.Role) -> @Sendable (RPCContext) throws(RPCStatus) -> Void {
        { [access] context throws(RPCStatus) in
            let decision = access.decide(Self.token(context), needs: role)
            switch decision {
            case .allowed: return
            case .unknown: throw RPCStatus(.unauthenticated, decision.refusal ?? "")
            case .forbidden: throw RPCStatus(.permissionDenied, decision.refusal ?? "")
            }
        }
    }

    /// Collects a prompt within the budget of its sender, and makes it tokens.
    private func withPrompt<T: Sendable>(
        _ reader: RPCReader<SubmitPart>, _ context: RPCContext, _ purpose: PromptBudget.Purpose,
        _ body: @Sendable (JobOptions, [UInt32]) async throws -> T
    ) async throws -> T {
        let caller = access.caller(Self.token(context), at: context.peer)
        return try await intake.holding(for: caller, purpose) { hold in
            var parts = PromptParts(limit: intake.longest(purpose))
            while let part = try await reader.next() {
                try parts.add(part)
                try hold.add(bytes: PromptParts.bytes(of: part))
            }
            let topic = try await core.topic(of: parts.options, owner: owner(context))
            if let topic { try hold.add(bytes: 4 * Int(clamping: topic.record.tokens)) }
            let (options, tokens) = try await intake.tokens(for: core, purpose, bytes: parts.bytes) {
                [parts] encoder, isAbandoned in
                let (options, prompt) = try parts.whole(
                    hasChatTemplate: encoder.hasChatTemplate, about: topic)
                return (options, try encoder.tokens(of: prompt, options, isAbandoned: isAbandoned))
            }
            return try await body(options, tokens)
        }
    }

    private func owner(_ context: RPCContext) -> String { access.owner(Self.token(context)) }

    private static func token(_ context: RPCContext) -> String? {
        context.metadata["authorization"].flatMap(WebRequest.bearerToken(of:))
    }

    /// The core's errors as gRPC statuses.
    private func withStatus<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch let error as CoordinatorError {
            throw RPCStatus(error.kind.code, error.message)
        }
    }
}

extension CoordinatorError {
    /// Whether it says why a job like this cannot run, which is what a forecast is asked for.
    fileprivate var answersForecast: Bool {
        switch kind {
        case .beyondWindow, .notPossible: true
        case .invalid, .notFound, .exhausted, .unavailable, .internalFault: false
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
