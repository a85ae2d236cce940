// lariat up: a coordinator and all workers of a specification on this machine.

internal import ArgumentParser
internal import Cluster
internal import Logging

struct UpCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Start a whole cluster on this machine.",
        discussion: """
            Starts the coordinator and every worker of the specification as child processes, prints `ready: ...` when all \
            of them work, and stops them on Ctrl-C. Their log lines go to standard error, with their name before them. \
            When a worker dies, the others go on; when the coordinator dies, all are stopped.
            """)

    @Argument(help: ArgumentHelp("The cluster specification.", valueName: "spec"))
    var specification: String
    @Option(
        help: ArgumentHelp(
            "Folder of the coordinator's journal (default: as the specification says).", valueName: "dir"))
    var data: String?
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await LocalCluster(
            specification: ClusterSpecification.load(specification), data: data,
            logLevel: log.level(normally: .info).rawValue, json: output.json
        ).run()
    }
}
