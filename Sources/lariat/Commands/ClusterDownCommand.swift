// lariat cluster down: lets running jobs end and stops the processes of a cluster on their hosts.

internal import ArgumentParser
internal import Cluster

struct ClusterDownCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Stop a cluster on its hosts, over ssh.",
        discussion: """
            The coordinator is stopped first: it takes no more jobs, lets those that run end, and keeps those that wait in \
            its journal. Then the workers leave. What has not ended in time is killed.

            Exits with 0 when all have ended in order or did not run; 1 if one was killed; 69 if a host cannot be reached.
            """)

    @OptionGroup var remote: RemoteOptions
    @Option(
        help: ArgumentHelp(
            "How long running jobs may go on, 1 to 3600 seconds. systemd's units have a limit of their own.",
            valueName: "seconds"))
    var within: Int = 600

    /// A worker without a job and without a coordinator needs no longer.
    private static let leastWorkerSeconds = 20

    func validate() throws {
        guard (1...3600).contains(within) else { throw ValidationError("--within: from 1 to 3600 seconds") }
    }

    func execute() async throws {
        let (specification, cluster) = try remote.load()
        let seconds = within
        try await InterruptibleWork.run(
            after:
                "hosts that were asked go on stopping; `lariat cluster status \(specification.path)` shows how far "
                + "they are"
        ) {
            try await Self.bringDown(cluster, within: seconds)
        }
    }

    private static func bringDown(_ cluster: RemoteCluster, within seconds: Int) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var killed: [String] = []
        var failures: [Result<Void, Failure>] = []
        for role in [Deployment.Process.Role.coordinator, .worker] {
            let processes = cluster.processes.filter { $0.role == role }
            let left = Int(((deadline - .now) / .seconds(1)).rounded(.up))
            let isAlone = role == .worker && cluster.processes.contains { $0.role == .coordinator }
            let limit = isAlone ? min(seconds, max(left, leastWorkerSeconds)) : max(left, 1)
            let answers = await RemoteCluster.each(processes) { process throws(Failure) in
                let answer = try await cluster.stop(process, within: limit)
                let text = answer == .killed ? "did not end in \(limit) s and was killed" : answer.rawValue
                try? await Terminal.print("\(process.login): \(process.name) \(text)".printable)
                return answer
            }
            for (process, answer) in zip(processes, answers) {
                switch answer {
                case .success(.killed): killed.append(process.name)
                case .success: break
                // The others are stopped all the same.
                case .failure(let failure): failures.append(.failure(failure))
                }
            }
            try Task.checkCancellation()
        }
        _ = try RemoteCluster.all(failures)
        if !killed.isEmpty {
            throw Failure(
                "killed: \(killed.joined(separator: ", ")); a job that they ran ends as failed")
        }
    }
}
