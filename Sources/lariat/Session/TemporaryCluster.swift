// A cluster that lives for one command: real processes on free loopback ports, with a folder of their own.

internal import Cluster
import Foundation
internal import Kernels
internal import Logging
import Synchronization

/// What the processes of a temporary cluster are given.
struct TemporaryClusterSettings: Sendable {
    /// The model file, absolute.
    let model: String
    let workers: Int
    /// Compute threads of each worker.
    let threads: Int
    let isa: ISA?
    let precision: Precision
    /// The longest time for one job.
    let jobLimit: Duration
}

/// The cluster while it runs.
struct TemporaryCluster: Sendable {
    let coordinator: CoordinatorClient
    let workers: [ChildProcess]
    /// The longest time for one job.
    let jobLimit: Duration

    /// The last lines of each process are kept, to be shown when something fails.
    private static let linesKept = 40

    /// Starts a cluster, lets `body` work, and leaves nothing behind: no process and no file.
    /// - Throws: `Failure` with 130 when a person interrupts.
    static func with<Value: Sendable>(
        _ settings: TemporaryClusterSettings,
        _ body: @escaping @Sendable (TemporaryCluster) async throws -> Value
    ) async throws -> Value {
        let excess = ResourceLimits.current.excess(
            threads: settings.threads, cores: [], memoryBytes: 0, modelBytes: 0)
        guard excess.isEmpty else {
            throw Failure(
                "\(excess.joined(separator: "; ")); ask for fewer threads", exitCode: ExitStatus.usage)
        }
        let folder = FileManager.default.temporaryDirectory.appending(
            component: "lariat-temporary-\(UUID().uuidString)")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch { throw Failure("cannot make the folder \(folder.path): \(error.localizedDescription)") }
        defer { try? FileManager.default.removeItem(at: folder) }
        let specification = try write(settings, to: folder)
        let lines = Mutex<[String]>([])
        let cluster = LocalCluster(
            specification: specification, data: nil, logLevel: "warning",
            onLine: { name, line in
                lines.withLock { lines in
                    if lines.count >= linesKept { lines.removeFirst() }
                    lines.append("\(name) | \(line.printable)\n")
                }
            },
            onWorkerEnd: { name, end in
                throw Failure("worker \(name) ended (\(end.text)); its last lines above say why")
            })
        let value: Value?
        do {
            value = try await cluster.run { workers in
                var logger = Logger(label: "temporary") { StandardErrorLog(source: $0) }
                logger.logLevel = .critical
                let coordinator = try await CoordinatorClient.connect(
                    specification.coordinator.advertise, tls: nil, token: nil, logger: logger)
                do {
                    let value = try await body(
                        TemporaryCluster(
                            coordinator: coordinator, workers: workers, jobLimit: settings.jobLimit))
                    await coordinator.close()
                    return value
                } catch {
                    await coordinator.close()
                    throw error
                }
            }
        } catch {
            for line in lines.withLock({ $0 }) { Terminal.writeError(line) }
            throw error
        }
        guard let value else { throw Failure("interrupted", exitCode: ExitStatus.interrupted) }
        return value
    }

    // MARK: The specification

    private static func write(
        _ settings: TemporaryClusterSettings, to folder: URL
    ) throws -> ClusterSpecification {
        // A link of a plain name: a path may hold what YAML or the specification gives a meaning to.
        let link = folder.appending(component: "model.gguf")
        let file = folder.appending(component: "cluster.yaml")
        do {
            try FileManager.default.createSymbolicLink(
                at: link, withDestinationURL: URL(filePath: settings.model))
        } catch { throw Failure("cannot write to \(folder.path): \(error.localizedDescription)") }
        return try LocalSpecification(
            model: link.lastPathComponent, workers: settings.workers, threads: settings.threads,
            isa: settings.isa, precision: settings.precision,
            ports: .init(coordinator: LocalSpecification.freePorts(1)[0]), data: "data"
        ).write(to: file.path)
    }
}
