// What of a specification can be checked on this host before anything starts: the files that it names, and its ports.

internal import Certificates
package import Cluster
import CoreFoundation
package import Foundation
import LongRoPE
internal import Transformer

/// Finds what will not work, and what soon will not.
package struct SpecificationCheck {
    /// A certificate that ends sooner is remarked.
    package static let soonDays = 30

    let specification: ClusterSpecification
    let now: Date
    /// What a worker may use here.
    let limits: ResourceLimits
    /// Names of processes that run on this host: their files must be here, and their ports free.
    let here: Set<String>
    /// In the order in which they were found; each names the file at fault.
    package private(set) var errors: [ClusterError] = []
    package private(set) var remarks: [ClusterError]
    /// Until when each process's certificate is valid; processes whose certificate is not on this host are missing.
    package private(set) var validUntil: [String: Date] = [:]
    /// What each model file that is on this host says of itself, in the order of the processes.
    package private(set) var models: [(path: String, text: String)] = []
    private var said: Set<String> = []

    package init(
        _ specification: ClusterSpecification, here: [String] = [], at now: Date,
        limits: ResourceLimits = .current
    ) {
        self.specification = specification
        self.here = Set(here)
        self.now = now
        self.limits = limits
        remarks = specification.remarks
    }

    package mutating func checkAll() {
        checkCertificates(of: nil)
        checkModels()
        checkTemplate()
        checkTokens()
        checkPorts()
        checkResources()
        if here.isEmpty {
            for missing in missingFiles(of: nil) { remark(missing.path, missing.problem) }
        }
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
                "ends on \(Self.day(facts.validUntil)), in \(Quantity.counted(days, "day")); renew it: lariat "
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
        var opened: Set<String> = []
        for process in processes where isHere(process.model, for: process.name) {
            guard opened.insert(process.model).inserted else { continue }
            // As the processes open it: what they would refuse is told here.
            do throws(ModelError) {
                let model = try Model(path: process.model)
                models.append(
                    (
                        process.model,
                        "\(model.name), window \(Quantity.count(UInt64(model.scaling.maximumContext))) tokens, "
                            + Quantity.bytes(Self.size(ofFile: process.model))
                    ))
            } catch { fail(process.model, String("\(error)".trimmingPrefix("\(process.model): "))) }
        }
    }

    /// In bytes, of what a symbolic link leads to; 0: it is not there.
    static func size(ofFile path: String) -> UInt64 {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(max(0, status.st_size)) : 0
    }

    /// Files that `lariat cluster up` would send and that are not here: for each folder, for the chat template and for
    /// the tokens, which, and what makes them.
    /// - Parameter names: of processes; nil: all.
    package func missingFiles(of names: Set<String>?) -> [ClusterError] {
        var folders: [(path: String, files: [String])] = []
        var (hasNoTokens, hasNoTemplate) = (false, false)
        for process in Deployment(specification).processes where names?.contains(process.name) ?? true {
            for path in process.files.compactMap(\.source)
            where !FileManager.default.fileExists(atPath: path) {
                guard path != specification.tokens else {
                    hasNoTokens = true
                    continue
                }
                guard path != specification.coordinator.templateFile else {
                    hasNoTemplate = true
                    continue
                }
                let (folder, file) = (
                    URL(filePath: path).deletingLastPathComponent().path,
                    URL(filePath: path).lastPathComponent
                )
                if !folders.contains(where: { $0.path == folder }) { folders.append((folder, [])) }
                for index in folders.indices
                where folders[index].path == folder && !folders[index].files.contains(file) {
                    folders[index].files.append(file)
                }
            }
        }
        func missing(_ path: String, _ what: String, _ remedy: String) -> ClusterError {
            ClusterError(
                path: path, line: nil, key: nil,
                problem: "\(what) not here for `lariat cluster up` to send; `\(remedy)` makes "
                    + (what.hasSuffix("is") ? "it" : "them"))
        }
        let tokens = hasNoTokens ? specification.tokens : nil
        let template = hasNoTemplate ? specification.coordinator.templateFile : nil
        let noTemplate = template.map {
            ClusterError(
                path: $0, line: nil, key: nil,
                problem:
                    "the chat template is not here for `lariat cluster up` to send; write it there, or name "
                    + "one of \(TemplateFile.names)")
        }
        return folders.map { folder in
            missing(
                folder.path,
                folder.files.joined(separator: ", ") + (folder.files.count == 1 ? " is" : " are"),
                "lariat cluster certs \(specification.path) -o \(folder.path)")
        } + [noTemplate].compactMap(\.self)
            + (tokens.map { [missing($0, "is", "lariat cluster token NAME --role ROLE --file \($0)")] } ?? [])
    }

    // MARK: Threads and memory

    private mutating func checkResources() {
        let workers = specification.workers.filter { here.contains($0.name) }
        for worker in workers where !worker.isForced {
            let problems = limits.excess(
                threads: worker.threads ?? max(1, worker.cores.count), cores: worker.cores,
                memoryBytes: UInt64(worker.memory.bytes), modelBytes: Self.size(ofFile: worker.model))
            for problem in problems { fail(specification.path, "\(worker.name): \(problem)") }
        }
        guard workers.count > 1, errors.isEmpty else { return }
        let memory = UInt64(
            clamping: workers.reduce(0) { $0.addingReportingOverflow($1.memory.bytes).partialValue })
        if memory > limits.memoryBytes, limits.memoryBytes > 0 {
            remark(
                specification.path,
                "\(workers.map(\.name).joined(separator: ", ")) together take \(Quantity.bytes(memory)) for keys and "
                    + "values, more than the memory here: \(limits.memoryText)")
        }
    }

    private mutating func checkTemplate() {
        guard let template = specification.coordinator.template else { return }
        if let path = specification.coordinator.templateFile, !isHere(path, for: "coordinator") { return }
        do throws(Failure) { _ = try TemplateFile.choice(template) } catch {
            let path = specification.coordinator.templateFile ?? specification.path
            fail(path, String(error.message.trimmingPrefix("\(path): ")))
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
