// lariat up: a whole cluster on this machine, from a model file or a specification.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import JSONText
internal import Kernels
internal import Logging

struct UpCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Start a whole cluster on this machine.",
        discussion: """
            From a model file alone (--model), or from a specification. Starts the coordinator and every worker as child \
            processes, prints `ready: ...` when all of them work, and stops them on Ctrl-C. Their log lines go to standard \
            error, with their name before them. When a worker dies, the others go on; when the coordinator dies, all are \
            stopped.

            With --model the cluster listens on the usual ports (7400; the web page and the API on 7480, metrics on 7481), \
            or 100 above them for each such cluster that runs already, and keeps its journal where a specification would.
            """)

    @Argument(help: ArgumentHelp("A cluster specification.", valueName: "spec"), completion: .file())
    var specification: String?
    @Option(
        help: ArgumentHelp("Without a specification: the model, a GGUF file.", valueName: "file"),
        completion: .file())
    var model: String?
    @Option(
        help: ArgumentHelp("With --model: workers (default: 1, the fastest on one machine).", valueName: "n"))
    var workers: Int?
    @Option(
        help: ArgumentHelp(
            "With --model: compute threads of each worker (default: the processor's, shared out).",
            valueName: "n"))
    var threads: Int?
    @Option(
        help: ArgumentHelp(
            "With --model: what keys and values may use in each worker, e.g. 4GiB (default: half of the memory available, "
                + "shared out).", valueName: "size"))
    var memory: ByteSize?
    @Option(
        help: ArgumentHelp(
            "Folder of the coordinator's journal (default: as the specification says, or ~/.local/share/lariat).",
            valueName: "dir"), completion: .directory)
    var data: String?
    @OptionGroup var token: TokenOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        if let specification, specification.hasSuffix(".gguf"), model == nil {
            throw ValidationError(
                "\(specification.printable) is a model file: lariat up --model \(specification.printable)")
        }
        guard (specification == nil) != (model == nil) else {
            throw ValidationError(
                model == nil
                    ? "give a model file, lariat up --model FILE, or a specification, lariat up SPEC"
                    : "--model stands instead of a specification: leave one of them out")
        }
        for (name, isGiven) in [
            ("--workers", workers != nil), ("--threads", threads != nil), ("--memory", memory != nil),
        ] where isGiven && model == nil {
            throw ValidationError("\(name) goes with --model; here the specification says it")
        }
        if let workers { try BenchLimits.check("--workers", workers, BenchLimits.workers) }
        if let threads { try BenchLimits.check("--threads", threads, BenchLimits.threads) }
    }

    func execute() async throws {
        let specification = try chosen()
        let token = try token.text()
        try ReadinessCheck.checkToken(token, for: specification)
        let width = (specification.workers.map(\.name) + ["coordinator"]).map(\.count).max() ?? 0
        let cluster = LocalCluster(
            specification: specification, data: model == nil ? data : nil,
            logLevel: log.level(normally: .info).rawValue, token: token,
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

    /// The specification, with models that are there.
    private func chosen() throws -> ClusterSpecification {
        guard let model else {
            let specification = try ClusterSpecification.load(specification ?? "")
            for path in Set([specification.model] + specification.workers.map(\.model)) {
                _ = try ModelFile.path(path)
            }
            return specification
        }
        let path = try ModelFile.path(model)
        let (ports, place) = try Self.ports()
        let folder = try data.map { URL(filePath: $0).standardizedFileURL.path } ?? Self.dataFolder(place)
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Failure("\(folder): cannot be made: \(error.localizedDescription)")
        }
        let count = workers ?? 1
        return try LocalSpecification(
            model: path, workers: count, threads: threads ?? LocalSpecification.threads(workers: count),
            memory: memory, isa: nil, precision: .bf16, ports: ports, data: folder
        ).write(to: folder + "/up.yaml")
    }

    /// The usual ports, or as many hundreds above them as are taken.
    private static func ports() throws -> (ports: LocalSpecification.Ports, place: Int) {
        let usual = LocalSpecification.Ports.usual
        for place in 0..<10 {
            let ports = LocalSpecification.Ports(
                coordinator: usual.coordinator + 100 * place, web: usual.web.map { $0 + 100 * place },
                metrics: usual.metrics.map { $0 + 100 * place })
            let isFree = [ports.coordinator, ports.web, ports.metrics].compactMap(\.self).allSatisfy {
                ListenerProbe.probe(HostPort(host: "127.0.0.1", port: $0)) == nil
            }
            if isFree { return (ports, place) }
        }
        throw Failure(
            "the ports \(usual.coordinator), \(usual.coordinator + 100), ... \(usual.coordinator + 900), or those of their "
                + "pages, are all in use; write a specification with others (Cluster/local.yaml is an example)"
        )
    }

    /// Each of several clusters has a journal of its own, always the same.
    private static func dataFolder(_ place: Int) throws -> String {
        guard let folder = DataFolder.usual else {
            throw Failure(
                "HOME is not set; say where the journal goes with --data", exitCode: ExitStatus.usage)
        }
        return folder
            + (place == 0 ? "" : "/\(LocalSpecification.Ports.usual.coordinator + 100 * place)")
    }

    private static func announce(_ specification: ClusterSpecification, json: Bool) async throws {
        let coordinator = specification.coordinator
        let page = coordinator.web.map { "\(coordinator.tls == nil ? "http" : "https")://\($0)/" }
        guard !json else {
            return try await Terminal.print(
                json: .object([
                    ("ready", .bool(true)), ("coordinator", .string("\(coordinator.advertise)")),
                    ("workers", .array(specification.workers.map { .string($0.name) })),
                    ("page", page.map { .string($0) } ?? .null),
                ]))
        }
        var lines = [
            "ready: coordinator \(coordinator.advertise), "
                + Quantity.counted(specification.workers.count, "worker") + threads(specification.workers)
                + ". In another terminal: " + question(to: coordinator)
        ]
        if let page { lines.append("page and API: \(page)") }
        try await Terminal.print(lines)
    }

    private static func threads(_ workers: [ClusterSpecification.Worker]) -> String {
        let threads = Set(workers.map(\.threads))
        guard threads.count == 1, let count = workers.first?.threads else { return "" }
        return workers.count == 1
            ? " with \(Quantity.counted(count, "thread"))" : " with \(Quantity.counted(count, "thread")) each"
    }

    /// The next command to type.
    private static func question(to coordinator: ClusterSpecification.Coordinator) -> String {
        let usual = HostPort(host: "127.0.0.1", port: LocalSpecification.Ports.usual.coordinator)
        var command = "lariat submit"
        if coordinator.advertise != usual { command += " --coordinator \(coordinator.advertise)" }
        if coordinator.tls != nil { command += " --tls-ca ..." }
        return command + " \"Why is the sky blue?\""
    }
}
