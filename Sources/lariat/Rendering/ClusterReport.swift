// What people read about a cluster and about a forecast. No I/O.

package import Messages

/// Whether a cluster has the workers it should have.
package struct Readiness: Equatable {
    /// Workers that can take jobs: ready or busy.
    package let ready: [String]
    /// Each with what keeps it from work.
    package let missing: [String]

    /// One of them was refused: waiting does not help.
    package let isHopeless: Bool

    package var isReady: Bool { missing.isEmpty && !ready.isEmpty }

    /// `expected` are names from a specification; empty: every member the coordinator lists, at least one.
    package init(_ state: ClusterState, expected: [String]) {
        let able = state.members.filter { $0.state.isAble }.map(\.name)
        var missing: [String] = []
        for name in expected.isEmpty ? state.members.map(\.name) : expected where !able.contains(name) {
            if let member = state.members.first(where: { $0.name == name }) {
                missing.append(
                    member.reason.isEmpty
                        ? "\(name) is \(member.state.word)"
                        : "\(name) is \(member.state.word): \(member.reason)")
            } else {
                missing.append("\(name) has not registered")
            }
        }
        if able.isEmpty, missing.isEmpty { missing = ["no worker has registered"] }
        let awaited = state.members.filter { expected.contains($0.name) }
        isHopeless = awaited.contains { $0.state == .refused }
        ready = able
        self.missing = missing
    }
}

package enum ClusterReport {
    /// A line a worker.
    package static func members(_ state: ClusterState) -> [String] {
        var table = Table([
            ("worker", .left), ("state", .left), ("address", .left), ("ring", .left), ("threads", .right),
            ("KV memory", .right), ("compute", .left), ("version", .left), ("heartbeat", .right),
            ("reason", .left),
        ])
        for member in state.members {
            table.add([
                member.name, member.state.word, member.address, member.ringAddress, "\(member.threads)",
                Quantity.bytes(member.memoryBytes), "\(member.precision) \(member.isa)",
                member.version, Quantity.duration(member.lastHeartbeatSeconds), member.reason,
            ])
        }
        return table.isEmpty ? ["no workers"] : table.lines()
    }

    /// What of the workers is allowed but will not go well, and what to do.
    package static func notes(_ state: ClusterState) -> [String] {
        state.members.compactMap { member in
            guard member.hostCores > 0, member.threads > member.hostCores else { return nil }
            return "worker \(member.name) computes with \(member.threads) threads on "
                + "\(Quantity.counted(Int(member.hostCores), "core")): they wait for each other; give it fewer threads"
        }
    }

    /// What a job would cost.
    package static func forecast(_ forecast: Forecast) -> [String] {
        var facts = FactList()
        facts.add("admissible", forecast.admissible ? "yes" : "no: \(forecast.reason)")
        // Of a job that would be refused, what was not worked out is zero.
        func add(_ name: String, _ value: UInt64, _ text: (UInt64) -> String) {
            if forecast.admissible || value > 0 { facts.add(name, text(value)) }
        }
        add("prompt tokens", forecast.promptTokens, Quantity.count)
        if forecast.cachedTokens > 0 {
            facts.add("of them in memory", Quantity.count(forecast.cachedTokens))
        }
        add("reserved for the answer", forecast.reservedTokens, Quantity.count)
        if let profile = forecast.profile, !profile.name.isEmpty {
            facts.add("profile", "\(profile.name), window \(Quantity.count(profile.window))")
        }
        add("KV", forecast.kvBytes, Quantity.bytes)
        add("ring traffic", forecast.ringBytes, Quantity.bytes)
        if forecast.prefillSeconds > 0 {
            facts.add("prefill", "about \(Quantity.duration(forecast.prefillSeconds))")
            if forecast.decodeSeconds > 0 {
                facts.add(
                    "decode",
                    "about \(Quantity.duration(forecast.decodeSeconds)) for "
                        + Quantity.counted(Int(clamping: forecast.reservedTokens), "token"))
                facts.add("total", "about \(Quantity.duration(forecast.totalSeconds))")
            }
        } else if forecast.admissible {
            facts.add("prefill", forecast.unmeasuredReason.isEmpty ? "not known" : forecast.unmeasuredReason)
        }
        guard !forecast.shares.isEmpty else { return facts.lines() }
        let measured = !forecast.costs.isEmpty
        var table = Table(
            [("worker", .left), ("tokens", .right), ("share", .right), ("KV", .right)]
                + (measured ? [("compute", .right), ("wire", .right)] : []))
        let shares = forecast.shares.sorted { $0.rank < $1.rank }
        let tokens = JobReport.sum(shares.map(\.tokens))
        for share in shares {
            let cost = forecast.costs.first { $0.worker == share.worker }
            table.add(
                [
                    share.worker, Quantity.count(share.tokens), Quantity.share(share.tokens, of: tokens),
                    Quantity.bytes(share.kvBytes),
                ] + (measured ? [seconds(cost?.computeSeconds), seconds(cost?.wireSeconds)] : []))
        }
        return facts.lines() + [""] + table.lines() + (measured ? [""] + rates(forecast.costs) : [])
    }

    private static func seconds(_ value: Double?) -> String { value.map(Quantity.duration) ?? "-" }

    /// What a predicted time rests on.
    private static func rates(_ costs: [WorkerCost]) -> [String] {
        var table = Table([
            ("measured", .left), ("dense GFLOP/s", .right), ("attention GFLOP/s", .right),
            ("unpacking a layer", .right), ("link MB/s", .right),
        ])
        for cost in costs {
            let rates = cost.rates ?? WorkerRates()
            table.add([
                cost.worker, Quantity.rate(rates.denseOperationsPerSecond / 1e9),
                Quantity.rate(rates.attentionOperationsPerSecond / 1e9),
                Quantity.duration(rates.unpackSeconds), Quantity.rate(rates.linkBytesPerSecond / 1e6),
            ])
        }
        return table.lines()
    }
}
