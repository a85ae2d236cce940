// A whole cluster on this machine: a coordinator and its workers as child processes of this one.

internal import Cluster
import Foundation
internal import Logging
internal import RPC

/// Starts the processes of a specification, watches them and stops them.
struct LocalCluster {
    let specification: ClusterSpecification
    let data: String?
    let logLevel: String
    let json: Bool

    static let readyTimeout = Duration.seconds(60)
    private static let stopGrace = Duration.seconds(10)
    private static let coordinatorName = "coordinator"

    private enum Event: Sendable {
        case ended(String, ChildEnd)
        case interrupted
        case ready
        case notReady(Failure)
    }

    /// Runs until a signal, or until the coordinator is gone.
    func run() async throws {
        let interrupts = Interrupts(secondEnds: false)
        // Every child ends once, signals keep two, readiness comes once: bounded by what can happen.
        let (events, continuation) = AsyncStream.makeStream(of: Event.self)
        var children: [ChildProcess] = []
        let watchers = [
            Task {
                while await interrupts.next() != nil { continuation.yield(.interrupted) }
            },
            Task {
                let outcome = await readiness()
                continuation.yield(outcome)
            },
        ]
        defer { for watcher in watchers { watcher.cancel() } }
        var iterator = events.makeAsyncIterator()
        do {
            for name in [Self.coordinatorName] + specification.workers.map(\.name) {
                children.append(try start(name, continuation))
            }
            try await watch(&children, &iterator)
        } catch {
            await stop(&children, &iterator)
            throw error
        }
        await stop(&children, &iterator)
    }

    private func start(_ name: String, _ events: AsyncStream<Event>.Continuation) throws -> ChildProcess {
        var arguments = [
            name == Self.coordinatorName ? "coordinator" : "worker", "--spec", specification.path,
        ]
        if name == Self.coordinatorName {
            if let data { arguments += ["--data", data] }
        } else {
            arguments += ["--name", name]
        }
        arguments += ["--log-level", logLevel, "--exit-with-parent"]
        let width = ([Self.coordinatorName] + specification.workers.map(\.name)).map(\.count).max() ?? 0
        let label = name + String(repeating: " ", count: width - name.count)
        return try ChildProcess(
            name: name, executable: try Self.executable(), arguments: arguments,
            onLine: { Terminal.writeError("\(label) | \($0.printable)\n") },
            onEnd: { events.yield(.ended(name, $0)) })
    }

    /// The path of this program, which outlives a change of directory or PATH.
    private static func executable() throws -> String {
        do { return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") } catch {
            throw Failure(
                "cannot find this program's own file (/proc/self/exe): \(error.localizedDescription)")
        }
    }

    /// Returns on a signal; throws when the cluster cannot go on.
    private func watch(_ children: inout [ChildProcess], _ events: inout AsyncStream<Event>.Iterator)
        async throws
    {
        var isReady = false
        while let event = await events.next() {
            switch event {
            case .interrupted: return
            case .ready:
                isReady = true
                try await announce()
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
                Terminal.note(
                    "worker \(name) ended (\(end.text)). The others go on; start it again with "
                        + "`lariat worker --spec \(specification.path) --name \(name)`")
            }
        }
    }

    private func announce() async throws {
        let count = specification.workers.count
        if json {
            try await Terminal.print(
                json: .object([
                    ("ready", .bool(true)),
                    ("coordinator", .string("\(specification.coordinator.advertise)")),
                    ("workers", .array(specification.workers.map { .string($0.name) })),
                ]))
        } else {
            try await Terminal.print(
                "ready: coordinator \(specification.coordinator.advertise), \(count) worker\(count == 1 ? "" : "s")"
            )
        }
    }

    /// Asks the coordinator until every worker is there.
    private func readiness() async -> Event {
        var logger = Logger(label: "up") { StandardErrorLog(source: $0) }
        logger.logLevel = .critical
        let check = ReadinessCheck(
            address: specification.coordinator.advertise,
            tls: specification.coordinator.tls.map { TLSFiles($0) },
            expected: specification.workers.map(\.name), logger: logger)
        do {
            _ = try await check.wait(upTo: Self.readyTimeout)
            return .ready
        } catch let failure as Failure {
            return .notReady(failure)
        } catch {
            return .notReady(Failure("\(error)"))
        }
    }

    /// TERM, then KILL after ten seconds; returns when every child is gone.
    private func stop(_ children: inout [ChildProcess], _ events: inout AsyncStream<Event>.Iterator) async {
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
            case .ready, .notReady: break
            }
        }
        killer.cancel()
    }
}
