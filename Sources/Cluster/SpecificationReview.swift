// What a specification as a whole exposes to a network, which is an error without TLS, and what in it is allowed but may
// not be meant, which is a remark.

struct SpecificationReview {
    /// Its remarks are still empty.
    let specification: ClusterSpecification
    let root: YAMLMapping
    let coordinator: YAMLMapping
    let workers: [YAMLMapping]

    // MARK: Exposure

    private struct Listener {
        let address: HostPort
        let mapping: YAMLMapping
        let name: String
    }

    /// Listeners that take commands or carry content. The metrics port does neither.
    private var listeners: [Listener] {
        var all = [Listener(address: specification.coordinator.listen, mapping: coordinator, name: "listen")]
        for (worker, mapping) in zip(specification.workers, workers) {
            all.append(Listener(address: worker.listen, mapping: mapping, name: "listen"))
            all.append(Listener(address: worker.ring, mapping: mapping, name: "ring"))
        }
        return all
    }

    /// Refuses plain text beyond loopback, and a web port there that asks for no token, unless that was asked for.
    func checkExposure() throws(ClusterError) {
        guard !specification.isInsecure else { return }
        let remedies =
            "encrypt with certificates of your own (`lariat cluster certs` makes them), or, inside a network you trust, "
            + "write insecure: true at the top"
        if specification.coordinator.tls == nil {
            for listener in listeners where !listener.address.isLoopback {
                throw listener.mapping.error(
                    listener.name,
                    "\(listener.address) can be reached from other hosts, without tls: \(remedies)")
            }
        }
        if let web = specification.coordinator.web, !web.isLoopback {
            guard specification.coordinator.tls != nil else {
                throw coordinator.error(
                    "web", "\(web) can be reached from other hosts, without tls: \(remedies)")
            }
            guard specification.tokens != nil else {
                throw coordinator.error(
                    "web",
                    "\(web) can be reached from other hosts and asks nobody for a token: name a file of tokens "
                        + "(tokens: FILE at the top), or write insecure: true at the top")
            }
        }
    }

    private var isExposed: Bool {
        let isPlain = specification.coordinator.tls == nil && listeners.contains { !$0.address.isLoopback }
        guard let web = specification.coordinator.web, !web.isLoopback else { return isPlain }
        return isPlain || specification.coordinator.tls == nil || specification.tokens == nil
    }

    // MARK: Remarks

    func remarks() -> [ClusterError] {
        var remarks = security() + memory() + sharing() + reachability() + waiting()
        if specification.isa == .auto, hosts.count > 1 {
            remarks.append(
                root.error(
                    "isa",
                    "auto lets each processor use its best kernels, so results may differ in their last digits between "
                        + "hosts with different processors; name one (e.g. avx2) if they must not"))
        }
        return remarks.sorted { ($0.line ?? 0) < ($1.line ?? 0) }
    }

    /// Each process's host as others know it.
    private func host(of advertise: HostPort) -> String {
        advertise.isLoopback ? "127.0.0.1" : advertise.host.lowercased()
    }

    private var hosts: Set<String> {
        Set(specification.workers.map { host(of: $0.advertise) }).union([
            host(of: specification.coordinator.advertise)
        ])
    }

    private func security() -> [ClusterError] {
        var remarks: [ClusterError] = []
        if specification.isInsecure {
            remarks.append(
                root.error(
                    "insecure",
                    isExposed
                        ? "prompts and answers cross the network in plain text, or whoever reaches the ports may use "
                            + "the cluster; do this only inside a network you trust"
                        : "nothing here needs it; remove the line, so that a later slip is noticed"))
        }
        let keys = Set(
            specification.workers.compactMap { $0.tls?.key }
                + (specification.coordinator.tls.map { [$0.key] } ?? []))
        if hosts.count > 1, keys.count == 1, let tls = try? root.mapping("tls") {
            remarks.append(
                tls.error(
                    "key",
                    "all \(hosts.count) hosts share one private key: whoever takes it from one host can pose as every "
                        + "other; `lariat cluster certs` makes one for each"))
        }
        return remarks
    }

    private func memory() -> [ClusterError] {
        guard let (index, least) = specification.workers.enumerated().min(by: { $0.1.memory < $1.1.memory }),
            let most = specification.workers.max(by: { $0.memory < $1.memory }),
            most.memory.bytes / 4 > least.memory.bytes
        else { return [] }
        return [
            workers[index].error(
                "memory",
                "\(least.memory) is less than a quarter of what worker \(most.name) has (\(most.memory)): long prompts "
                    + "will be shared out by memory instead of speed, and \(least.name) will wait for the others"
            )
        ]
    }

    /// Workers of one host that get in each other's way.
    private func sharing() -> [ClusterError] {
        var remarks: [ClusterError] = []
        for (index, worker) in specification.workers.enumerated() {
            let place = host(of: worker.advertise)
            let others = specification.workers.indices.filter {
                $0 != index && host(of: specification.workers[$0].advertise) == place
            }
            if worker.threads == nil, worker.cores.isEmpty, let other = others.first {
                remarks.append(
                    workers[index].error(
                        nil,
                        "\(worker.name) takes every core of its host, where \(specification.workers[other].name) runs "
                            + "as well; give both threads, or cores"))
            }
            for other in others where other < index {
                let common = worker.cores.filter(specification.workers[other].cores.contains)
                guard let core = common.first else { continue }
                remarks.append(
                    workers[index].error(
                        "cores",
                        "core \(core) is also one of \(specification.workers[other].name)'s, on the same host; they "
                            + "will slow each other"))
                break
            }
        }
        return remarks
    }

    /// An address that only its own host can reach, in a cluster with other hosts.
    private func reachability() -> [ClusterError] {
        guard hosts.count > 1 else { return [] }
        var advertised = [(specification.coordinator.advertise, coordinator, "advertise", "listen")]
        for (worker, mapping) in zip(specification.workers, workers) {
            advertised.append((worker.advertise, mapping, "advertise", "listen"))
            advertised.append((worker.ringAdvertise, mapping, "advertise_ring", "ring"))
        }
        return advertised.filter { $0.0.isLoopback }.map { address, mapping, name, listening in
            mapping.error(
                mapping.has(name) ? name : listening,
                "\(address) reaches nothing from the other hosts of this cluster; \(name) the host's own name or address"
            )
        }
    }

    private func waiting() -> [ClusterError] {
        var remarks: [ClusterError] = []
        if specification.lostAfter < specification.heartbeat * 3 {
            remarks.append(
                root.error(
                    "lost_after_seconds",
                    "two late reports lose a worker and its job; three to five times heartbeat_seconds is usual"
                ))
        }
        if specification.stall < specification.lostAfter {
            remarks.append(
                root.error(
                    "stall_seconds",
                    "is less than lost_after_seconds: a job ends before anybody knows that its worker is lost, and its "
                        + "message names the wait instead of the worker"))
        }
        return remarks
    }
}
