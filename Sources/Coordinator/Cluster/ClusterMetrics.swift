// What a cluster's state says as metrics: who is there, with what, and how much waits.
import Messages
import Observability

extension ClusterState {
    private static let states = MemberState.allCases.filter { $0 != .unspecified }

    /// - Parameters:
    ///   - precision: of the whole cluster.
    ///   - queueLimit: Jobs that may wait.
    ///   - oldestWait: Seconds that the job that is next has waited; 0 when none waits.
    func metrics(precision: String, queueLimit: Int, oldestWait: Double) -> [MetricFamily] {
        [
            .gauge(
                "lariat_build_info", "1; what this is is in the labels.",
                [Labelled(1, ["version": version, "model": model, "precision": precision])]),
            .gauge("lariat_jobs_running", "Jobs that run.", Double(running)),
            .gauge("lariat_jobs_waiting", "Jobs that wait for their turn.", Double(queued)),
            .gauge(
                "lariat_jobs_waiting_limit", "Jobs that may wait; more are refused.", Double(queueLimit)),
            .gauge(
                "lariat_jobs_oldest_waiting_seconds",
                "How long the job that is next has waited since it was submitted; 0 when none waits.",
                oldestWait),
            .gauge("lariat_epoch", "Counts the changes of who is in the cluster.", Double(epoch)),
            .gauge(
                "lariat_workers", "Workers, by state.",
                Self.states.map { state in
                    Labelled(Double(members.count { $0.state == state }), ["state": state.word])
                }),
            .gauge(
                "lariat_worker_info", "1; what a worker computes with is in the labels.",
                members.map {
                    Labelled(
                        1,
                        [
                            "worker": $0.name, "isa": $0.isa, "precision": $0.precision,
                            "version": $0.version,
                        ])
                }),
            gauge("lariat_worker_up", "Whether a worker is in the cluster.") {
                $0.state.isThere ? 1 : 0
            },
            gauge("lariat_worker_heartbeat_age_seconds", "Time since a worker was heard.") {
                $0.lastHeartbeatSeconds
            },
            gauge("lariat_worker_threads", "Compute threads of a worker.") { Double($0.threads) },
            gauge("lariat_worker_kv_used_bytes", "Keys and values that a worker holds.") {
                Double($0.kvBytesUsed)
            },
            gauge("lariat_worker_kv_kept_bytes", "Of them, those that no run uses.") {
                Double($0.keptBytes)
            },
            gauge("lariat_worker_kv_capacity_bytes", "What keys and values may use on a worker.") {
                Double($0.memoryBytes)
            },
        ]
    }

    /// One value of each worker.
    private func gauge(_ name: String, _ help: String, _ value: (MemberRecord) -> Double) -> MetricFamily {
        .gauge(name, help, members.map { Labelled(value($0), ["worker": $0.name]) })
    }
}
