// Which certificates a cluster needs, and what they must be valid for.

/// One certificate that a specification asks for.
public struct PlannedCertificate: Sendable, Equatable {
    /// Its subject's common name.
    public let name: String
    /// Names of files in the folder that certificates are made in; they match the ends of the specification's paths.
    public let certificateFile: String
    public let keyFile: String
    /// Names and addresses of hosts for the subject alternative names, addresses without brackets, none twice. Empty: for
    /// a client that is never connected to.
    public let hosts: [String]
    /// Who shows it: `coordinator`, names of workers; empty for clients.
    public let processes: [String]
}

extension ClusterSpecification {
    /// The file of the authority in the folder that certificates are made in; its key is the same with `.key`.
    public var certificateAuthorityFile: String {
        coordinator.tls.map { Self.lastComponent($0.ca) } ?? "ca.pem"
    }

    /// The certificates of all processes, in the order of the file, and last one named `client` for people.
    ///
    /// Where the specification names files, there is one certificate for each of them, valid for the hosts of all
    /// processes that use it; where it has no `tls`, one for each process, in `NAME.pem` and `NAME.key`.
    public var plannedCertificates: [PlannedCertificate] {
        var groups: [(files: TLSFiles?, processes: [String], hosts: [String])] = []
        func add(_ process: String, _ files: TLSFiles?, _ addresses: [HostPort]) {
            let hosts = Self.subjectHosts(addresses)
            if let files, let index = groups.firstIndex(where: { $0.files?.certificate == files.certificate })
            {
                groups[index].processes.append(process)
                groups[index].hosts += hosts.filter { !groups[index].hosts.contains($0) }
            } else {
                groups.append((files, [process], hosts))
            }
        }
        add(
            "coordinator", coordinator.tls,
            [coordinator.advertise, coordinator.listen] + (coordinator.web.map { [$0] } ?? []))
        for worker in workers {
            add(
                worker.name, worker.tls,
                [worker.advertise, worker.listen, worker.ringAdvertise, worker.ring])
        }
        var taken: Set<String> = [certificateAuthorityFile, Self.keyFile(of: certificateAuthorityFile)]
        var planned: [PlannedCertificate] = []
        for group in groups {
            var certificate =
                group.files.map { Self.lastComponent($0.certificate) } ?? "\(group.processes[0]).pem"
            var key = group.files.map { Self.lastComponent($0.key) } ?? "\(group.processes[0]).key"
            // Files of the same name in different folders, or a worker named like another file.
            if taken.contains(certificate) || taken.contains(key) || certificate == key {
                certificate = "process-\(group.processes[0]).pem"
                key = "process-\(group.processes[0]).key"
            }
            taken.formUnion([certificate, key])
            planned.append(
                PlannedCertificate(
                    name: group.processes.count == 1 ? group.processes[0] : Self.stem(certificate),
                    certificateFile: certificate, keyFile: key, hosts: group.hosts, processes: group.processes
                ))
        }
        let client = taken.isDisjoint(with: ["client.pem", "client.key"]) ? "client" : "process-client"
        planned.append(
            PlannedCertificate(
                name: "client", certificateFile: client + ".pem", keyFile: client + ".key", hosts: [],
                processes: []))
        return planned
    }

    /// Hosts of addresses, without wildcards; with every name of loopback where something listens there.
    private static func subjectHosts(_ addresses: [HostPort]) -> [String] {
        var hosts: [String] = []
        func add(_ host: String) {
            if !hosts.contains(host) { hosts.append(host) }
        }
        for address in addresses where !address.isWildcard {
            // A zone (fe80::1%eth0) is a matter of one host only.
            add(String(address.host.prefix { $0 != "%" }).lowercased())
        }
        // Commands on the same host use these names.
        if addresses.contains(where: { $0.isLoopback || $0.isWildcard }) {
            add("localhost")
            add("127.0.0.1")
            if addresses.contains(where: { $0.host.contains(":") }) { add("::1") }
        }
        return hosts
    }

    private static func lastComponent(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    private static func stem(_ file: String) -> String {
        String(file.lastIndex(of: ".").map { file[..<$0] } ?? file[...])
    }

    /// `ca.key` for `ca.pem`.
    public static func keyFile(of certificateFile: String) -> String { stem(certificateFile) + ".key" }
}
