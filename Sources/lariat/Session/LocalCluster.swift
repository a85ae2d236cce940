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
        let interrupts = Interrupts(secondEnds: false)
        // Every child ends once, signals keep two, readiness and the body's end come once: bounded by what can happen.
        let (events, continuation) = AsyncStream.makeStream(of: Event<Value>.self)
        var children: [ChildProcess] = []
        var tasks = [
            Task {
                while await interrupts.next() != nil { continuation.yield(.interrupted) }
            },
            Task {
                do {
                    try await readiness()
                    continuation.yield(.ready)
                } catch {
                    continuation.yield(.notReady(error as? Failure ?? Failure("\(error)")))
                }
            },
        ]
        var iterator = events.makeAsyncIterator()
        let outcome: Result<Value?, any Error>
        do {
            for name in processNames { children.append(try start(name, continuation)) }
            let value = try await watch(&children, &iterator) { workers in
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
        whenReady: (_ workers: [ChildProcess]) -> Void
    ) async throws -> Value? {
        var isReady = false
        while let event = await events.next() {
            switch event {
            case .interrupted: return nil
            case .done(let result): return try result.get()
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

    /// Asks the coordinator until every worker is there.
    private func readiness() async throws {
        var logger = Logger(label: "up") { StandardErrorLog(source: $0) }
        logger.logLevel = .critical
        let check = ReadinessCheck(
            address: specification.coordinator.advertise,
            tls: specification.coordinator.tls.map { TLSFiles($0) },
            token: TokenOptions.ofEnvironment,
            expected: specification.workers.map(\.name), logger: logger)
        _ = try await check.wait(upTo: Self.readyTimeout)
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
            case .ready, .notReady, .done: break
            }
        }
        killer.cancel()
    }
}
