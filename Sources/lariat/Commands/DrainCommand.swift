// lariat drain: a worker takes no more jobs, finishes what it runs, and leaves.

internal import ArgumentParser
internal import JSONText
internal import Messages
internal import Protobuf

struct DrainCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Let workers finish and leave, e.g. for an upgrade.",
        discussion: """
            A worker that drains takes no more jobs, finishes the one it runs, leaves the cluster, and its process ends. \
            Jobs go on with the other workers. Name a worker, or a host: then all workers of that host drain.
            """)

    @Argument(help: ArgumentHelp("A worker's name, or a host.", valueName: "worker|host"))
    var target: String
    @Flag(help: "Take jobs again, if it has not left yet.")
    var undo = false
    @Option(
        help: ArgumentHelp(
            "Wait until they have left, so long at most; 0: do not wait.", valueName: "seconds"))
    var wait: Double = 0
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        guard (0...86_400).contains(wait) else { throw ValidationError("--wait: from 0 to 86400 seconds") }
    }

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            let reply = try await coordinator.unary(
                CoordinatorService.drain,
                DrainRequest.with {
                    $0.target = target
                    $0.undo = undo
                })
            let names = reply.workers.joined(separator: ", ")
            if output.json {
                try await Terminal.print(
                    json: .object([("workers", .array(reply.workers.map { .string($0) }))]))
            } else {
                try await Terminal.print(
                    (undo ? "\(names): jobs are taken again" : "\(names): draining").printable)
            }
            guard !undo, wait > 0 else { return }
            let deadline = ContinuousClock.now + .seconds(wait)
            while true {
                let state = try await coordinator.unary(CoordinatorService.getCluster, ClusterRequest())
                let left = state.members.filter { reply.workers.contains($0.name) && $0.state == .draining }
                if left.isEmpty { break }
                guard ContinuousClock.now < deadline else {
                    throw Failure(
                        "still draining after \(wait) s: "
                            + left.map { "\($0.name) runs \($0.job)" }.joined(separator: ", "),
                        exitCode: ExitStatus.tryAgain)
                }
                try await Task.sleep(for: .milliseconds(500))
            }
            if !output.json { try await Terminal.print("\(names): left the cluster".printable) }
        }
    }
}
