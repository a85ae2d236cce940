// What a coordinator counts, as its page shows it.
import Coordinator
import Messages
import Observability
import Protobuf
import Testing

@Suite struct CoordinatorStatisticsTests {
    private func page(_ statistics: CoordinatorStatistics) -> Set<Substring> {
        Set(PrometheusText.render(statistics.families(running: (0, 0))).split(separator: "\n"))
    }

    /// A series that appears with its first event hides that event from `increase`.
    @Test func knownSeriesReadZeroBeforeTheirFirstEvent() {
        var statistics = CoordinatorStatistics()
        statistics.count(heartbeatOf: "alpha")
        statistics.count(refused: "internal")
        let page = page(statistics)
        for line: Substring in [
            #"lariat_jobs_refused_total{reason="exhausted"} 0"#,
            #"lariat_jobs_refused_total{reason="internal"} 1"#,
            #"lariat_workers_lost_total{worker="alpha"} 0"#,
            #"lariat_worker_compute_seconds_total{worker="alpha"} 0"#,
            #"lariat_worker_wait_seconds_total{worker="alpha"} 0"#,
            #"lariat_worker_wire_seconds_total{worker="alpha"} 0"#,
            #"lariat_worker_heartbeats_total{worker="alpha"} 1"#,
        ] { #expect(page.contains(line)) }
        statistics.count(lost: "alpha")
        statistics.count(heartbeatOf: "alpha")
        #expect(self.page(statistics).contains(#"lariat_workers_lost_total{worker="alpha"} 1"#))
    }

    /// A prefill of hours is seen while it runs, and nothing is counted twice when it ends.
    @Test(arguments: [JobState.succeeded, .failed])
    func workIsCountedWhileAJobRuns(outcome: JobState) {
        var statistics = CoordinatorStatistics()
        func job(compute: Double, wait: Double, wire: Double, bytes: UInt64) -> JobRecord {
            .with {
                $0.id = "j1"
                $0.state = outcome
                $0.startedMicroseconds = 1
                $0.shares = ["alpha", "beta"].enumerated().map { rank, name in
                    .with {
                        $0.rank = UInt32(rank)
                        $0.worker = name
                        $0.computeSeconds = compute
                        $0.waitSeconds = wait
                        $0.steps = [.init(), .with { $0.wireSeconds = wire }]
                        $0.ringBytesSent = bytes
                    }
                }
            }
        }
        func heartbeat(_ compute: Double, _ wait: Double, _ wire: Double, _ bytes: UInt64) {
            statistics.count(
                heartbeatOf: "beta", job: job(compute: 0, wait: 0, wire: 0, bytes: 0),
                progress: .with {
                    $0.computeSeconds = compute
                    $0.waitSeconds = wait
                    $0.wireSeconds = wire
                    $0.ringBytesSent = bytes
                })
        }
        func sums() -> [Substring?] {
            let page = page(statistics)
            return [
                "lariat_worker_compute_seconds_total{worker=\"beta\"} ",
                "lariat_worker_wait_seconds_total{worker=\"beta\"} ",
                "lariat_worker_wire_seconds_total{worker=\"beta\"} ",
                "lariat_link_bytes_total{from=\"beta\",to=\"alpha\"} ",
            ].map { start in page.first { $0.hasPrefix(start) }?.dropFirst(start.count) }
        }
        heartbeat(2, 0.5, 1, 100)
        #expect(sums() == ["2", "0.5", "1", "100"])
        heartbeat(5, 0.5, 2, 300)
        #expect(sums() == ["5", "0.5", "2", "300"])
        // One that names no job that runs.
        statistics.count(heartbeatOf: "beta")
        #expect(sums() == ["5", "0.5", "2", "300"])
        statistics.count(ended: job(compute: 8, wait: 1, wire: 2, bytes: 400), gaps: nil)
        #expect(sums() == (outcome == .succeeded ? ["8", "1", "2", "400"] : ["5", "0.5", "2", "300"]))
        // A job of the same name begins anew, as after a restart.
        heartbeat(1, 0, 0, 50)
        #expect(sums() == (outcome == .succeeded ? ["9", "1", "2", "450"] : ["6", "0.5", "2", "350"]))
    }

    /// A quantile above the last bound reads as the last bound.
    @Test func aPrefillOfHoursHasABucket() {
        var statistics = CoordinatorStatistics()
        let job = JobRecord.with {
            $0.state = .succeeded
            $0.startedMicroseconds = 2_000_000
            $0.submittedMicroseconds = 1_000_000
            $0.prefillSeconds = 9 * 3600
        }
        statistics.count(ended: job, gaps: nil)
        let page = page(statistics)
        #expect(page.contains(#"lariat_prefill_seconds_bucket{le="28800"} 0"#))
        #expect(page.contains(#"lariat_prefill_seconds_bucket{le="57600"} 1"#))
        #expect(page.contains(#"lariat_queue_seconds_bucket{le="1"} 1"#))
        #expect(page.contains(#"lariat_queue_seconds_bucket{le="0.5"} 0"#))
    }
}
