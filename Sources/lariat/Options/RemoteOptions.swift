// Which processes of which specification are meant by `lariat cluster up`, `status` and `down`.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import Logging
internal import RPC

struct RemoteOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The cluster specification.", valueName: "spec"), completion: .file())
    var specification: String
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Only these processes, by name or `coordinator` (default: all).", valueName: "name"))
    var only: [String] = []

    func load() throws -> (specification: ClusterSpecification, cluster: RemoteCluster) {
        let text = try AtomicFile.readText(specification, limit: ClusterSpecification.largestFile)
        let loaded = try ClusterSpecification.parse(text, path: specification)
        try ProcessSelection.check(only, of: loaded, option: "--only")
        let deployment = Deployment(loaded)
        let processes = deployment.processes.filter { only.isEmpty || only.contains($0.name) }
        return (loaded, RemoteCluster(deployment: deployment, processes: processes, text: text))
    }

    /// How the coordinator is asked for its view.
    func readiness(
        _ specification: ClusterSpecification, _ connection: ConnectionOptions, _ log: LogOptions
    ) throws -> ReadinessCheck {
        let isNamed = connection.coordinator != nil
        return ReadinessCheck(
            address: isNamed ? try connection.address() : specification.coordinator.advertise,
            tls: connection.tls.files ?? specification.coordinator.tls.map(Self.clientFiles),
            token: try connection.token.text(),
            expected: specification.workers.map(\.name).filter { only.isEmpty || only.contains($0) },
            logger: log.logger("cluster", normally: .critical))
    }

    /// The certificate made for people, if it lies beside the authority's; else the coordinator's own.
    private static func clientFiles(_ files: ClusterSpecification.TLSFiles) -> TLSFiles {
        let folder = URL(filePath: files.ca).deletingLastPathComponent()
        let (certificate, key) = (
            folder.appending(component: "client.pem").path, folder.appending(component: "client.key").path
        )
        let isThere = [certificate, key].allSatisfy { FileManager.default.isReadableFile(atPath: $0) }
        return isThere ? TLSFiles(ca: files.ca, certificate: certificate, key: key) : TLSFiles(files)
    }
}
