// lariat doctor: what this machine can do, and how the cluster is.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import JSONText
internal import Kernels
internal import Logging
internal import Messages
internal import RPC
internal import Transformer

struct DoctorCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check this machine and the cluster.",
        discussion: """
            Exits with 0 when the coordinator answers and has its workers. Without --spec, the workers it should have are \
            not known: those that registered count, one at least.
            """)

    @Option(help: ArgumentHelp("Wait so long for the cluster to be ready.", valueName: "seconds"))
    var ready: Double?
    @Option(
        help: ArgumentHelp("Check this specification, and the cluster against it.", valueName: "file"),
        completion: .file())
    var spec: String?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        if let ready, !(ready >= 0 && ready <= 1e6) {
            throw ValidationError("--ready: from 0 to 1000000 seconds")
        }
    }

    func execute() async throws {
        let specification = try spec.map { path throws(ClusterError) in try ClusterSpecification.load(path) }
        let machine = Machine.current
        let notes = machine.notes + (specification.map(Self.notes) ?? [])
        if !output.json {
            try await Terminal.print(machine.lines())
            for note in notes { try await Terminal.print("note: \(note.printable)") }
        }
        let check = try readinessCheck(specification)
        let outcome: Result<ClusterState, Failure> = await asked(check)
        let state = try? outcome.get()
        var failure: Failure?
        if case .failure(let problem) = outcome { failure = problem }
        // A cluster that answers but is not ready is shown all the same.
        let shown: ClusterState? = if let state { state } else { try? await check.state() }
        if output.json {
            try await Terminal.print(
                json: .object([
                    ("machine", machine.json),
                    (
                        "notes",
                        .array((notes + (shown.map(ClusterReport.notes) ?? [])).map { .string($0) })
                    ),
                    ("coordinator", .string("\(check.address)")), ("ready", .bool(failure == nil)),
                    ("problem", failure.map { .string($0.message) } ?? .null),
                    ("cluster", shown?.json ?? .null),
                ]))
        } else if let shown {
            var facts = FactList()
            facts.add("coordinator", "\(check.address), version \(shown.version)")
            facts.add("model", "\(shown.model) (fingerprint \(shown.fingerprint.prefix(16)))")
            facts.add("window", "\(Quantity.count(shown.window)) tokens")
            facts.add("jobs", "\(shown.running) running, \(shown.queued) queued")
            try await Terminal.print(
                [""] + facts.lines() + [""] + ClusterReport.members(shown)
                    + ClusterReport.notes(shown).map { "note: \($0.printable)" })
        }
        if let failure { throw failure }
    }

    private func readinessCheck(_ specification: ClusterSpecification?) throws -> ReadinessCheck {
        let isNamed = connection.coordinator != nil
        return ReadinessCheck(
            address: try isNamed
                ? connection.address() : specification?.coordinator.advertise ?? connection.address(),
            tls: connection.tls.files ?? specification?.coordinator.tls.map { TLSFiles($0) },
            token: try connection.token.text(),
            expected: specification?.workers.map(\.name) ?? [],
            logger: log.logger("doctor", normally: .critical))
    }

    private func asked(_ check: ReadinessCheck) async -> Result<ClusterState, Failure> {
        do {
            if let ready { return .success(try await check.wait(upTo: .seconds(ready))) }
            let state = try await check.state(timeout: .seconds(5))
            let readiness = Readiness(state, expected: check.expected)
            return readiness.isReady
                ? .success(state)
                : .failure(
                    Failure(
                        "the cluster is not ready: \(readiness.missing.joined(separator: "; "))",
                        exitCode: ExitStatus.failure))
        } catch let failure as Failure {
            return .failure(failure)
        } catch {
            return .failure(Failure("\(error)"))
        }
    }

    /// What in a specification will not work on this machine, and what there is to know of its models.
    private static func notes(_ specification: ClusterSpecification) -> [String] {
        Set(specification.workers.map(\.model) + [specification.model]).sorted().flatMap { path -> [String] in
            guard FileManager.default.isReadableFile(atPath: path) else {
                return ["the model file \(path) is not on this machine, or cannot be read"]
            }
            do throws(ModelError) {
                return try Model(path: path).remarks.map { "\(path): \($0)" }
            } catch { return ["\(error)"] }
        }
    }
}
