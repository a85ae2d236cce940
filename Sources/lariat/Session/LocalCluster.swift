// A whole cluster on this machine: a coordinator and its workers as child processes of this one.

internal import Cluster
import Foundation
internal import Logging
internal import RPC

/// Starts the processes of a specification, watches them and stops them.
struct LocalCluster: Sendable {
    let specification: ClusterSpecification
    let data: String?
    let logLevel: String
    /// To show the coordinator, where it asks for one.
    var token: String? = nil
    /// Takes each line that a process writes, on that process's thread.
    let onLine: @Sendable (_ process: String, _ line: String) -> Void
    /// What a worker's end means once the cluster was ready; an error ends everything.
    let onWorkerEnd: @Sendable (_ worker: String, _ end: ChildEnd) throws -> Void

    static let readyTimeout = Duration.seconds(60)
    private static let stopGrace = Duration.seconds(10)
    private static let coordinatorName = "coordinator"

    private enum Event<Value: Sendable>: Sendable {
        case ended(String, ChildEnd)
        case interrupted
        /// The coordinator answers.
        case serving
        case ready
        case notReady(Failure)
        case done(Result<Value, any Error>)
    }

    /// The names of all processes.
    var processNames: [String] { [Self.coordinatorName] + specification.workers.map(\.name) }

    /// Lets `body` work when the cluster is ready, and stops everything when it returns, on a signal, or when the
    /// coordinator is gone.
    /// - Parameter body: is given the process of each worker. Its task is cancelled when something else comes first.
    /// - Returns: what `body` returned; nil after a signal.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (_ workers: [ChildProcess]) async throws -> Value
    ) async throws -> Value? {
        try checkAddresses()
        let interrupts = Interrupts(secondEnds: false)
        // Every child ends once, signals keep two, readiness and the body's end come once: bounded by what can happen.
        let (events, continuation) = AsyncStream.makeStream(of: Event<Value>.self)
        var children: [ChildProcess] = []
        var tasks = [
            Task {
                while await interrupts.next() != nil { continuation.yield(.interrupted) }
            },
            Self.task(continuation, then: .serving) { try await serving() },
        ]
        var iterator = events.makeAsyncIterator()
        let outcome: Result<Value?, any Error>
        do {
            children.append(try start(Self.coordinatorName, continuation))
            let value = try await watch(&children, &iterator) {
                tasks.append(Self.task(continuation, then: .ready) { try await readiness() })
                return try specification.workers.map { try start($0.name, continuation) }
            } whenReady: { workers in
                tasks.append(
                    Task {
                        do { continuation.yield(.done(.success(try await body(workers)))) } catch {
                            continuation.yield(.done(.failure(error)))
                        }
                    })
            }
            outcome = .success(value)
        } catch {
            outcome = .failure(error)
        }
        for task in tasks.dropFirst() { task.cancel() }
        await stop(&children, &iterator)
        // Only now may the next cluster listen to signals.
        tasks[0].cancel()
        await tasks[0].value
        return try outcome.get()
    }

    private static func task<Value>(
        _ events: AsyncStream<Event<Value>>.Continuation, then event: Event<Value>,
        _ body: @escaping @Sendable () async throws -> Void
    ) -> Task<Void, Never> {
        Task {
            do {
                try await body()
                events.yield(event)
            } catch {
                events.yield(.notReady(error as? Failure ?? Failure("\(error)")))
            }
        }
    }

    private func start<Value>(
        _ name: String, _ events: AsyncStream<Event<Value>>.Continuation
    ) throws -> ChildProcess {
        var arguments = [
            name == Self.coordinatorName ? "coordinator" : "worker", "--spec", specification.path,
        ]
        if name == Self.coordinatorName {
            if let data { arguments += ["--data", data] }
        } else {
            arguments += ["--name", name]
        }
        arguments += ["--log-level", logLevel, "--exit-with-parent"]
        return try ChildProcess(
            name: name, executable: try Self.executable(), arguments: arguments,
            onLine: { [onLine] in onLine(name, $0) },
            onEnd: { events.yield(.ended(name, $0)) })
    }

    /// The path of this program, which outlives a change of directory or PATH.
    private static func executable() throws -> String {
        do { return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") } catch {
            throw Failure(
                "cannot find this program's own file (/proc/self/exe): \(error.localizedDescription)")
        }
    }

    /// Returns on a signal and at the body's end; throws when the cluster cannot go on.
    private func watch<Value>(
        _ children: inout [ChildProcess], _ events: inout AsyncStream<Event<Value>>.Iterator,
        whenServing: () throws -> [ChildProcess], whenReady: (_ workers: [ChildProcess]) -> Void
    ) async throws -> Value? {
        var isReady = false
        while let event = await events.next() {
            switch event {
            case .interrupted: return nil
            case .done(let result): return try result.get()
            case .serving:
                if let coordinator = children.first { try checkOwner(coordinator) }
                children += try whenServing()
            case .ready:
                isReady = true
                whenReady(children.filter { $0.name != Self.coordinatorName })
            case .notReady(let failure): throw failure
            case .ended(let name, let end):
                children.removeAll { $0.name == name }
                guard name != Self.coordinatorName else {
                    throw Failure(
                        "the coordinator ended (\(end.text)); its last lines above say why. Stopping all workers"
                    )
                }
                guard isReady else {
                    throw Failure(
                        "worker \(name) ended (\(end.text)) before the cluster was ready; its last lines above say why"
                    )
                }
                try onWorkerEnd(name, end)
            }
        }
        return nil
    }

    // MARK: Readiness

    private var check: ReadinessCheck {
        var logger = Logger(label: "up") { StandardErrorLog(source: $0) }
        logger.logLevel = .critical
        return ReadinessCheck(
            address: specification.coordinator.advertise,
            tls: specification.coordinator.tls.map { TLSFiles($0) }, token: token,
            expected: specification.workers.map(\.name), logger: logger)
    }

    /// Until the coordinator answers. Workers that came earlier would warn that they cannot join.
    private func serving() async throws { try await check.waitForAnswer(upTo: Self.readyTimeout) }

    /// Asks the coordinator until every worker is there.
    private func readiness() async throws { _ = try await check.wait(upTo: Self.readyTimeout) }

    /// Before anything is started: where somebody else listens, it would be taken for this cluster.
    private func checkAddresses() throws {
        let coordinator = specification.coordinator
        var listeners: [(who: String, address: HostPort)] = [
            coordinator.listen, coordinator.web, coordinator.metrics,
        ].compactMap { $0.map { ("the coordinator", $0) } }
        for worker in specification.workers {
            listeners += [worker.listen, worker.ring, worker.metrics].compactMap {
                $0.map { ("worker \(worker.name)", $0) }
            }
        }
        for (who, address) in listeners {
            switch ListenerProbe.probe(address) {
            case .inUse: throw Self.inUse(address, who, by: PortOwner.of(address.port))
            case .other(let problem): throw Failure("\(who) cannot listen on \(address): \(problem)")
            case nil: break
            }
        }
    }

    /// Somebody may have come in between.
    private func checkOwner(_ coordinator: ChildProcess) throws {
        let address = specification.coordinator.listen
        guard let owner = PortOwner.of(address.port), owner.pid != coordinator.pid else { return }
        throw Self.inUse(address, "the coordinator", by: owner)
    }

    private static func inUse(_ address: HostPort, _ who: String, by owner: PortOwner?) -> Failure {
        let whose = owner.map { "by \($0.text)" } ?? "by another program"
        return Failure(
            "\(who) cannot listen on \(address): the port is in use \(whose). Stop that, or choose another port"
        )
    }

    /// TERM, then KILL after ten seconds; returns when every child is gone.
    private func stop<Value>(
        _ children: inout [ChildProcess], _ events: inout AsyncStream<Event<Value>>.Iterator
    ) async {
        // Workers first, while the coordinator still hears them leave.
        for child in children.reversed() { child.send(SIGTERM) }
        let rest = children
        let killer = Task {
            try await Task.sleep(for: Self.stopGrace)
            for child in rest { child.send(SIGKILL) }
        }
        while !children.isEmpty, let event = await events.next() {
            switch event {
            case .ended(let name, _): children.removeAll { $0.name == name }
            // Somebody will not wait.
            case .interrupted: for child in children { child.send(SIGKILL) }
            case .serving, .ready, .notReady, .done: break
            }
        }
        killer.cancel()
    }
}
