// lariat cluster up: brings a specification's files to its hosts by ssh and starts the processes there.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import Logging
internal import Messages

struct ClusterUpCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Start a cluster on its hosts, over ssh.",
        discussion: """
            Copies the specification and each process's own certificate, key and tokens to its host, starts the coordinator, \
            then the workers, and waits until all work. What runs already is left as it is; its files are replaced all the \
            same, and read when it starts again. The program and the model must be on the hosts already.

            Exits with 0 when all are ready; 69 if a host cannot be reached; 75 if they are not ready in time.
            """)

    @OptionGroup var remote: RemoteOptions
    @Option(help: ArgumentHelp("How long all of it may take.", valueName: "seconds"))
    var timeout: Double = 300
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        guard (1...86_400).contains(timeout) else {
            throw ValidationError("--timeout: from 1 to 86400 seconds")
        }
    }

    func execute() async throws {
        let (specification, cluster) = try remote.load()
        var check = SpecificationCheck(specification, at: Date())
        let names = Set(cluster.processes.map(\.name))
        let missing = check.missingFiles(of: names)
        if !missing.isEmpty {
            for error in missing { Terminal.note("\(error)".printable) }
            throw Failure(
                "\(specification.path): nothing was sent, because files are missing",
                exitCode: ExitStatus.unreadableInput)
        }
        check.checkCertificates(of: names)
        if !check.errors.isEmpty {
            for error in check.errors { Terminal.note("\(error)".printable) }
            throw Failure("\(specification.path): nothing was sent; mend its certificates first")
        }
        let readiness = try remote.readiness(specification, connection, log)
        try ReadinessCheck.checkToken(readiness.token, for: specification)
        let contents = try cluster.readFiles()
        let limit = Duration.seconds(timeout)
        try await InterruptibleWork.run(
            after:
                "processes that were started go on; stop them with `lariat cluster down \(specification.path)`"
        ) {
            try await Self.bringUp(cluster, contents, readiness, until: ContinuousClock.now + limit)
        }
    }

    private static func bringUp(
        _ cluster: RemoteCluster, _ contents: [Deployment.File: [UInt8]], _ readiness: ReadinessCheck,
        until deadline: ContinuousClock.Instant
    ) async throws {
        // Nothing starts before everything is where it should be.
        let copied = await RemoteCluster.each(cluster.hosts) { host throws(Failure) in
            let version = try await cluster.version(
                on: host.login, within: try remaining(deadline, host.login))
            let count = try await cluster.install(contents, on: host)
            let note = version == LariatVersion.current ? "" : " (here it is \(LariatVersion.current))"
            await say(
                "\(host.login): lariat \(version)\(note); \(Quantity.counted(count, "file")) in place")
        }
        _ = try RemoteCluster.all(copied)
        var began: [String: ContinuousClock.Instant] = [:]
        for role in [Deployment.Process.Role.coordinator, .worker] {
            let processes = cluster.processes.filter { $0.role == role }
            let now = ContinuousClock.now
            let started = await RemoteCluster.each(processes) { process throws(Failure) in
                let answer = try await cluster.start(process, within: try remaining(deadline, process.login))
                await say(
                    "\(process.login): \(process.name) "
                        + (answer == .running ? "runs already, with the files it read then" : "\(answer)"))
                return answer
            }
            for (process, answer) in zip(processes, try RemoteCluster.all(started)) where answer == .started {
                began[process.name] = now
            }
        }
        do {
            try await wait(for: readiness, began, until: deadline)
        } catch let failure as Failure {
            await showLogs(cluster, readiness)
            throw failure
        }
        let count = readiness.expected.count
        try await Terminal.print(
            "ready: coordinator \(readiness.address)"
                + (count == 0 ? "" : ", \(Quantity.counted(count, "worker"))"))
    }

    /// - Parameter began: When processes were started that did not run before. The coordinator knows a worker that died
    ///   for some seconds more, and lets no other of its name in meanwhile: a sign of life must be newer.
    private static func wait(
        for readiness: ReadinessCheck, _ began: [String: ContinuousClock.Instant],
        until deadline: ContinuousClock.Instant
    ) async throws {
        while !readiness.expected.isEmpty {
            let state = try await readiness.wait(upTo: max(.seconds(1), deadline - .now))
            let old = state.members.filter { member in
                guard readiness.expected.contains(member.name), let began = began[member.name] else {
                    return false
                }
                return member.lastHeartbeatSeconds > (ContinuousClock.now - began) / .seconds(1)
            }
            if old.isEmpty { return }
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    "not in the cluster yet: \(old.map(\.name).joined(separator: ", ")). Look at their logs",
                    exitCode: ExitStatus.tryAgain)
            }
            try await Task.sleep(for: .milliseconds(200))
        }
        // Only the coordinator was meant: its answer is enough.
        while true {
            do {
                _ = try await readiness.state()
                return
            } catch let failure as Failure {
                guard ContinuousClock.now < deadline else { throw failure }
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// The last lines of those that are not well: of five at most.
    private static func showLogs(_ cluster: RemoteCluster, _ readiness: ReadinessCheck) async {
        let state = try? await readiness.state()
        let ill = cluster.processes.filter { process in
            guard let state else { return process.role == .coordinator }
            return process.role == .worker
                && !Readiness(state, expected: [process.name]).isReady
        }
        for process in ill.prefix(5) {
            for line in await cluster.log(process, lines: 5) {
                Terminal.writeError("\(process.login): \(process.name) | \(line)".printable + "\n")
            }
        }
    }

    private static func remaining(
        _ deadline: ContinuousClock.Instant, _ login: Login
    ) throws(Failure) -> Duration {
        let left = deadline - .now
        guard left > .zero else {
            throw Failure(
                "\(login): the time of --timeout is over", exitCode: ExitStatus.tryAgain)
        }
        return left
    }

    /// Who does not listen misses it; the cluster comes up all the same.
    private static func say(_ line: String) async { try? await Terminal.print(line.printable) }
}
