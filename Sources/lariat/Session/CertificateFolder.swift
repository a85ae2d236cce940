// The certificates of a specification in a folder: made where there are none, renewed where there are.

internal import Certificates
package import Cluster
package import Foundation
import WholeFiles

/// Makes and renews the files of `lariat cluster certs`.
package struct CertificateFolder {
    package struct Written {
        package let plan: PlannedCertificate
        package let validUntil: Date
        package let hasNewKey: Bool
    }

    package struct Report {
        /// Paths of the authority's files, and until when it is valid.
        package let authority: (certificate: String, key: String, validUntil: Date)
        package let authorityIsNew: Bool
        /// One for each planned certificate, in their order.
        package let written: [Written]
    }

    let specification: ClusterSpecification
    let folder: String
    /// Where the authority is, if elsewhere.
    let authorityFolder: String?
    let days: Int
    /// Whether keys, and certificates that another authority signed, are replaced.
    let force: Bool

    package init(
        specification: ClusterSpecification, folder: String, authorityFolder: String? = nil,
        days: Int = CertificateAuthority.defaultDays, force: Bool = false
    ) {
        self.specification = specification
        self.folder = folder
        self.authorityFolder = authorityFolder
        self.days = days
        self.force = force
    }

    private struct File {
        let path: String
        let text: String
        let readers: AtomicFile.Readers
        let replaces: Bool
    }

    /// Everything is made before the first file is written, so that an error changes nothing. A process keeps its key:
    /// old and new certificates fit it, and one after the other may be put in place.
    package func make(at now: Date) throws -> Report {
        let name = specification.certificateAuthorityFile
        let source = authorityFolder ?? folder
        let certificatePath = Self.path(source, name)
        let keyPath = Self.path(source, ClusterSpecification.keyFile(of: name))
        var files: [File] = []
        let known = try existingAuthority(certificatePath, keyPath)
        let authority =
            try known
            ?? Self.saying(certificatePath) { () throws(CertificateError) in
                try CertificateAuthority.make(at: now)
            }
        if known == nil {
            files.append(
                File(
                    path: keyPath, text: authority.credentials.keyPEM, readers: .owner,
                    replaces: false))
            files.append(
                File(
                    path: certificatePath, text: authority.credentials.certificatePEM, readers: .everybody,
                    replaces: false))
        }
        let authorityFacts = try Self.saying(certificatePath) { () throws(CertificateError) in
            try CertificateFacts(pem: authority.credentials.certificatePEM)
        }
        if authorityFolder != nil, let copy = try copyOfAuthority(authority, named: name) {
            files.append(copy)
        }
        var written: [Written] = []
        for plan in specification.plannedCertificates {
            let (certificate, key) = (
                Self.path(folder, plan.certificateFile), Self.path(folder, plan.keyFile)
            )
            try checkMayReplace(certificate, signedBy: authorityFacts, certificatePath)
            let old = Self.exists(key) && !force ? try AtomicFile.readText(key) : nil
            let made = try Self.saying(key) { () throws(CertificateError) in
                try authority.issue(name: plan.name, hosts: plan.hosts, days: days, keyPEM: old, at: now)
            }
            if old == nil {
                files.append(File(path: key, text: made.keyPEM, readers: .owner, replaces: force))
            }
            files.append(
                File(path: certificate, text: made.certificatePEM, readers: .everybody, replaces: true))
            let facts = try Self.saying(certificate) { () throws(CertificateError) in
                try CertificateFacts(pem: made.certificatePEM)
            }
            written.append(Written(plan: plan, validUntil: facts.validUntil, hasNewKey: old == nil))
        }
        try Self.makeFolder(folder)
        for file in files {
            try AtomicFile.write(file.text, to: file.path, for: file.readers, replaces: file.replaces)
        }
        return Report(
            authority: (certificatePath, keyPath, authorityFacts.validUntil), authorityIsNew: known == nil,
            written: written)
    }

    /// nil: there is none yet.
    private func existingAuthority(_ certificate: String, _ key: String) throws -> CertificateAuthority? {
        switch (Self.exists(certificate), Self.exists(key)) {
        case (true, true):
            let (certificatePEM, keyPEM) = (
                try AtomicFile.readText(certificate), try AtomicFile.readText(key)
            )
            return try Self.saying("\(certificate) and \(key)") { () throws(CertificateError) in
                try CertificateAuthority(certificatePEM: certificatePEM, keyPEM: keyPEM)
            }
        case (false, false):
            guard authorityFolder == nil else {
                throw Failure(
                    "\(certificate): there is no authority; leave --ca-dir out to make a new one, which no process "
                        + "that runs now will trust", exitCode: ExitStatus.unreadableInput)
            }
            return nil
        case (true, false):
            throw Failure(
                "\(key): the key of the authority \(certificate) is not there; name the folder that has both by "
                    + "--ca-dir, or make a new authority and all certificates anew in an empty folder",
                exitCode: ExitStatus.unreadableInput)
        case (false, true):
            throw Failure(
                "\(certificate): is not there, but its key \(key) is; put it back, or make everything anew in an "
                    + "empty folder", exitCode: ExitStatus.unreadableInput)
        }
    }

    /// The authority's certificate (never its key) beside those of the processes; nil: it is there.
    private func copyOfAuthority(_ authority: CertificateAuthority, named name: String) throws -> File? {
        let path = Self.path(folder, name)
        let text = authority.credentials.certificatePEM
        if Self.exists(path) {
            // The authority's own folder may be meant, by another path.
            let there = try AtomicFile.readText(path)
            let isSame = try? CertificateFacts(pem: there).isSame(as: CertificateFacts(pem: text))
            if isSame == true { return nil }
            guard force else {
                throw Failure("\(path): is another authority; take another folder, or replace it by --force")
            }
        }
        return File(path: path, text: text, readers: .everybody, replaces: force)
    }

    private func checkMayReplace(
        _ path: String, signedBy authority: CertificateFacts, _ authorityPath: String
    ) throws {
        guard Self.exists(path), !force else { return }
        let text = try AtomicFile.readText(path)
        guard let facts = try? CertificateFacts(pem: text), facts.isSigned(by: authority) else {
            throw Failure(
                "\(path): is there, and \(authorityPath) did not sign it; take another folder, or replace it and its "
                    + "key by --force")
        }
    }

    private static func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw Failure("\(path): the folder cannot be made: \(String(cString: strerror(errno)))")
        }
    }

    private static func path(_ folder: String, _ file: String) -> String {
        folder == "." ? file : folder.hasSuffix("/") ? folder + file : folder + "/" + file
    }

    private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Says of which file an error speaks.
    private static func saying<T>(_ path: String, _ body: () throws(CertificateError) -> T) throws(Failure)
        -> T
    {
        do throws(CertificateError) { return try body() } catch { throw Failure("\(path): \(error)") }
    }
}
