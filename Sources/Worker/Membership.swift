// Joins the cluster and stays in it: registers with the coordinator and sends heartbeats.
import Cluster
import Foundation
import KVCache
import Kernels
import Logging
import Messages
import Protobuf
import RPC
import Synchronization
import Transformer

/// Keeps one worker registered. The coordinator may come, go and come back at any time: the worker keeps trying,
/// ever more slowly up to every five seconds, and never gives up its life over it.
struct Membership: Sendable {
    let configuration: WorkerConfiguration
    let model: Model
    let compute: Compute
    let runs: RunService
    let logger: Logger
    /// Tells this process from an earlier one of the same name.
    private let instance = UUID().uuidString
    private let standing = Standing()

    private final class Standing: Sendable {
        /// This worker wants no more jobs.
        let drains = Atomic<Bool>(false)
        let joined = Atomic<Bool>(false)
    }

    /// Whether the coordinator knows this worker.
    var isMember: Bool { standing.joined.load(ordering: .relaxed) }

    init(configuration: WorkerConfiguration, model: Model, compute: Compute, runs: RunService, logger: Logger)
    {
        self.configuration = configuration
        self.model = model
        self.compute = compute
        self.runs = runs
        self.logger = logger
    }

    /// Takes no more jobs; `keep` returns when the coordinator has none for it.
    func drain() { standing.drains.store(true, ordering: .relaxed) }

    var drains: Bool { standing.drains.load(ordering: .relaxed) }

    private static let slowestRetry: Duration = .seconds(5)
    private static let callTimeout: Duration = .seconds(3)

    /// Returns after leaving the cluster: when the task is cancelled, or when the worker drains and may go.
    func keep(control: RPCAddress, ring: RPCAddress) async {
        var retry: Duration = .milliseconds(200)
        var trouble = JoinTrouble(since: .now)
        while !Task.isCancelled {
            do {
                try await stay(control: control, ring: ring) {
                    retry = .milliseconds(200)
                    trouble = JoinTrouble(since: .now)
                }
                return
            } catch is CancellationError {
                break
            } catch {
                let message = (error as? RPCStatus)?.message ?? "\(error)"
                if !Task.isCancelled, let level = trouble.level(for: message, at: .now) {
                    logger.log(
                        level: level, "not in the cluster; trying again",
                        metadata: ["coordinator": "\(configuration.coordinator)", "why": "\(message)"])
                }
            }
            // Nobody is there who could give it a job.
            if drains, runs.running == nil { return }
            try? await Task.sleep(for: retry)
            retry = min(retry * 2, Self.slowestRetry)
        }
    }

    /// Registers and sends heartbeats until something fails, or the worker drains and may go.
    private func stay(control: RPCAddress, ring: RPCAddress, joined: () -> Void) async throws {
        let client = try await RPCClient.connect(
            to: RPCAddress(configuration.coordinator), tls: configuration.tls, timeout: Self.callTimeout,
            logger: logger)
        defer { Task { await client.close() } }
        var request = RegisterRequest()
        request.instance = instance
        request.held = runs.held
        request.member = .with {
            $0.name = configuration.name
            $0.address = address(configuration.advertise, control)
            $0.ringAddress = address(configuration.advertiseRing, ring)
            $0.threads = UInt32(configuration.threads)
            $0.hostCores = UInt32(clamping: configuration.hostCores)
            $0.memoryBytes = UInt64(configuration.memoryBytes)
            $0.kvDiskBytes = UInt64(clamping: configuration.kvDisk?.bytes ?? 0)
            $0.isa = configuration.isa.rawValue
            $0.precision = configuration.precision.rawValue
            $0.fingerprint = model.fingerprint
            $0.model = URL(filePath: model.path).lastPathComponent
            $0.version = configuration.version
            $0.order = UInt32(clamping: configuration.order)
            $0.protocol = LariatProtocol.current
        }
        let reply = try await client.unary(MembershipService.register, request, timeout: Self.callTimeout)
        if let words = LariatProtocol.mismatch(
            of: "this worker", with: "the coordinator at \(configuration.coordinator)", reply.protocol)
        {
            await leave(client)
            throw RPCStatus(.failedPrecondition, words)
        }
        standing.joined.store(true, ordering: .relaxed)
        defer { standing.joined.store(false, ordering: .relaxed) }
        runs.learn(epoch: reply.epoch)
        runs.store.drop(reply.drop)
        joined()
        logger.info(
            "joined the cluster",
            metadata: ["coordinator": "\(configuration.coordinator)", "epoch": "\(reply.epoch)"])
        let interval = Duration.seconds(min(max(reply.heartbeatSeconds, 0.05), 60))
        while true {
            do {
                try await sleep(interval)
            } catch {
                await leave(client)
                throw error
            }
            let answer: HeartbeatReply
            do {
                answer = try await client.unary(
                    MembershipService.heartbeat, heartbeat(epoch: reply.epoch), timeout: Self.callTimeout)
                runs.statistics.count(heartbeat: true)
            } catch {
                runs.statistics.count(heartbeat: false)
                throw error
            }
            runs.learn(epoch: answer.epoch)
            runs.store.drop(answer.drop)
            if answer.leave {
                logger.info("drained; leaves the cluster")
                return await leave(client)
            }
        }
    }

    /// Until the next heartbeat is due, or news must be told at once: it drains, or it has let go of a job, which the
    /// coordinator may be waiting for.
    private func sleep(_ interval: Duration) async throws {
        let deadline = ContinuousClock.now + interval
        let told = (drains: drains, job: runs.running?.job ?? "")
        while ContinuousClock.now < deadline, drains == told.drains,
            told.job.isEmpty || runs.running?.job == told.job
        {
            try await Task.sleep(for: min(.milliseconds(100), deadline - .now))
        }
    }

    /// Says goodbye, so that the coordinator need not wait for missing heartbeats. The task is cancelled already:
    /// the call gets one of its own.
    private func leave(_ client: RPCClient) async {
        let goodbye = heartbeat(epoch: 0)
        await Task {
            _ = try? await client.unary(MembershipService.leave, goodbye, timeout: .seconds(1))
        }.value
    }

    private func heartbeat(epoch: UInt64) -> HeartbeatRequest {
        .with {
            $0.name = configuration.name
            $0.instance = instance
            $0.epoch = epoch
            let running = runs.running
            $0.job = running?.job ?? ""
            $0.kvBytesUsed = UInt64(runs.store.memory.used)
            $0.keptBytes = UInt64(runs.store.bytes)
            $0.progress = running?.progress?()
            $0.draining = drains
        }
    }

    private func address(_ advertised: HostPort?, _ bound: RPCAddress) -> String {
        advertised.map { "\($0)" } ?? "\(HostPort(host: bound.host, port: bound.port))"
    }
}

extension RPCAddress {
    init(_ address: HostPort) { self.init(host: address.host, port: address.port) }
}
