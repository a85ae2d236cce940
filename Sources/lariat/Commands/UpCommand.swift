// lariat up: a coordinator and all workers of a specification on this machine.

internal import ArgumentParser
internal import Cluster
internal import JSONText
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
        let specification = try ClusterSpecification.load(specification)
        let width = (specification.workers.map(\.name) + ["coordinator"]).map(\.count).max() ?? 0
        let cluster = LocalCluster(
            specification: specification, data: data, logLevel: log.level(normally: .info).rawValue,
            onLine: { name, line in
                let label = name + String(repeating: " ", count: width - name.count)
                Terminal.writeError("\(label) | \(line.printable)\n")
            },
            onWorkerEnd: { name, end in
                Terminal.note(
                    "worker \(name) ended (\(end.text)). The others go on; start it again with "
                        + "`lariat worker --spec \(specification.path) --name \(name)`")
            })
        let json = output.json
        _ = try await cluster.run { _ in
            try await Self.announce(specification, json: json)
            // Until a signal, or the coordinator's end.
            while true { try await Task.sleep(for: .seconds(86_400)) }
        }
    }

    private static func announce(_ specification: ClusterSpecification, json: Bool) async throws {
        let count = specification.workers.count
        if json {
            try await Terminal.print(
                json: .object([
                    ("ready", .bool(true)),
                    ("coordinator", .string("\(specification.coordinator.advertise)")),
                    ("workers", .array(specification.workers.map { .string($0.name) })),
                ]))
        } else {
            var lines = [
                "ready: coordinator \(specification.coordinator.advertise), \(count) worker\(count == 1 ? "" : "s")"
            ]
            if let web = specification.coordinator.web {
                lines.append("page: \(specification.coordinator.tls == nil ? "http" : "https")://\(web)/")
            }
            try await Terminal.print(lines)
        }
    }
}
