// Certificates as openssl sees them: chain, names, purposes, time; and as they are read back.
import Certificates
import Foundation
import Testing

@Suite("Certificates")
struct CertificateTests {
    static let hosts = ["rope-1.example.org", "node_2", "10.0.0.2", "2001:db8::3", "::1", "localhost"]

    /// A folder for the files of one test.
    struct Folder: ~Copyable {
        let url = FileManager.default.temporaryDirectory.appending(component: "certificates-\(UUID())")

        init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(at: url) }

        func write(_ name: String, _ text: String) throws -> String {
            let path = url.appending(component: name).path
            try Data(text.utf8).write(to: URL(filePath: path))
            return path
        }
    }

    /// What openssl prints, standard error included, and its exit status.
    static func openssl(_ arguments: String...) throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    @Test("openssl: the chain, the purposes, the names, the key")
    func openssl() throws {
        let folder = try Folder()
        let authority = try CertificateAuthority.make(at: Date())
        let issued = try authority.issue(name: "alpha", hosts: Self.hosts, days: 90, at: Date())
        let ca = try folder.write("ca.pem", authority.credentials.certificatePEM)
        let certificate = try folder.write("alpha.pem", issued.certificatePEM)
        let key = try folder.write("alpha.key", issued.keyPEM)
        for purpose in ["sslserver", "sslclient"] {
            let result = try Self.openssl(
                "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, certificate)
            #expect(result.status == 0, "\(result.text)")
        }
        for (option, value, isRight) in [
            ("-verify_hostname", "rope-1.example.org", true), ("-verify_ip", "10.0.0.2", true),
            ("-verify_ip", "2001:db8:0::3", true), ("-verify_hostname", "rope-2.example.org", false),
            ("-verify_ip", "10.0.0.3", false),
        ] {
            let result = try Self.openssl("verify", option, value, "-CAfile", ca, certificate)
            #expect((result.status == 0) == isRight, "\(value): \(result.text)")
        }
        // A process may sign nothing, and an authority serves nobody.
        let asAuthority = try Self.openssl("x509", "-noout", "-purpose", "-in", certificate).text
        #expect(asAuthority.contains("SSL server CA : No") && asAuthority.contains("SSL client : Yes"))
        let text = try Self.openssl("x509", "-noout", "-text", "-in", certificate).text
        #expect(
            text.contains("ASN1 OID: prime256v1") && text.contains("Signature Algorithm: ecdsa-with-SHA256"))
        #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
        #expect(text.contains("IP Address:2001:DB8:0:0:0:0:0:3") && text.contains("DNS:node_2"))
        let caText = try Self.openssl("x509", "-noout", "-text", "-in", ca).text
        #expect(caText.contains("CA:TRUE, pathlen:0") && caText.contains("Certificate Sign, CRL Sign"))
        // 90 days, give or take the hour that clocks may differ.
        #expect(
            try Self.openssl("x509", "-noout", "-checkend", "\(90 * 86_400 - 60)", "-in", certificate).status
                == 0)
        #expect(
            try Self.openssl("x509", "-noout", "-checkend", "\(90 * 86_400 + 60)", "-in", certificate).status
                == 1)
        #expect(try Self.openssl("x509", "-noout", "-checkend", "\(3649 * 86_400)", "-in", ca).status == 0)
        let ofKey = try Self.openssl("pkey", "-pubout", "-in", key)
        let ofCertificate = try Self.openssl("x509", "-noout", "-pubkey", "-in", certificate)
        #expect(ofKey.text == ofCertificate.text && ofKey.text.contains("PUBLIC KEY"))
    }

    @Test("An authority that is read again signs what the old certificates' owners accept")
    func renewal() throws {
        let folder = try Folder()
        let authority = try CertificateAuthority.make(at: Date())
        let again = try CertificateAuthority(
            certificatePEM: authority.credentials.certificatePEM, keyPEM: authority.credentials.keyPEM)
        let ca = try folder.write("ca.pem", authority.credentials.certificatePEM)
        let renewed = try folder.write(
            "new.pem", try again.issue(name: "alpha", hosts: ["a"], at: Date()).certificatePEM)
        #expect(try Self.openssl("verify", "-x509_strict", "-CAfile", ca, renewed).status == 0)
        let stranger = try folder.write(
            "ca2.pem", try CertificateAuthority.make(at: Date()).credentials.certificatePEM)
        #expect(try Self.openssl("verify", "-CAfile", stranger, renewed).status != 0)
    }

    @Test("A renewed certificate fits the old key")
    func sameKey() throws {
        let now = Date()
        let authority = try CertificateAuthority.make(at: now)
        let old = try authority.issue(name: "alpha", hosts: ["10.0.0.1"], days: 1, at: now)
        let new = try authority.issue(name: "alpha", hosts: ["10.0.0.2"], keyPEM: old.keyPEM, at: now)
        let facts = try CertificateFacts(pem: new.certificatePEM)
        #expect(
            facts.isPair(withKeyPEM: old.keyPEM) && facts.covers("10.0.0.2") && facts.daysLeft(at: now) > 800)
        #expect(try !facts.isSame(as: CertificateFacts(pem: old.certificatePEM)))
        #expect(throws: CertificateError.self) {
            try authority.issue(name: "alpha", hosts: [], keyPEM: "-----BEGIN PRIVATE KEY-----", at: now)
        }
    }

    @Test("An authority that openssl made is used as well")
    func foreignAuthority() throws {
        let folder = try Folder()
        let (ca, key) = (folder.url.path + "/ca.pem", folder.url.path + "/ca.key")
        let made = try Self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", ca,
            "-days", "2", "-subj", "/O=Lab/CN=Lab CA", "-addext", "keyUsage=critical,keyCertSign")
        #expect(made.status == 0, "\(made.text)")
        let authority = try CertificateAuthority(
            certificatePEM: String(contentsOfFile: ca, encoding: .utf8),
            keyPEM: String(contentsOfFile: key, encoding: .utf8))
        let issued = try authority.issue(name: "alpha", hosts: ["a"], at: Date())
        let certificate = try folder.write("a.pem", issued.certificatePEM)
        #expect(try Self.openssl("verify", "-CAfile", ca, certificate).status == 0)
        // It ends with its authority.
        let facts = try CertificateFacts(pem: issued.certificatePEM)
        #expect(facts.daysLeft(at: Date()) == 1 && facts.issuer == "Lab CA")
    }

    @Test("What a file says")
    func facts() throws {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let authority = try CertificateAuthority.make(name: "Ours", at: now)
        let issued = try authority.issue(name: "alpha", hosts: Self.hosts, days: 30, at: now)
        let ca = try CertificateFacts(pem: authority.credentials.certificatePEM)
        let facts = try CertificateFacts(pem: "# a note\n" + issued.certificatePEM)
        #expect(facts.name == "alpha" && facts.issuer == "Ours" && !facts.isAuthority)
        #expect(facts.hosts == Self.hosts && facts.isForServers && facts.isForClients)
        #expect(facts.validUntil == now + 30 * 86_400 && facts.validFrom == now - 3600)
        #expect(facts.daysLeft(at: now + 29.5 * 86_400) == 0 && facts.daysLeft(at: now + 31.5 * 86_400) == -2)
        #expect(
            facts.covers("ROPE-1.example.org") && facts.covers("2001:0db8::0003")
                && facts.covers("fe80::1") == false)
        #expect(facts.covers("10.0.0.2") && !facts.covers("10.0.0.20") && !facts.covers("example.org"))
        #expect(facts.isSigned(by: ca) && !facts.isSigned(by: facts) && ca.isAuthority && ca.hosts.isEmpty)
        let other = try CertificateFacts(
            pem: CertificateAuthority.make(name: "Ours", at: now).credentials.certificatePEM)
        #expect(!facts.isSigned(by: other))
        #expect(
            facts.isPair(withKeyPEM: issued.keyPEM) && !facts.isPair(withKeyPEM: authority.credentials.keyPEM)
        )
        #expect(!facts.isPair(withKeyPEM: "nonsense"))
    }

    @Test("What is wrong is said, and no key is")
    func errors() throws {
        let now = Date()
        let authority = try CertificateAuthority.make(at: now)
        let other = try CertificateAuthority.make(at: now)
        let issued = try authority.issue(name: "alpha", hosts: [], at: now)
        #expect(try CertificateFacts(pem: issued.certificatePEM).hosts.isEmpty)
        func says(_ text: String, _ body: () throws -> Void) {
            let error = #expect(throws: CertificateError.self, performing: body)
            #expect(error?.description.contains(text) == true, "\(error?.description ?? "none")")
            #expect(error?.description.contains("PRIVATE KEY") == false)
        }
        let pem = authority.credentials.certificatePEM
        says("does not belong") {
            _ = try CertificateAuthority(certificatePEM: pem, keyPEM: other.credentials.keyPEM)
        }
        says("none of an authority") {
            _ = try CertificateAuthority(certificatePEM: issued.certificatePEM, keyPEM: issued.keyPEM)
        }
        says("no P-256 key") { _ = try CertificateAuthority(certificatePEM: pem, keyPEM: pem) }
        says("no certificate in it") { _ = try CertificateFacts(pem: issued.keyPEM) }
        says("larger than 1 MiB") { _ = try CertificateFacts(pem: String(repeating: "x", count: 1 << 21)) }
        says("0 days") { _ = try authority.issue(name: "a", hosts: [], days: 0, at: now) }
        says("3651 days") { _ = try authority.issue(name: "a", hosts: [], days: 3651, at: now) }
        says("1 to 64") { _ = try authority.issue(name: "", hosts: [], at: now) }
        says("1 to 64") {
            _ = try authority.issue(name: String(repeating: "x", count: 65), hosts: [], at: now)
        }
        for host in ["", "a b", "10.0.0", "300.1.1.1", "-a", "[::1]", "a:1", "höst", "*.a"] {
            says("neither a host's name nor an IP address") {
                _ = try authority.issue(name: "a", hosts: [host], at: now)
            }
        }
        says("ended on") { _ = try authority.issue(name: "a", hosts: [], at: now + 3651 * 86_400) }
        // Damage in any place is an error or a certificate, never a crash.
        let bytes = Array(pem.utf8)
        for at in bytes.indices {
            var damaged = bytes
            damaged[at] = damaged[at] == 0x41 ? 0x42 : 0x41
            _ = try? CertificateFacts(pem: String(decoding: damaged, as: UTF8.self))
        }
    }

    @Test("Keys are not shown by descriptions")
    func secrets() throws {
        let credentials = try CertificateAuthority.make(at: Date()).credentials
        var shown = "\(credentials)" + String(reflecting: credentials)
        dump(credentials, to: &shown)
        let secret = credentials.keyPEM.split(separator: "\n")[1]
        #expect(!shown.contains(secret))
    }
}
