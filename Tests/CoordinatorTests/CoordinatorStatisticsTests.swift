// What a coordinator counts, as its page shows it.
import Coordinator
import Observability
import RPC
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
