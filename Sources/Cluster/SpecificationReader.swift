// From the mappings of a specification file to a checked ClusterSpecification: which keys there are, their ranges, and
// what must hold between them.

import Numerals

struct SpecificationReader {
    let path: String
    let paths: PathExpansion
    let purpose: ClusterSpecification.Purpose

    private static let worker = "{ name: alpha, listen: 10.0.0.1:7411, ring: 10.0.0.1:7412, memory: 4GiB }"

    func read(_ root: YAMLMapping) throws(ClusterError) -> ClusterSpecification {
        try root.allow([
            "model", "precision", "isa", "coordinator", "workers", "tls", "tokens", "insecure", "deploy",
            "kv",
            "heartbeat_seconds", "lost_after_seconds", "stall_seconds",
        ])
        guard let model = try file(root, "model") else {
            throw root.missing("model", example: "~/.cache/lariat/models/model.gguf")
        }
        let precision: ClusterSpecification.Precision = try choice(root, "precision") ?? .bf16
        let isa: ClusterSpecification.InstructionSet = try choice(root, "isa") ?? .auto
        let tls = try commonTLS(root)
        guard let coordinatorMapping = try root.mapping("coordinator") else {
            throw root.missing("coordinator", example: "{ listen: 127.0.0.1:7400 }")
        }
        let coordinator = try coordinator(coordinatorMapping, tls: tls)
        guard let mappings = try root.mappings("workers") else {
            throw root.missing("workers", example: "[\(Self.worker)]")
        }
        guard (1...ClusterSpecification.mostWorkers).contains(mappings.count) else {
            throw root.error(
                "workers",
                "there are \(mappings.count) workers; 1 to \(ClusterSpecification.mostWorkers.grouped) are needed"
            )
        }
        let kv = try kv(root.mapping("kv"))
        var workers: [ClusterSpecification.Worker] = []
        for mapping in mappings { workers.append(try worker(mapping, model: model, tls: tls, kv: kv)) }
        try checkNames(workers, mappings)
        try checkAddresses(coordinator, coordinatorMapping, workers, mappings)
        let tokens = try file(root, "tokens")
        let isInsecure = try root.boolean("insecure") ?? false
        let deploy = try deploy(root.mapping("deploy"))
        let heartbeat = try root.number("heartbeat_seconds", 0.1...60) ?? 1
        let lostAfter = try root.number("lost_after_seconds", 0.2...600) ?? max(5, 2 * heartbeat)
        guard lostAfter >= 2 * heartbeat else {
            throw root.error(
                "lost_after_seconds",
                "\(lostAfter) is less than twice heartbeat_seconds (\(heartbeat)): one late report would lose a worker"
            )
        }
        let stall = try root.number("stall_seconds", 1.0...3600) ?? 300
        func specification(_ remarks: [ClusterError]) -> ClusterSpecification {
            ClusterSpecification(
                path: path, model: model, precision: precision, isa: isa, coordinator: coordinator,
                workers: workers, tokens: tokens, isInsecure: isInsecure, deploy: deploy,
                heartbeat: .seconds(heartbeat), lostAfter: .seconds(lostAfter), stall: .seconds(stall),
                remarks: remarks)
        }
        let review = SpecificationReview(
            specification: specification([]), root: root, coordinator: coordinatorMapping, workers: mappings)
        if purpose == .running { try review.checkExposure() }
        return specification(review.remarks())
    }

    private func deploy(_ mapping: YAMLMapping?) throws(ClusterError) -> ClusterSpecification.Deploy {
        guard let mapping else {
            return .init(manager: .shell, binary: "/usr/bin/lariat", directory: "~/.lariat", ssh: [])
        }
        try mapping.allow(["manager", "binary", "directory", "ssh"])
        let manager: ClusterSpecification.Deploy.Manager = try choice(mapping, "manager") ?? .shell
        let binary = try mapping.string("binary") ?? "/usr/bin/lariat"
        let directory =
            try mapping.string("directory") ?? (manager == .systemd ? "/etc/lariat" : "~/.lariat")
        for (name, path) in [("binary", binary), ("directory", directory)] {
            let isInHome = name == "directory" && manager == .shell && path.hasPrefix("~/") && path.count > 2
            guard path.hasPrefix("/") || isInHome else {
                throw mapping.error(
                    name,
                    "\(quoted(path)) is not an absolute path on the hosts; write e.g. "
                        + (name == "binary" ? "/usr/bin/lariat" : "/etc/lariat"))
            }
        }
        // The packaged units name these files themselves.
        for (name, path, fixed) in [
            ("binary", binary, "/usr/bin/lariat"), ("directory", directory, "/etc/lariat"),
        ] where manager == .systemd && path != fixed {
            throw mapping.error(name, "the systemd units use \(fixed); remove the key, or use manager: shell")
        }
        return .init(
            manager: manager, binary: binary, directory: directory, ssh: try mapping.strings("ssh") ?? [])
    }

    private func coordinator(
        _ mapping: YAMLMapping, tls: CommonTLS?
    ) throws(ClusterError) -> ClusterSpecification.Coordinator {
        try mapping.allow(["listen", "advertise", "web", "metrics", "host", "data", "template", "tls"])
        guard let listen = try address(mapping, "listen") else {
            throw mapping.missing("listen", example: "127.0.0.1:7400")
        }
        let advertise = try advertised(mapping, "advertise", instead: listen, of: "listen")
        return ClusterSpecification.Coordinator(
            listen: listen, advertise: advertise, web: try address(mapping, "web"),
            metrics: try address(mapping, "metrics"), login: try login(mapping, advertise),
            data: try file(mapping, "data", otherwise: ClusterSpecification.usualData),
            template: try template(mapping),
            tls: try files(mapping, tls, of: "the coordinator"))
    }

    /// A word of letters, digits, hyphens and underscores is a name; all else is a file, and `./word` is one too.
    private func template(_ mapping: YAMLMapping) throws(ClusterError) -> ClusterSpecification.Template? {
        guard let text = try mapping.string("template") else { return nil }
        if text.utf8.allSatisfy({ $0.isNameCharacter && $0 != UInt8(ascii: ".") }) { return .named(text) }
        return try file(mapping, "template").map { .file($0) }
    }

    private func worker(
        _ mapping: YAMLMapping, model: String, tls: CommonTLS?, kv: ClusterSpecification.KVDisk?
    ) throws(ClusterError) -> ClusterSpecification.Worker {
        try mapping.allow([
            "name", "listen", "ring", "advertise", "advertise_ring", "metrics", "host", "threads", "cores",
            "memory", "kv", "force", "model", "tls",
        ])
        guard let name = try mapping.string("name") else { throw mapping.missing("name", example: "alpha") }
        guard name.utf8.allSatisfy(\.isNameCharacter), name.utf8.count <= 63 else {
            throw mapping.error(
                "name",
                "\(quoted(name)) is not a name; use 1 to 63 letters, digits, dots, hyphens and underscores")
        }
        guard let listen = try address(mapping, "listen") else {
            throw mapping.missing("listen", example: "10.0.0.1:7411")
        }
        guard let ring = try address(mapping, "ring") else {
            throw mapping.missing("ring", example: "10.0.0.1:7412")
        }
        let advertise = try advertised(mapping, "advertise", instead: listen, of: "listen")
        // Whoever is reached under another host's name for control is reached there for blocks as well.
        let ringHost = try mapping.string("advertise") != nil || ring.isWildcard ? advertise.host : ring.host
        let ringAdvertise = try advertised(
            mapping, "advertise_ring", instead: HostPort(host: ringHost, port: ring.port), of: "ring")
        guard let memory = try size(mapping, "memory") else {
            throw mapping.missing("memory", example: "4GiB")
        }
        guard memory.bytes >= 1 << 20 else {
            throw mapping.error("memory", "\(memory) is too little for any KV; it must be 1MiB or more")
        }
        let threads = try mapping.number("threads", 1...1024)
        let cores = try mapping.numbers("cores", 0...4095) ?? []
        if let threads, !cores.isEmpty, threads > cores.count {
            throw mapping.error(
                "threads",
                "\(threads) threads on \(cores.count) cores would wait for each other; name more cores")
        }
        return ClusterSpecification.Worker(
            name: name, listen: listen, ring: ring, advertise: advertise, ringAdvertise: ringAdvertise,
            metrics: try address(mapping, "metrics"), login: try login(mapping, advertise),
            threads: threads, cores: cores, memory: memory,
            kv: try self.kv(mapping.mapping("kv"), otherwise: kv),
            isForced: try mapping.boolean("force") ?? false, model: try file(mapping, "model") ?? model,
            tls: try files(mapping, tls, of: "worker \(name)"))
    }

    // MARK: Between workers

    private func checkNames(
        _ workers: [ClusterSpecification.Worker], _ mappings: [YAMLMapping]
    ) throws(ClusterError) {
        var first: [String: Int] = [:]
        for (index, worker) in workers.enumerated() {
            if let other = first.updateValue(index, forKey: worker.name) {
                throw mappings[index].error(
                    "name", "\(quoted(worker.name)) is the name of workers[\(other)] already")
            }
        }
    }

    /// Two sockets of one host need two ports. A wildcard address counts as the host that is advertised for it.
    private func checkAddresses(
        _ coordinator: ClusterSpecification.Coordinator, _ coordinatorMapping: YAMLMapping,
        _ workers: [ClusterSpecification.Worker], _ mappings: [YAMLMapping]
    ) throws(ClusterError) {
        var owners: [HostPort: String] = [:]
        func claim(
            _ address: HostPort, as advertised: HostPort, _ mapping: YAMLMapping, _ name: String
        ) throws(ClusterError) {
            let host = (address.isWildcard ? advertised.host : address.host).lowercased()
            let place = HostPort(host: host == "localhost" ? "127.0.0.1" : host, port: address.port)
            if let owner = owners.updateValue("\(mapping.key).\(name)", forKey: place) {
                throw mapping.error(name, "\(place) is taken by \(owner) already; choose another port")
            }
        }
        func claimIfGiven(
            _ address: HostPort?, as advertised: HostPort, _ mapping: YAMLMapping, _ name: String
        ) throws(ClusterError) {
            if let address { try claim(address, as: advertised, mapping, name) }
        }
        try claim(coordinator.listen, as: coordinator.advertise, coordinatorMapping, "listen")
        try claimIfGiven(coordinator.web, as: coordinator.advertise, coordinatorMapping, "web")
        try claimIfGiven(coordinator.metrics, as: coordinator.advertise, coordinatorMapping, "metrics")
        for (worker, mapping) in zip(workers, mappings) {
            try claim(worker.listen, as: worker.advertise, mapping, "listen")
            try claim(worker.ring, as: worker.ringAdvertise, mapping, "ring")
            try claimIfGiven(worker.metrics, as: worker.advertise, mapping, "metrics")
        }
    }

    // MARK: TLS

    /// The `tls` key at the top: an authority for all, and the files of every process that names none of its own.
    private struct CommonTLS {
        let ca: String
        let own: (certificate: String, key: String)?
        let mapping: YAMLMapping
    }

    private func commonTLS(_ root: YAMLMapping) throws(ClusterError) -> CommonTLS? {
        guard let mapping = try root.mapping("tls") else { return nil }
        try mapping.allow(["ca", "certificate", "key"])
        guard let ca = try file(mapping, "ca") else { throw mapping.missing("ca", example: "ca.pem") }
        return CommonTLS(ca: ca, own: try certificateAndKey(mapping), mapping: mapping)
    }

    /// Both or neither.
    private func certificateAndKey(
        _ mapping: YAMLMapping
    ) throws(ClusterError) -> (certificate: String, key: String)? {
        switch (try file(mapping, "certificate"), try file(mapping, "key")) {
        case (nil, nil): return nil
        case (let certificate?, let key?): return (certificate, key)
        case (nil, _): throw mapping.missing("certificate", example: "host.pem")
        case (_, nil): throw mapping.missing("key", example: "host.key")
        }
    }

    private func files(
        _ mapping: YAMLMapping, _ common: CommonTLS?, of process: String
    ) throws(ClusterError) -> ClusterSpecification.TLSFiles? {
        let override = try mapping.mapping("tls")
        try override?.allow(["certificate", "key"])
        guard let common else {
            guard override == nil else {
                throw mapping.error("tls", "needs tls at the top of the file as well: tls: { ca: ca.pem }")
            }
            return nil
        }
        let own: (certificate: String, key: String)?
        if let override {
            guard let given = try certificateAndKey(override) else {
                throw override.missing("certificate", example: "host.pem")
            }
            own = given
        } else {
            own = common.own
        }
        guard let own else {
            throw common.mapping.error(
                nil,
                "\(process) has no certificate: give certificate and key here for all, or under its own tls")
        }
        return ClusterSpecification.TLSFiles(ca: common.ca, certificate: own.certificate, key: own.key)
    }

    // MARK: Values

    func file(_ mapping: YAMLMapping, _ name: String) throws(ClusterError) -> String? {
        guard let text = try mapping.string(name) else { return nil }
        do { return try paths.expand(text) } catch { throw mapping.error(name, error.description) }
    }

    private func file(
        _ mapping: YAMLMapping, _ name: String, otherwise text: String
    ) throws(ClusterError) -> String {
        if let file = try file(mapping, name) { return file }
        do {
            return try paths.expand(text)
        } catch {
            throw mapping.error(name, "is not given, and its default does not work: \(error.description)")
        }
    }

    func size(_ mapping: YAMLMapping, _ name: String) throws(ClusterError) -> ByteSize? {
        guard let text = try mapping.string(name) else { return nil }
        do { return try ByteSize(parsing: text) } catch { throw mapping.error(name, error.description) }
    }

    private func address(_ mapping: YAMLMapping, _ name: String) throws(ClusterError) -> HostPort? {
        guard let text = try mapping.string(name) else { return nil }
        let address: HostPort
        do { address = try HostPort(parsing: text) } catch { throw mapping.error(name, error.description) }
        guard address.port > 0 else {
            throw mapping.error(
                name, "port 0 would be chosen by the system and nobody would know it; write a port")
        }
        return address
    }

    private func login(_ mapping: YAMLMapping, _ advertise: HostPort) throws(ClusterError) -> Login {
        guard let text = try mapping.string("host") else { return Login(user: nil, host: advertise.host) }
        do { return try Login(parsing: text) } catch { throw mapping.error("host", error.description) }
    }

    /// Where others reach `address`: the key's value, or the address itself unless that is a wildcard.
    private func advertised(
        _ mapping: YAMLMapping, _ name: String, instead address: HostPort, of listening: String
    ) throws(ClusterError) -> HostPort {
        if let given = try self.address(mapping, name) {
            guard !given.isWildcard else {
                throw mapping.error(name, "\(given) is no place to connect to; write the host's own address")
            }
            return given
        }
        guard !address.isWildcard else {
            throw mapping.error(
                listening,
                "\(address) says nothing about where others reach it; add \(name): HOST:\(address.port)")
        }
        return address
    }

    private func choice<T: RawRepresentable<String> & CaseIterable>(
        _ mapping: YAMLMapping, _ name: String
    ) throws(ClusterError) -> T? {
        guard let text = try mapping.string(name) else { return nil }
        guard let value = T(rawValue: text) else {
            let known = T.allCases.map(\.rawValue).joined(separator: ", ")
            throw mapping.error(name, "\(quoted(text)) is not one of \(known)")
        }
        return value
    }
}
