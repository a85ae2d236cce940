// lariat cluster status: each process as its host sees it, and as the coordinator does.

internal import ArgumentParser
internal import Cluster
internal import JSONText
internal import Logging
internal import Messages

struct ClusterStatusCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the processes of a cluster on their hosts, over ssh.",
        discussion: """
            A process is running, stopped (it ended in order, e.g. drained), or failed: it does not run, and did not end in \
            order. Exits with 0 if the coordinator runs and has all workers that were not stopped; with 1 if not; with 69 if \
            a host cannot be reached.
            """)

    @OptionGroup var remote: RemoteOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    private struct Row: Sendable {
        let process: Deployment.Process
        let state: String
        let version: String
        /// What the coordinator says of it.
        let member: String
        let failure: Failure?
    }

    func execute() async throws {
        let (specification, cluster) = try remote.load()
        let readiness = try remote.readiness(specification, connection, log)
        let (states, view) = try await InterruptibleWork.run(after: "nothing was changed") {
            async let view = Self.view(readiness)
            let states = await RemoteCluster.each(cluster.hosts) { host throws(Failure) in
                await Self.states(host, cluster)
            }
            try Task.checkCancellation()
            return (try RemoteCluster.all(states).flatMap(\.self), await view)
        }
        var rows: [Row] = []
        for process in cluster.processes {
            guard let state = states.first(where: { $0.process.name == process.name }) else { continue }
            rows.append(Self.row(state, view))
        }
        let problems = rows.compactMap(\.failure)
        // A worker that was let go, by a drain or by `down --only`, is where it should be.
        let gone = rows.filter {
            $0.process.role == .worker && $0.state == Deployment.Answer.stopped.rawValue
        }
        .map(\.process.name)
        let isWell =
            problems.isEmpty && rows.allSatisfy { $0.state == "running" || gone.contains($0.process.name) }
        let expected = readiness.expected.filter { !gone.contains($0) }
        let isReady: Bool
        switch view {
        case .success(let state):
            isReady =
                readiness.expected.isEmpty
                || (!expected.isEmpty && Readiness(state, expected: expected).isReady)
        case .failure: isReady = false
        }
        try await show(rows, view, isWell: isWell && isReady)
        if let unreachable = problems.first(where: { $0.exitCode == ExitStatus.unreachable }) {
            throw ExitCode(unreachable.exitCode)
        }
        guard isWell, isReady else { throw ExitCode(ExitStatus.failure) }
    }

    private func show(_ rows: [Row], _ view: Result<ClusterState, Failure>, isWell: Bool) async throws {
        if output.json {
            try await Terminal.print(
                json: .object([
                    ("ok", .bool(isWell)),
                    (
                        "processes",
                        .array(
                            rows.map { row in
                                .object([
                                    ("name", .string(row.process.name)),
                                    ("host", .string("\(row.process.login)")),
                                    ("state", .string(row.state)), ("version", .string(row.version)),
                                    ("cluster", .string(row.member)),
                                    ("problem", row.failure.map { .string($0.message) } ?? .null),
                                ])
                            })
                    ),
                    ("problem", Self.problem(view).map { .string($0) } ?? .null),
                    ("cluster", (try? view.get())?.json ?? .null),
                ]))
        } else {
            var table = Table([
                ("process", .left), ("host", .left), ("process is", .left), ("version", .left),
                ("in the cluster", .left),
            ])
            for row in rows {
                table.add([row.process.name, "\(row.process.login)", row.state, row.version, row.member])
            }
            try await Terminal.print(table.lines())
            for failure in rows.compactMap(\.failure).map(\.message).uniqued() {
                Terminal.note(failure.printable)
            }
            if let problem = Self.problem(view) { Terminal.note(problem.printable) }
        }
    }

    private static func problem(_ view: Result<ClusterState, Failure>) -> String? {
        if case .failure(let failure) = view { failure.message } else { nil }
    }

    private static func view(_ readiness: ReadinessCheck) async -> Result<ClusterState, Failure> {
        do { return .success(try await readiness.state(timeout: .seconds(5))) } catch {
            return .failure(error as? Failure ?? Failure("\(error)"))
        }
    }

    private static func states(_ host: RemoteCluster.Host, _ cluster: RemoteCluster) async -> [RemoteState] {
        let version: String?
        do throws(Failure) { version = try await cluster.version(on: host.login) } catch {
            // A host that cannot be reached is not asked again for each process.
            if error.exitCode == ExitStatus.unreachable || error.exitCode == ExitStatus.interrupted {
                return host.processes.map { RemoteState(process: $0, answer: .failure(error), version: nil) }
            }
            version = nil
        }
        var states: [RemoteState] = []
        for process in host.processes {
            let answer: Result<Deployment.Answer, Failure>
            do throws(Failure) { answer = .success(try await cluster.status(process)) } catch {
                answer = .failure(error)
            }
            states.append(RemoteState(process: process, answer: answer, version: version))
        }
        return states
    }

    private static func row(_ state: RemoteState, _ view: Result<ClusterState, Failure>) -> Row {
        let text: String
        var failure: Failure?
        switch state.answer {
        case .success(let answer): text = answer.rawValue
        case .failure(let problem):
            text = "unknown"
            failure = problem
        }
        let member: String
        switch (view, state.process.role) {
        // It asks who is there.
        case (.failure(let failure), .coordinator) where failure.exitCode == ExitStatus.notAllowed:
            member = "answers, but not without an API token that it knows"
        case (.failure, .coordinator): member = "does not answer"
        case (.failure, .worker): member = "unknown"
        case (.success(let cluster), .coordinator):
            member = "answers: \(cluster.running) running, \(cluster.queued) queued"
        case (.success(let cluster), .worker):
            if let found = cluster.members.first(where: { $0.name == state.process.name }) {
                member = found.reason.isEmpty ? found.state.word : "\(found.state.word): \(found.reason)"
            } else {
                member = "not registered"
            }
        }
        return Row(
            process: state.process, state: text, version: state.version ?? "unknown", member: member,
            failure: failure)
    }
}

extension Sequence where Element: Hashable {
    /// Each element once, in the order of its first place.
    fileprivate func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
