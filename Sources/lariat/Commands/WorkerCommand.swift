// lariat worker: one node, which holds the whole model and a shard of each job's sequence.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import Kernels
internal import Logging
internal import Worker

struct WorkerCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Run a worker.",
        discussion: """
            Settings come from a cluster specification (--spec and --name), from options, or from both: options win. \
            Without a specification, --listen, --ring, --coordinator and --model are needed.
            """)

    @Option(help: ArgumentHelp("The cluster specification.", valueName: "file"), completion: .file())
    var spec: String?
    @Option(
        help: ArgumentHelp(
            "Its name in the cluster (default without --spec: this host's).", valueName: "name"))
    var name: String?
    @Option(help: ArgumentHelp("Where it listens for the coordinator.", valueName: "host:port"))
    var listen: HostPort?
    @Option(help: ArgumentHelp("Where it listens for blocks from other workers.", valueName: "host:port"))
    var ring: HostPort?
    @Option(
        help: ArgumentHelp("Where the coordinator reaches --listen, if elsewhere.", valueName: "host:port"))
    var advertise: HostPort?
    @Option(help: ArgumentHelp("Where other workers reach --ring, if elsewhere.", valueName: "host:port"))
    var ringAdvertise: HostPort?
    @Option(help: ArgumentHelp("The coordinator to join.", valueName: "host:port"))
    var coordinator: HostPort?
    @Option(help: ArgumentHelp("The model, a GGUF file.", valueName: "file"), completion: .file())
    var model: String?
    @Option(
        help: ArgumentHelp(
            "Compute threads (default: one per core that this process may use).", valueName: "n"))
    var threads: Int?
    @Option(help: ArgumentHelp("Cores to compute on, e.g. 0,1,2,3; one for each thread.", valueName: "list"))
    var cores: CoreList?
    @Option(
        help: ArgumentHelp(
            "What keys and values may use, e.g. 4GiB (default: half of the memory available).",
            valueName: "size"))
    var memory: ByteSize?
    @Option(
        help: ArgumentHelp(
            "A folder in which it keeps sequences beyond its life, in one named like itself (default: in memory only).",
            valueName: "folder"), completion: .directory)
    var kvPath: String?
    @Option(
        help: ArgumentHelp("What that folder may use, e.g. 100GiB; needed with it.", valueName: "size"))
    var kvDisk: ByteSize?
    @Flag(help: "Start with more threads or memory than this host has, or than its limits leave.")
    var force = false
    @Option(help: "scalar, avx2, avx512 or avx512bf16 (default: the best this processor has).")
    var isa: ISA?
    @Option(help: "bf16 (default) or f32; every process of a cluster must use the same.")
    var precision: Precision?
    @OptionGroup var common: ServerOptions

    func validate() throws {
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads: from 1 to 1024") }
    }

    func execute() async throws {
        let (configuration, isForced) = try settings()
        let logger = common.log.logger(configuration.name, normally: .info)
        try check(configuration, isForced: isForced, logger)
        let server = try WorkerServer(configuration: configuration, logger: logger)
        try await common.run(drain: { server.drain() }) { ready in try await server.run(ready: ready) }
    }

    private func settings() throws -> (configuration: WorkerConfiguration, isForced: Bool) {
        let specification = try spec.map { path throws(ClusterError) in try ClusterSpecification.load(path) }
        let specified = try specification.map(chosen)
        let listen = try listen ?? specified?.listen ?? missing("--listen")
        let ring = try ring ?? specified?.ring ?? missing("--ring")
        let cores = cores?.cores ?? specified?.cores ?? []
        var configuration = WorkerConfiguration(
            name: name ?? specified?.name ?? ProcessInfo.processInfo.hostName, listen: listen, ring: ring,
            coordinator: try coordinator ?? specification?.coordinator.advertise ?? missing("--coordinator"),
            modelPath: try model ?? specified?.model ?? missing("--model"),
            threads: threads ?? specified?.threads ?? (cores.isEmpty ? Machine.usableCores() : cores.count),
            memoryBytes: memory?.bytes ?? specified?.memory.bytes ?? Machine.defaultMemory(),
            isa: isa ?? specification.flatMap { ISA(rawValue: $0.isa.rawValue) } ?? .best,
            precision: precision ?? specification.flatMap { Precision(rawValue: $0.precision.rawValue) }
                ?? .bf16)
        // What the specification advertises stands for what it listens on; another --listen needs no such word.
        configuration.advertise =
            advertise ?? specified.flatMap { $0.advertise == $0.listen ? nil : $0.advertise }
        configuration.advertiseRing =
            ringAdvertise ?? specified.flatMap { $0.ringAdvertise == $0.ring ? nil : $0.ringAdvertise }
        try check(listen, configuration.advertise, "--advertise")
        try check(ring, configuration.advertiseRing, "--ring-advertise")
        configuration.metrics = common.metrics ?? specified?.metrics
        configuration.version = LariatVersion.current
        configuration.hostCores = Machine.usableCores()
        configuration.order =
            specification?.workers.firstIndex { $0.name == specified?.name }.map { $0 + 1 } ?? 0
        configuration.cores = cores.isEmpty ? nil : cores
        configuration.kvDisk = try kept(specified?.kv)
        guard cores.isEmpty || cores.count == configuration.threads else {
            throw Failure(
                "\(configuration.threads) threads on \(cores.count) cores: name as many cores as threads",
                exitCode: ExitStatus.usage)
        }
        configuration.tls = common.tls.files ?? specified?.tls.map { .init($0) }
        for (address, name) in [(listen, "--listen"), (ring, "--ring")] {
            try common.check(
                address, tls: configuration.tls != nil, name: name,
                isAllowed: specification?.isInsecure ?? false)
        }
        return (configuration, force || specified?.isForced ?? false)
    }

    /// Where sequences are kept on disk, which takes both a folder and a limit.
    private func kept(_ specified: ClusterSpecification.KVDisk?) throws -> WorkerConfiguration.KVDisk? {
        switch (kvPath ?? specified?.path, kvDisk?.bytes ?? specified?.disk.bytes) {
        case (nil, nil): return nil
        case (let path?, let bytes?) where !path.isEmpty && bytes >= 1 << 20:
            return .init(path: path, bytes: bytes)
        case (nil, _):
            throw Failure(
                "--kv-disk says how much, --kv-path FOLDER must say where", exitCode: ExitStatus.usage)
        case (_, nil):
            throw Failure(
                "--kv-path says where, --kv-disk SIZE must say how much", exitCode: ExitStatus.usage)
        default:
            throw Failure(
                "--kv-path needs the name of a folder, and --kv-disk 1MiB or more", exitCode: ExitStatus.usage
            )
        }
    }

    /// Refuses what this host does not have, before the model is read.
    private func check(
        _ configuration: WorkerConfiguration, isForced: Bool, _ logger: Logger
    ) throws {
        let excess = ResourceLimits.current.excess(
            threads: configuration.threads, cores: configuration.cores ?? [],
            memoryBytes: UInt64(configuration.memoryBytes),
            modelBytes: SpecificationCheck.size(ofFile: configuration.modelPath))
        guard !excess.isEmpty else { return }
        guard isForced else {
            throw Failure(
                "worker \(configuration.name): \(excess.joined(separator: "; ")). Ask for less, or start it all the same "
                    + "with --force (force: true in the specification)", exitCode: ExitStatus.usage)
        }
        for problem in excess { logger.warning("more than there is", metadata: ["what": "\(problem)"]) }
    }

    private func chosen(_ specification: ClusterSpecification) throws -> ClusterSpecification.Worker {
        let names = specification.workers.map(\.name).joined(separator: ", ")
        guard let name else {
            throw Failure("--spec needs --name, one of: \(names)", exitCode: ExitStatus.usage)
        }
        guard let worker = specification.worker(named: name) else {
            throw Failure(
                "\(specification.path) has no worker named \(name); it has: \(names)",
                exitCode: ExitStatus.usage)
        }
        return worker
    }

    private func check(_ listen: HostPort, _ advertised: HostPort?, _ option: String) throws {
        if listen.isWildcard, advertised == nil {
            throw Failure(
                "\(listen) does not say where others reach this worker; add \(option) HOST:PORT",
                exitCode: ExitStatus.usage)
        }
    }
}
