// Files of a cluster: written whole, certificates made and renewed, tokens changed one at a time, and what check finds.

import Certificates
import Cluster
import Foundation
import Testing
import WholeFiles
import lariat

@Suite("Files of a cluster") struct ClusterFilesTests {
    private static let text = """
        model: m.gguf
        coordinator: { listen: 10.0.0.1:7400, tls: { certificate: tls/c.pem, key: tls/c.key } }
        workers:
          - { name: a, listen: 10.0.0.2:1, ring: 10.0.0.2:2, memory: 1GiB, tls: { certificate: tls/a.pem, key: tls/a.key } }
        tls: { ca: tls/ca.pem }
        isa: avx2
        """

    private func withFolder(_ body: (String, ClusterSpecification) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(component: "cluster-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder, ClusterSpecification.parse(Self.text, path: folder + "/cluster.yaml"))
    }

    private func mode(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func contents(_ folder: String) throws -> [String: String] {
        var found: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            found[name] = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
        }
        return found
    }

    @Test("A file is written whole, for its readers, and replaces another only if asked to")
    func atomic() throws {
        try withFolder { folder, _ in
            let path = folder + "/file"
            try AtomicFile.write("one", to: path, for: .owner, replaces: false)
            #expect(try mode(path) == 0o600)
            #expect(throws: Failure.self) {
                try AtomicFile.write("two", to: path, for: .owner, replaces: false)
            }
            #expect(try contents(folder) == ["file": "one"])
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: path)
            try AtomicFile.write("three", to: folder + "/link", for: .owner)
            #expect(try contents(folder) == ["file": "three", "link": "three"])
            #expect(try mode(path) == 0o640)
            #expect(try AtomicFile.readText(path, limit: 5) == "three")
            let large = #expect(throws: Failure.self) { try AtomicFile.readText(path, limit: 4) }
            #expect(large?.exitCode == ExitStatus.unreadableInput)
            #expect(throws: Failure.self) { try AtomicFile.readText(folder) }
            #expect(throws: Failure.self) { try AtomicFile.readText(folder + "/none") }
        }
    }

    @Test("Certificates are made, renewed with their keys, and anew by force")
    func certificates() throws {
        try withFolder { folder, specification in
            let tls = folder + "/tls"
            let now = Date()
            let first = try CertificateFolder(specification: specification, folder: tls, days: 10).make(
                at: now)
            #expect(first.authorityIsNew && first.written.map(\.plan.name) == ["coordinator", "a", "client"])
            let made = try contents(tls)
            #expect(made.count == 8)
            for name in made.keys {
                #expect(try mode("\(tls)/\(name)") == (name.hasSuffix(".key") ? 0o600 : 0o644))
            }
            var check = SpecificationCheck(specification, here: ["a"], at: now)
            check.checkCertificates(of: nil)
            #expect(check.errors.isEmpty && check.remarks.count == 2, "\(check.errors) \(check.remarks)")
            #expect(check.validUntil.keys.sorted() == ["a", "coordinator"])

            let second = try CertificateFolder(specification: specification, folder: tls).make(at: now)
            #expect(!second.authorityIsNew && second.written.allSatisfy { !$0.hasNewKey })
            let renewed = try contents(tls)
            for name in made.keys {
                let isRenewed = name.hasSuffix(".pem") && name != "ca.pem"
                #expect((made[name] != renewed[name]) == isRenewed, "\(name)")
            }
            check = SpecificationCheck(specification, here: ["a"], at: now)
            check.checkCertificates(of: nil)
            #expect(check.errors.isEmpty && check.remarks.isEmpty)

            _ = try CertificateFolder(specification: specification, folder: tls, force: true).make(at: now)
            let forced = try contents(tls)
            #expect(forced["a.key"] != made["a.key"] && forced["ca.key"] == made["ca.key"])
            // In eleven years everything has ended.
            check = SpecificationCheck(specification, at: now + 11 * 365 * 86_400)
            check.checkCertificates(of: nil)
            #expect(check.errors.count == 3 && check.errors.allSatisfy { $0.problem.contains("ended on") })
        }
    }

    @Test("What does not fit is refused before anything is written")
    func misfits() throws {
        try withFolder { folder, specification in
            let (one, two) = (folder + "/one", folder + "/two")
            let now = Date()
            _ = try CertificateFolder(specification: specification, folder: one).make(at: now)
            _ = try CertificateFolder(specification: specification, folder: two).make(at: now)
            let before = try contents(two)
            func refused(_ certificates: CertificateFolder, _ word: String) throws {
                let failure = #expect(throws: Failure.self) { try certificates.make(at: now) }
                #expect(failure?.message.contains(word) == true, "\(failure?.message ?? "")")
            }
            try refused(
                CertificateFolder(specification: specification, folder: two, authorityFolder: one),
                "another authority")
            try refused(
                CertificateFolder(specification: specification, folder: two, authorityFolder: folder),
                "there is no authority")
            #expect(try contents(two) == before)
            try FileManager.default.removeItem(atPath: two + "/ca.key")
            try refused(CertificateFolder(specification: specification, folder: two), "is not there")
            _ = try CertificateFolder(
                specification: specification, folder: two, authorityFolder: one, force: true
            ).make(at: now)
            #expect(try contents(two)["ca.pem"] == contents(one)["ca.pem"])
            #expect(try contents(two)["ca.key"] == nil)
        }
    }

    @Test("A chat template is one that Lariat has, or a file that can be run")
    func templates() throws {
        try withFolder { folder, _ in
            func findings(_ template: String, here: [String] = []) throws -> (
                errors: [String], remarks: [String]
            ) {
                var check = SpecificationCheck(
                    try ClusterSpecification.parse(
                        Self.text.replacing("7400, ", with: "7400, template: \(template), "),
                        path: folder + "/cluster.yaml"), here: here, at: Date())
                check.checkAll()
                func told(_ found: [ClusterError]) -> [String] {
                    found.map { "\($0)" }.filter { $0.contains("template") || $0.contains("own.jinja") }
                }
                return (told(check.errors), told(check.remarks))
            }
            let named = try findings("chatml")
            #expect(named.errors.isEmpty && named.remarks.isEmpty)
            let wrong = try findings("chatlm").errors
            #expect(wrong.count == 1 && wrong[0].contains("no chat template called chatlm"), "\(wrong)")
            #expect(wrong[0].contains("chatml, ") && wrong[0].contains("./chatlm"), "\(wrong)")
            let absent = try findings("own.jinja")
            #expect(absent.errors.isEmpty && absent.remarks.count == 1, "\(absent)")
            #expect(absent.remarks[0].contains("own.jinja: the chat template is not here"), "\(absent)")
            let needed = try findings("own.jinja", here: ["coordinator"]).errors
            #expect(
                needed.count == 1 && needed[0].contains("is not there; coordinator needs it"), "\(needed)")
            let path = folder + "/own.jinja"
            try Data("{{ messages".utf8).write(to: URL(filePath: path))
            let broken = try findings("own.jinja").errors
            #expect(broken.count == 1 && broken[0].contains("own.jinja: ") && broken[0].contains("line 1"))
            try Data("{{ messages[0].content }}".utf8).write(to: URL(filePath: path))
            let right = try findings("own.jinja")
            #expect(right.errors.isEmpty && right.remarks.isEmpty, "\(right)")
        }
    }

    @Test("Only processes of this host must have their files here")
    func here() throws {
        try withFolder { _, specification in
            var check = SpecificationCheck(specification, at: Date())
            check.checkAll()
            #expect(check.errors.isEmpty && check.validUntil.isEmpty)
            check = SpecificationCheck(specification, here: ["a"], at: Date())
            check.checkAll()
            let problems = check.errors.map { "\($0)" }.joined(separator: "\n")
            for file in ["ca.pem", "a.pem", "a.key", "m.gguf"] {
                #expect(problems.contains("\(file): is not there; a needs it"), "\(problems)")
            }
            #expect(problems.contains("10.0.0.2:1 (listen): this host has no such address"))
            #expect(throws: Failure.self) {
                try ProcessSelection.check(["b"], of: specification, option: "--here")
            }
        }
    }
}
