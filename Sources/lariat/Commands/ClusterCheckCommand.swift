// lariat cluster check: a specification, and what of it this host has, before anything starts.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import JSONText

struct ClusterCheckCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a specification, its certificates and its other files.",
        discussion: """
            Files that are not on this host are not checked, unless --here names a process that runs on it: then its \
            files must be here, its ports free, and its threads and memory there. Exits with 0 if nothing is wrong, remarks or not; with 64 if the specification is wrong; with 1 if a file or a port is.
            """)

    @Argument(help: ArgumentHelp("The cluster specification.", valueName: "spec"), completion: .file())
    var specification: String
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Processes of this host, by name or `coordinator`: their files must be here, and their ports free.",
            valueName: "name"))
    var here: [String] = []
    @OptionGroup var output: OutputOptions

    func execute() async throws {
        let specification: ClusterSpecification
        do throws(ClusterError) {
            specification = try ClusterSpecification.load(self.specification)
        } catch {
            guard output.json else { throw error }
            try await Terminal.print(json: Self.json(errors: [error], remarks: [], processes: []))
            throw ExitCode(ExitStatus.usage)
        }
        try ProcessSelection.check(here, of: specification, option: "--here")
        var check = SpecificationCheck(specification, here: here, at: Date())
        check.checkAll()
        let table = Self.processes(specification, check)
        if output.json {
            let processes = table.rows.map { row in
                JSONValue.object(
                    zip(["name", "host", "listens", "certificate"], row).map { ($0, .string($1)) })
            }
            try await Terminal.print(
                json: Self.json(errors: check.errors, remarks: check.remarks, processes: processes))
            if !check.errors.isEmpty { throw ExitCode(ExitStatus.failure) }
            return
        }
        try await Terminal.print(
            table.table.lines() + check.models.map { "model \($0.path): \($0.text)".printable })
        if !check.remarks.isEmpty {
            try await Terminal.print([""] + check.remarks.map { "remark: \($0)".printable })
        }
        if !check.errors.isEmpty {
            let count = check.errors.count
            for error in check.errors { Terminal.note("\(error)".printable) }
            throw Failure("\(specification.path): \(Quantity.counted(count, "error"))")
        }
        try await Terminal.print(["", "ok"])
    }

    private static func processes(
        _ specification: ClusterSpecification, _ check: SpecificationCheck
    ) -> (table: Table, rows: [[String]]) {
        var table = Table([
            ("process", .left), ("host", .left), ("listens", .left), ("certificate", .left),
        ])
        var rows: [[String]] = []
        func add(_ name: String, _ login: Login, _ listeners: [HostPort?], hasTLS: Bool) {
            let until = check.validUntil[name].map { "until \(SpecificationCheck.day($0))" }
            let row = [
                name, "\(login)", listeners.compactMap { $0.map { "\($0)" } }.joined(separator: " "),
                hasTLS ? until ?? "not on this host" : "none",
            ]
            table.add(row)
            rows.append(row)
        }
        let coordinator = specification.coordinator
        add(
            "coordinator", coordinator.login, [coordinator.listen, coordinator.web, coordinator.metrics],
            hasTLS: coordinator.tls != nil)
        for worker in specification.workers {
            add(
                worker.name, worker.login, [worker.listen, worker.ring, worker.metrics],
                hasTLS: worker.tls != nil)
        }
        return (table, rows)
    }

    private static func json(
        errors: [ClusterError], remarks: [ClusterError], processes: [JSONValue]
    ) -> JSONValue {
        func findings(_ findings: [ClusterError]) -> JSONValue {
            .array(
                findings.map {
                    .object([
                        ("file", .string($0.path)), ("line", $0.line.map { .integer(Int64($0)) } ?? .null),
                        ("key", $0.key.map { .string($0) } ?? .null), ("problem", .string($0.problem)),
                    ])
                })
        }
        return .object([
            ("ok", .bool(errors.isEmpty)), ("errors", findings(errors)), ("remarks", findings(remarks)),
            ("processes", .array(processes)),
        ])
    }
}
