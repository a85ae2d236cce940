// What of a specification can be checked on this host before anything starts: the files that it names, and its ports.

internal import Certificates
package import Cluster
import CoreFoundation
package import Foundation

/// Finds what will not work, and what soon will not.
package struct SpecificationCheck {
    /// A certificate that ends sooner is remarked.
    package static let soonDays = 30

    let specification: ClusterSpecification
    let now: Date
    /// Names of processes that run on this host: their files must be here, and their ports free.
    let here: Set<String>
    /// In the order in which they were found; each names the file at fault.
    package private(set) var errors: [ClusterError] = []
    package private(set) var remarks: [ClusterError]
    /// Until when each process's certificate is valid; processes whose certificate is not on this host are missing.
    package private(set) var validUntil: [String: Date] = [:]
    private var said: Set<String> = []

    package init(_ specification: ClusterSpecification, here: [String] = [], at now: Date) {
        self.specification = specification
        self.here = Set(here)
        self.now = now
        remarks = specification.remarks
    }

    package mutating func checkAll() {
        checkCertificates(of: nil)
        checkModels()
        checkTokens()
        checkPorts()
    }

    private struct Process {
        let name: String
        let tls: ClusterSpecification.TLSFiles?
        /// Where peers connect to it.
        let advertised: [HostPort]
        let model: String
        let listeners: [(key: String, address: HostPort)]
    }

    private var processes: [Process] {
        let coordinator = specification.coordinator
        func optional(_ key: String, _ address: HostPort?) -> [(key: String, address: HostPort)] {
            address.map { [(key, $0)] } ?? []
        }
        return [
            Process(
                name: "coordinator", tls: coordinator.tls, advertised: [coordinator.advertise],
                model: specification.model,
                listeners: [("listen", coordinator.listen)] + optional("web", coordinator.web)
                    + optional("metrics", coordinator.metrics))
        ]
            + specification.workers.map {
                Process(
                    name: $0.name, tls: $0.tls, advertised: [$0.advertise, $0.ringAdvertise], model: $0.model,
                    listeners: [("listen", $0.listen), ("ring", $0.ring)] + optional("metrics", $0.metrics))
            }
    }

    // MARK: Certificates

    /// - Parameter names: of processes; nil: all.
    package mutating func checkCertificates(of names: Set<String>?) {
        for process in processes where names?.contains(process.name) ?? true {
            guard let tls = process.tls else { continue }
            let authority = authority(tls.ca, for: process.name)
            guard let text = text(of: tls.certificate, for: process.name) else {
                checkKey(tls.key, of: nil, for: process.name)
                continue
            }
            do {
                let facts = try CertificateFacts(pem: text)
                validUntil[process.name] = facts.validUntil
                checkDates(facts, tls.certificate)
                if let authority, !facts.isSigned(by: authority) {
                    fail(
                        tls.certificate,
                        "\(tls.ca) did not sign it; its issuer is \(facts.issuer.debugDescription)")
                }
                if !facts.isForServers || !facts.isForClients {
                    fail(
                        tls.certificate,
                        "is not for both servers and clients, which every process of a cluster is")
                }
                let missing = process.advertised.map(\.host).filter { !facts.covers($0) }
                if let host = missing.first {
                    fail(
                        tls.certificate,
                        "does not name \(host), where others reach \(process.name); make it anew with that name or "
                            + "address")
                }
                checkKey(tls.key, of: facts, for: process.name)
            } catch {
                fail(tls.certificate, "\(error)")
            }
        }
    }

    private mutating func authority(_ path: String, for process: String) -> CertificateFacts? {
        guard let text = text(of: path, for: process) else { return nil }
        do {
            let facts = try CertificateFacts(pem: text)
            if !facts.isAuthority { fail(path, "is no certificate of an authority: it may sign nothing") }
            checkDates(facts, path)
            return facts
        } catch {
            fail(path, "\(error)")
            return nil
        }
    }

    private mutating func checkDates(_ facts: CertificateFacts, _ path: String) {
        if facts.validUntil <= now {
            fail(path, "ended on \(Self.day(facts.validUntil)); renew it: lariat cluster certs")
        } else if facts.validFrom > now {
            fail(
                path,
                "is valid only from \(facts.validFrom.formatted(.iso8601)): is this host's clock right?")
        } else if facts.daysLeft(at: now) < Self.soonDays {
            let days = facts.daysLeft(at: now)
            remark(
                path,
                "ends on \(Self.day(facts.validUntil)), in \(days) day\(days == 1 ? "" : "s"); renew it: lariat "
                    + "cluster certs")
        }
    }

    private mutating func checkKey(_ path: String, of facts: CertificateFacts?, for process: String) {
        guard let text = text(of: path, for: process) else { return }
        if let facts, !facts.isPair(withKeyPEM: text) {
            fail(path, "is not the key of \(process)'s certificate, or none in PEM without a password")
        }
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & 0o007 != 0 {
            remark(path, "everybody on this host may read this private key; chmod o= \(path)")
        }
    }

    // MARK: Other files

    private mutating func checkModels() {
        for process in processes where isHere(process.model, for: process.name) {
            guard let file = FileHandle(forReadingAtPath: process.model) else {
                fail(process.model, "the model cannot be read; check its permissions")
                continue
            }
            defer { try? file.close() }
            if (try? file.read(upToCount: 4)) != Data("GGUF".utf8) {
                fail(process.model, "is no model in the GGUF format")
            }
        }
    }

    private mutating func checkTokens() {
        guard let path = specification.tokens, isHere(path, for: "coordinator") else { return }
        do throws(ClusterError) {
            let store = try TokenStore.load(path)
            remarks += store.remarks
            if store.count == 0 {
                remark(path, "has no tokens yet, so nobody is let in; lariat cluster token makes them")
            }
        } catch { errors.append(error) }
    }

    // MARK: Ports

    private mutating func checkPorts() {
        for process in processes where here.contains(process.name) {
            for (key, address) in process.listeners where address.port != 0 {
                if let problem = ListenerProbe.problem(address) {
                    errors.append(
                        ClusterError(
                            path: specification.path, line: nil, key: nil,
                            problem: "\(process.name) cannot listen on \(address) (\(key)): \(problem)"))
                }
            }
        }
    }

    // MARK: Findings

    /// nil, with an error if it should be otherwise: the file is not here.
    private mutating func text(of path: String, for process: String) -> String? {
        guard isHere(path, for: process) else { return nil }
        do throws(Failure) { return try AtomicFile.readText(path) } catch {
            fail(path, String(error.message.trimmingPrefix("\(path): ")))
            return nil
        }
    }

    private mutating func isHere(_ path: String, for process: String) -> Bool {
        if FileManager.default.fileExists(atPath: path) { return true }
        if here.contains(process) { fail(path, "is not there; \(process) needs it on this host") }
        return false
    }

    /// What several processes share is said once.
    private mutating func fail(_ path: String, _ problem: String) {
        let error = ClusterError(path: path, line: nil, key: nil, problem: problem)
        if said.insert("\(error)").inserted { errors.append(error) }
    }

    private mutating func remark(_ path: String, _ problem: String) {
        let remark = ClusterError(path: path, line: nil, key: nil, problem: problem)
        if said.insert("\(remark)").inserted { remarks.append(remark) }
    }

    /// `2028-02-29`, in UTC.
    package static func day(_ date: Date) -> String { String(date.formatted(.iso8601).prefix(10)) }
}
