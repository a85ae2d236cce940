// Looks at a cluster again and again, over one connection that is made anew when it is lost.

internal import Cluster
internal import Logging
internal import Messages
internal import Protobuf
internal import RPC

/// Asks the coordinator once an interval, and less often while it does not answer.
struct ClusterPoller: Sendable {
    enum Look: Sendable {
        /// Jobs are newest first: all that are not over, as far as pages go, and the newest of the others.
        /// Contexts are the last used ones.
        case seen(ClusterState, [JobRecord], [ContextRecord])
        /// In words for a person; the next look comes after `retry`.
        case failed(Failure, retry: Duration)
    }

    let address: HostPort
    let tls: TLSFiles?
    let token: String?
    let interval: Duration
    let logger: Logger
    private var client: CoordinatorClient?
    private var failures = 0

    /// A look is short; a coordinator that takes longer is in trouble.
    private static let timeout = Duration.seconds(5)
    private static let longestBackoff = Duration.seconds(15)
    private static let pageSize: UInt32 = 50
    /// A coordinator's queue is bounded; this bounds what a broken one can send.
    private static let mostPages = 40

    init(_ address: HostPort, tls: TLSFiles?, token: String?, interval: Duration, logger: Logger) {
        self.address = address
        self.tls = tls
        self.token = token
        self.interval = interval
        self.logger = logger
    }

    /// How long to wait before the next look.
    var pause: Duration {
        guard failures > 0 else { return interval }
        let grown = Duration.seconds(0.5) * (1 << min(failures - 1, 6))
        return max(interval, min(grown, Self.longestBackoff))
    }

    mutating func look() async -> Look {
        do {
            let coordinator = try await connection()
            let cluster = try await coordinator.unary(
                CoordinatorService.getCluster, ClusterRequest(), timeout: Self.timeout)
            let jobs = try await jobs(coordinator, active: Int(cluster.running) + Int(cluster.queued))
            let contexts = try await contexts(coordinator)
            failures = 0
            return .seen(cluster, jobs, contexts)
        } catch {
            await close()
            failures += 1
            return .failed(error as? Failure ?? Failure("\(error)"), retry: pause)
        }
    }

    mutating func close() async {
        await client?.close()
        client = nil
    }

    private mutating func connection() async throws -> CoordinatorClient {
        if let client { return client }
        let made = try await CoordinatorClient.connect(
            address, tls: tls, token: token, timeout: Self.timeout, logger: logger)
        client = made
        return made
    }

    /// None from a coordinator that knows no contexts.
    private func contexts(_ coordinator: CoordinatorClient) async throws -> [ContextRecord] {
        do throws(RPCStatus) {
            return try await coordinator.answer(
                CoordinatorService.listContexts, ListContextsRequest.with { $0.pageSize = Self.pageSize },
                timeout: Self.timeout
            ).contexts
        } catch {
            guard error.code == .unimplemented else { throw coordinator.failure(error) }
            return []
        }
    }

    private func jobs(_ coordinator: CoordinatorClient, active: Int) async throws -> [JobRecord] {
        let newest = try await page(coordinator, "", activeOnly: false)
        let shown = newest.jobs.count { ExitStatus.of($0.state) == nil }
        guard shown < active, !newest.nextPageToken.isEmpty else { return newest.jobs }
        // The oldest of them run, so that the newest page alone would hide what matters most.
        var found = newest.jobs
        var ids = Set(found.map(\.id))
        var token = ""
        for _ in 0..<Self.mostPages {
            let reply = try await page(coordinator, token, activeOnly: true)
            for job in reply.jobs where ids.insert(job.id).inserted { found.append(job) }
            token = reply.nextPageToken
            if token.isEmpty { break }
        }
        return found
    }

    private func page(
        _ coordinator: CoordinatorClient, _ token: String, activeOnly: Bool
    ) async throws -> ListJobsReply {
        try await coordinator.unary(
            CoordinatorService.listJobs,
            ListJobsRequest.with {
                $0.pageToken = token
                $0.pageSize = Self.pageSize
                $0.activeOnly = activeOnly
            }, timeout: Self.timeout)
    }
}
