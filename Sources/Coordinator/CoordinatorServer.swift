// The coordinator as a process sees it: opens the journal, serves its port, runs jobs until told to stop.
public import Logging
import Messages
import Observability
import RPC
import Synchronization

/// One coordinator: journal, scheduler and gRPC services on one port.
public final class CoordinatorServer: Sendable {
    private let configuration: CoordinatorConfiguration
    private let model: any ModelDescription
    private let journal: Journal
    private let access: Access
    private let logger: Logger
    private let health = HealthBoard(services: CoordinatorServer.services)
    private let state = Mutex(State())

    private struct State: Sendable {
        var address: String?
        var stopping = false
        var drainLimit = Duration.zero
        var waiter: CheckedContinuation<Void, Never>?
    }

    private static let services = [
        CoordinatorService.name, MembershipService.name, HealthService.name,
    ]

    /// Opens the journal and reads the tokens.
    /// - Throws: `CoordinatorError`: the data directory is in use or damaged, or a file cannot be read.
    public init(
        configuration: CoordinatorConfiguration, model: any ModelDescription, logger: Logger
    ) throws(CoordinatorError) {
        self.configuration = configuration
        self.model = model
        self.logger = logger
        access = try Access(tokens: configuration.tokens, logger: logger)
        journal = try Journal(
            directory: configuration.dataDirectory,
            limits: Journal.Limits(
                finishedJobs: configuration.finishedJobs, logLines: configuration.logLines),
            logger: logger)
    }

    /// "host:port" once the port is open.
    public var boundAddress: String? { state.withLock { $0.address } }

    /// Serves until `shutdown()` is called or the task is cancelled.
    /// - Parameter ready: called once all ports are open.
    /// - Throws: `CoordinatorError`: the port is in use, or the journal fails.
    public func run(ready: @Sendable () -> Void = {}) async throws(CoordinatorError) {
        let tls = configuration.tls
        let dialler = RPCWorkerDialler(tls: tls, timeout: .seconds(5), logger: logger)
        let core = CoordinatorCore(
            configuration: configuration, model: model, journal: journal, dialler: dialler,
            start: try await journal.nextStart(at: wallMicroseconds()), logger: logger)
        try await core.recover()
        let intake = PromptIntake(
            longest: configuration.promptBytes, threads: configuration.tokenisingThreads)
        let shares = ConnectionShares.ofThisProcess(
            grpcPorts: 1, webPorts: configuration.web == nil ? 0 : 1)
        var limits = RPCLimits()
        limits.maxConnections = shares.grpc
        let server = RPCServer(
            address: RPCAddress(host: configuration.host, port: configuration.port), tls: tls,
            services: CoordinatorServices(
                core: core, access: access, intake: intake, certificates: ProcessCertificates(tls: tls)
            ).handlers + health.handlers + Reflection(services: Self.services, files: .lariat).handlers,
            limits: limits,
            logger: logger)
        let bound: RPCAddress
        do throws(RPCStatus) { bound = try await server.start() } catch {
            throw CoordinatorError(.unavailable, error.message)
        }
        state.withLock { $0.address = bound.description }
        var sites: [WebServer] = []
        do throws(CoordinatorError) { try await startSites(core, intake, server, shares, &sites) } catch {
            for site in sites { await site.shutdown(grace: .zero) }
            await server.shutdown(grace: .zero)
            throw error
        }
        health.set(serving: true)
        ready()
        logger.info("coordinator serves", metadata: ["address": "\(bound)", "model": "\(model.name)"])

        let watch = Task { await core.watch() }
        await stopRequested()
        health.set(serving: false)
        let drainLimit = state.withLock { $0.drainLimit }
        if drainLimit > .zero {
            logger.info("coordinator drains", metadata: ["limit": "\(drainLimit)"])
            await core.drain(limit: drainLimit)
        }
        logger.info("coordinator stops")
        watch.cancel()
        await core.stop()
        for site in sites { await site.shutdown(grace: .seconds(1)) }
        await server.shutdown(grace: .seconds(2))
        await dialler.close()
        await watch.value
    }

    /// Opens the HTTP ports that were asked for.
    private func startSites(
        _ core: CoordinatorCore, _ intake: PromptIntake, _ grpc: RPCServer, _ shares: ConnectionShares,
        _ sites: inout [WebServer]
    ) async throws(CoordinatorError) {
        let web = WebStatistics()
        var limits = WebLimits()
        if let address = configuration.web {
            limits.connections = shares.web
            sites.append(
                try await WebFront(core: core, intake: intake, access: access, logger: logger).start(
                    at: address, tls: configuration.tls, modelPath: configuration.modelPath, limits: limits,
                    statistics: web))
        }
        guard let address = configuration.metrics else { return }
        limits.connections = shares.monitoring
        do throws(WebServerError) {
            sites.append(
                try await MonitoringRoutes.serve(
                    at: WebAddress(host: address.host, port: address.port), limits: limits, logger: logger,
                    metrics: { await core.metrics() + RPCServer.metrics([("grpc", grpc)]) + web.families() },
                    health: { await core.health }))
        } catch { throw CoordinatorError(.unavailable, "metrics: \(error)") }
    }

    /// Lets `run()` end: jobs that still run after the time given fail with that reason, waiting ones stay in the
    /// journal.
    public func shutdown(drainingFor limit: Duration = .zero) {
        let waiter = state.withLock { state in
            state.stopping = true
            state.drainLimit = max(state.drainLimit, limit)
            return state.waiter.take()
        }
        waiter?.resume()
    }

    private func stopRequested() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wait = state.withLock { state in
                    guard !state.stopping, !Task.isCancelled else { return false }
                    state.waiter = continuation
                    return true
                }
                if !wait { continuation.resume() }
            }
        } onCancel: {
            self.shutdown()
        }
    }
}
