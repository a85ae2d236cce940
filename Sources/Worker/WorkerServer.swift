// One worker process: opens the model, listens, joins the cluster, runs jobs until it is told to stop.
import Cluster
import Kernels
public import Logging
import Messages
import Observability
public import RPC
import RingTransport
import Transformer

/// A node of the cluster: it holds the whole model and a shard of each job's sequence.
public final class WorkerServer: Sendable {
    private let configuration: WorkerConfiguration
    private let logger: Logger
    private let runs: RunService
    private let control: RPCServer
    private let ring: RPCServer
    private let membership: Membership
    private let health: HealthBoard
    private let shares: ConnectionShares

    /// Opens the model and checks the processor.
    /// - Throws: a status whose message says what is wrong with the model file or the settings.
    public init(configuration: WorkerConfiguration, logger: Logger) throws(RPCStatus) {
        self.configuration = configuration
        self.logger = logger
        let hub = RingHub()
        let model: Model
        let compute: Compute
        let runs: RunService
        do throws(KernelError) {
            compute = try Compute(
                threads: configuration.threads, cores: configuration.cores, isa: configuration.isa,
                precision: configuration.precision)
        } catch { throw RPCStatus(.failedPrecondition, "\(error)") }
        do throws(ModelError) {
            model = try Model(path: configuration.modelPath)
            for remark in model.remarks { logger.warning("\(remark)") }
        } catch { throw RPCStatus(.failedPrecondition, "\(error)") }
        runs = try RunService(
            model: model, compute: compute, configuration: configuration, hub: hub, logger: logger)
        self.runs = runs
        shares = .ofThisProcess(grpcPorts: 2, webPorts: 0)
        var limits = RPCLimits()
        limits.maxConnections = shares.grpc
        let services = [WorkerService.name, HealthService.name]
        let health = HealthBoard(services: services)
        self.health = health
        let certificates = ProcessCertificates(tls: configuration.tls)
        // The host that this worker dials, and whose certificate it has checked then.
        let coordinator = configuration.coordinator.host
        control = RPCServer(
            address: RPCAddress(configuration.listen), tls: configuration.tls,
            services: [
                .bidirectional(WorkerService.run) { commands, context, events in
                    try certificates.require([coordinator], context)
                    try await runs.handle(commands, events)
                },
                .unary(WorkerService.calibrate) { request, context in
                    try certificates.require([coordinator], context)
                    return try await runs.calibrate(request, context)
                },
            ] + health.handlers + Reflection(services: services, files: .lariat).handlers,
            limits: limits, logger: logger)
        ring = RPCServer(
            address: RPCAddress(configuration.ring), tls: configuration.tls,
            services: [
                .raw(RingService.exchange, byteLimit: RingHeader.frameLimit) { blocks, context, _ in
                    try certificates.requireProcess(context)
                    try await hub.exchange(key: context.metadata[RunKey.metadata]) {
                        try await blocks.next()
                    }
                },
                .raw(RingService.probe, byteLimit: RingHeader.frameLimit) { blocks, context, _ in
                    try certificates.requireProcess(context)
                    try await LinkProbe.discard { try await blocks.next() }
                },
            ], limits: limits, logger: logger)
        membership = Membership(
            configuration: configuration, model: model, compute: compute, runs: runs, logger: logger)
    }

    /// Takes no more jobs, finishes what it runs, and lets `run()` end.
    public func drain() { membership.drain() }

    /// Serves until the task is cancelled, or the coordinator lets it go after `drain()` or on an operator's wish; then
    /// it leaves the cluster and stops in an orderly way.
    /// - Parameter ready: called once all ports are open.
    public func run(ready: @Sendable () -> Void = {}) async throws(RPCStatus) {
        let controlAddress = try await control.start()
        let ringAddress: RPCAddress
        do throws(RPCStatus) {
            ringAddress = try await ring.start()
        } catch {
            await control.shutdown(grace: .zero)
            throw error
        }
        let monitoring: WebServer?
        do throws(RPCStatus) { monitoring = try await startMonitoring() } catch {
            await control.shutdown(grace: .zero)
            await ring.shutdown(grace: .zero)
            throw error
        }
        logger.info(
            "worker listens",
            metadata: [
                "control": "\(controlAddress)", "ring": "\(ringAddress)", "isa": "\(configuration.isa)",
            ])
        health.set(serving: true)
        ready()
        await membership.keep(control: controlAddress, ring: ringAddress)
        health.set(serving: false)
        await monitoring?.shutdown(grace: .seconds(1))
        await control.shutdown(grace: .seconds(5))
        await ring.shutdown(grace: .seconds(1))
        await runs.closeStore()
    }

    private func startMonitoring() async throws(RPCStatus) -> WebServer? {
        guard let address = configuration.metrics else { return nil }
        let statistics = WebStatistics()
        var limits = WebLimits()
        limits.connections = shares.monitoring
        do throws(WebServerError) {
            return try await MonitoringRoutes.serve(
                at: WebAddress(host: address.host, port: address.port), limits: limits,
                statistics: statistics, logger: logger,
                metrics: { [runs, control, ring] in
                    runs.metrics() + RPCServer.metrics([("control", control), ("ring", ring)])
                        + statistics.families()
                },
                health: { [membership] in
                    if membership.drains { return .notReady("the worker is draining") }
                    return membership.isMember
                        ? .ready : .notReady("the worker has not joined the coordinator")
                })
        } catch { throw RPCStatus(.failedPrecondition, "metrics: \(error)") }
    }
}
