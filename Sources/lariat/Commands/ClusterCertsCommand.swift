// lariat cluster certs: an authority and a certificate for each process of a specification.

internal import ArgumentParser
internal import Certificates
internal import Cluster
import Foundation

struct ClusterCertsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs", abstract: "Make the certificates of a cluster, or renew them.",
        discussion: """
            Makes an authority of the cluster's own, if the folder has none, a certificate and key for each process, valid \
            for the names and addresses of the specification, and client.pem for people. Run again, it renews the \
            certificates and keeps the keys. The authority's key makes new certificates: keep it off the hosts.
            """)

    @Argument(help: ArgumentHelp("The cluster specification.", valueName: "spec"), completion: .file())
    var specification: String
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: ArgumentHelp("The folder for all files; made if absent.", valueName: "dir"),
        completion: .directory)
    var output: String
    @Option(
        help: ArgumentHelp("How long the certificates are valid, 1 to 3650 days.", valueName: "days"))
    var days: Int = CertificateAuthority.defaultDays
    @Option(
        help: ArgumentHelp(
            "The folder of the authority and its key (default: that of --output, made there if absent).",
            valueName: "dir"), completion: .directory)
    var caDir: String?
    @Flag(help: "Make new keys where there are some, and replace certificates of another authority.")
    var force = false

    func validate() throws {
        guard CertificateAuthority.allowedDays.contains(days) else {
            throw ValidationError("--days: from 1 to 3650")
        }
        guard !output.isEmpty, caDir != "" else { throw ValidationError("a folder's name is empty") }
    }

    func execute() async throws {
        let specification = try ClusterSpecification.load(specification, for: .certificates)
        let now = Date()
        let report = try CertificateFolder(
            specification: specification, folder: output, authorityFolder: caDir, days: days, force: force
        ).make(at: now)
        let authority = report.authority
        let until = SpecificationCheck.day(authority.validUntil)
        var lines = [
            report.authorityIsNew
                ? "new authority \(authority.certificate), valid until \(until). Keep \(authority.key) off the hosts, and "
                    + "back it up"
                : "authority \(authority.certificate), valid until \(until)",
            "",
        ]
        var table = Table([
            ("certificate", .left), ("key", .left), ("valid until", .left), ("for", .left),
        ])
        for written in report.written {
            let plan = written.plan
            table.add([
                plan.certificateFile, plan.keyFile + (written.hasNewKey ? "" : " (kept)"),
                SpecificationCheck.day(written.validUntil),
                plan.processes.isEmpty ? "people and other clients" : plan.processes.joined(separator: ", "),
            ])
        }
        lines += table.lines()
        try await Terminal.print(lines.map(\.printable))
        if let last = report.written.first?.validUntil, last < now + TimeInterval(days - 1) * 86_400 {
            Terminal.note("the certificates end with their authority, before \(days) days are over")
        }
        for note in Self.notes(specification, folder: output, report) { Terminal.note(note.printable) }
    }

    /// What is left to do before the specification finds these files.
    private static func notes(
        _ specification: ClusterSpecification, folder: String, _ report: CertificateFolder.Report
    ) -> [String] {
        func tls(_ name: String) -> ClusterSpecification.TLSFiles? {
            name == "coordinator" ? specification.coordinator.tls : specification.worker(named: name)?.tls
        }
        let here = URL(filePath: folder).standardizedFileURL.path
        for plan in report.written.map(\.plan) {
            for process in plan.processes {
                guard let files = tls(process) else {
                    return [
                        "\(specification.path) has no tls yet: write tls: { ca: \(specification.certificateAuthorityFile) } "
                            + "at its top, and each process's files at the process, e.g. tls: { certificate: "
                            + "\(plan.certificateFile), key: \(plan.keyFile) }"
                    ]
                }
                guard files.certificate == "\(here)/\(plan.certificateFile)" else {
                    return [
                        "\(specification.path) looks for \(files.certificate); put these files there, on the hosts or here"
                    ]
                }
            }
        }
        return []
    }
}
