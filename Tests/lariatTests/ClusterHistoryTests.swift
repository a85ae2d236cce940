// What follows from looks at a cluster: rates, charts, link speeds, time left, the order of workers.

import JSONText
import Messages
import Protobuf
import Testing
import lariat

@Suite struct ClusterHistoryTests {
    private func job(
        _ number: UInt64, _ state: JobState, prefilled: UInt64 = 0, generated: UInt64 = 0, attempt: UInt64 = 1
    ) -> JobRecord {
        .with {
            $0.id = "j\(number)"
            $0.state = state
            $0.submittedMicroseconds = number
            $0.promptTokens = 1000
            $0.prefilledTokens = prefilled
            $0.generatedTokens = generated
            $0.attempt = attempt
            $0.options = .with { $0.maxTokens = 100 }
        }
    }

    @Test func ratesAreMeansOfTheLastSeconds() {
        var history = ClusterHistory()
        history.see(ClusterState(), [job(1, .decode, prefilled: 1000, generated: 10)], at: 50)
        #expect(history.promptRate == nil && history.generatedRate == nil)
        for second in 1...10 {
            let generated = UInt64(10 + 4 * second)
            history.see(
                ClusterState(), [job(1, .decode, prefilled: 1000, generated: generated)],
                at: 50 + Double(second))
        }
        #expect(abs((history.generatedRate ?? 0) - 4) < 1e-9)
        // What was there before the first look counts for nothing.
        #expect(history.promptRate == 0)
        #expect(
            history.remaining(job(1, .decode, generated: 50), at: 60).map { abs($0 - 12.5) < 1e-9 } == true)
    }

    /// A job that came and went between two looks counts whole.
    @Test func shortJobsCount() {
        var history = ClusterHistory()
        history.see(ClusterState(), [job(1, .succeeded, prefilled: 1000, generated: 100)], at: 0)
        history.see(
            ClusterState(),
            [
                job(2, .succeeded, prefilled: 500, generated: 20),
                job(1, .succeeded, prefilled: 1000, generated: 100),
            ], at: 2)
        #expect(abs((history.promptRate ?? 0) - 250) < 1e-9)
        #expect(abs((history.generatedRate ?? 0) - 10) < 1e-9)
    }

    /// Old jobs that a page shows later are not new.
    @Test func oldJobsDoNotCount() {
        var history = ClusterHistory()
        history.see(ClusterState(), [job(5, .succeeded, prefilled: 10)], at: 0)
        history.see(
            ClusterState(), [job(5, .succeeded, prefilled: 10), job(4, .succeeded, prefilled: 900)], at: 1)
        #expect(history.promptRate == 0)
    }

    /// Prefill is told layer by layer: between two tellings the rate does not fall to nothing.
    @Test func aLayerThatTakesLong() throws {
        var history = ClusterHistory()
        for second in 0...65 {
            let layers = UInt64(second / 20)
            history.see(ClusterState(), [job(1, .prefill, prefilled: 100 * layers)], at: Double(second))
        }
        #expect(try abs(#require(history.promptRate) - 5) < 0.01)
        let series = history.promptSeries(12, each: 5)
        #expect(series.allSatisfy { abs(($0 ?? 0) - 5) < 0.01 })
        // 300 of 1000 at 60 s, 5 tokens a second, 5 seconds later.
        #expect(try abs(#require(history.remaining(job(1, .prefill), at: 65)) - 135) < 0.01)
        // A layer that does not come: the estimate grows, the rate falls.
        #expect(try #require(history.remaining(job(1, .prefill), at: 165)) > 300)
        history.see(ClusterState(), [job(1, .prefill, prefilled: 300)], at: 165)
        #expect(history.promptRate == 0)
    }

    @Test func anotherAttemptBeginsAnew() {
        var history = ClusterHistory()
        history.see(ClusterState(), [job(1, .prefill, prefilled: 900)], at: 0)
        history.see(ClusterState(), [job(1, .prefill, prefilled: 100, attempt: 2)], at: 10)
        #expect(history.promptRate == 10)
        #expect(history.remaining(job(1, .prefill), at: 10) == nil)
    }

    @Test func seriesIsUnknownBeforeTheFirstLook() {
        var history = ClusterHistory()
        history.see(ClusterState(), [], at: 1000)
        history.see(ClusterState(), [], at: 1010)
        #expect(history.generatedSeries(4, each: 5) == [nil, nil, 0, 0])
    }

    @Test func linksAndComputing() {
        func cluster(_ sent: UInt64, _ compute: Double, _ wait: Double, job: String = "j1") -> ClusterState {
            .with {
                $0.members = [
                    .with {
                        $0.name = "alpha"
                        $0.job = job
                        $0.progress = .with {
                            $0.ringBytesSent = sent
                            $0.computeSeconds = compute
                            $0.waitSeconds = wait
                        }
                    }
                ]
            }
        }
        var history = ClusterHistory()
        history.see(cluster(100, 4, 1), [], at: 0)
        #expect(history.linkRate("alpha") == nil)
        #expect(history.computeShare("alpha") == 0.8)
        history.see(cluster(5100, 5, 4), [], at: 2)
        #expect(history.linkRate("alpha") == 2500)
        #expect(history.computeShare("alpha") == 0.25)
        // Another job counts from its own beginning.
        history.see(cluster(50, 1, 0, job: "j2"), [], at: 3)
        #expect(history.linkRate("alpha") == nil)
        history.see(ClusterState(), [], at: 4)
        #expect(history.linkRate("alpha") == nil && history.computeShare("alpha") == nil)
    }

    @Test func workersStandInRingOrder() {
        var cluster = ClusterState()
        cluster.members = ["a", "b", "c", "d"].map { name in .with { $0.name = name } }
        cluster.members[0].job = "j2"
        cluster.members[2].job = "j1"
        cluster.members[3].job = "j1"
        var first = job(1, .prefill)
        first.shares = ([("c", 1), ("d", 0)] as [(String, UInt32)]).map { name, rank in
            .with {
                $0.worker = name
                $0.rank = rank
            }
        }
        var history = ClusterHistory()
        history.see(cluster, [job(2, .decode), first], at: 0)
        #expect(history.places.map(\.member.name) == ["d", "c", "a", "b"])
        #expect(history.places.map { $0.job?.id } == ["j1", "j1", "j2", nil])
    }

    @Test func oddFiguresAreHarmless() {
        var history = ClusterHistory()
        for (index, value) in ([0, .max, 1, .max] as [UInt64]).enumerated() {
            var job = job(1, .prefill, prefilled: value, generated: value)
            job.promptTokens = value
            let cluster = ClusterState.with {
                $0.members = [
                    .with {
                        $0.job = "j1"
                        $0.memoryBytes = value
                        $0.kvBytesUsed = .max
                        $0.lastHeartbeatSeconds = .nan
                        $0.progress = .with {
                            $0.ringBytesSent = value
                            $0.layer = .max
                            $0.layers = 1
                            $0.step = .max
                            $0.steps = 2
                            $0.computeSeconds = .infinity
                            $0.waitSeconds = -.infinity
                        }
                    }
                ]
            }
            history.see(cluster, [job, job], at: Double(index))
            let lines = TopScreen(
                history, size: TopSize(columns: 120, rows: 24), style: TopStyle(), coordinator: "a:1",
                at: Double(index), clock: ""
            ).lines
            #expect(lines.count > 5)
        }
        #expect(history.json.text.hasPrefix("{\"prompt_tokens_per_second\":"))
    }
}

@Suite struct GaugeTests {
    @Test func bars() {
        #expect(Gauge.bar(0.5, width: 12) == "[#####-----]")
        #expect(Gauge.bar(2, width: 5) == "[###]")
        #expect(Gauge.bar(-.infinity, width: 5) == "[---]")
        #expect(Gauge.bar(.nan, width: 3) == "[-]")
        #expect(Gauge.bar(1, width: 2) == "")
    }

    @Test func sparklines() {
        #expect(Gauge.sparkline([nil, 0, 1, 4, 8], blocks: true) == " ▁▂▅█")
        #expect(Gauge.sparkline([nil, 0, 1, 4, 8], blocks: false) == " _.=#")
        #expect(Gauge.sparkline([0, 0, .nan], blocks: false) == "__ ")
        // The least that is not nothing can be told from nothing.
        #expect(Gauge.sparkline([0.001, 1000], blocks: false) == ".#")
    }
}

@Suite struct KeyReaderTests {
    private func keys(_ text: String) -> [Key] {
        var reader = KeyReader()
        return reader.keys(Array(text.utf8))
    }

    @Test func keys() {
        #expect(keys("qQ") == [.quit, .quit])
        #expect(keys("jkgG ") == [.down, .up, .home, .end, .pageDown])
        #expect(keys("\u{1b}[A\u{1b}[B\u{1b}OA\u{1b}OB") == [.up, .down, .up, .down])
        #expect(
            keys("\u{1b}[5~\u{1b}[6~\u{1b}[1~\u{1b}[4~\u{1b}[H\u{1b}[F") == [
                .pageUp, .pageDown, .home, .end, .home, .end,
            ])
        // Unknown sequences, mouse reports and letters of other alphabets are no keys; none of their bytes is a q.
        #expect(keys("x\u{1b}[15;2~\u{1b}[<0;10;10Mä\u{1b}[200~") == [])
        #expect(keys("\u{1b}q") == [.quit])
    }

    /// A slow line brings a sequence byte by byte.
    @Test func pieces() {
        var reader = KeyReader()
        #expect("\u{1b}[A".utf8.flatMap { reader.keys([$0]) } == [.up])
        #expect(
            reader.keys([0x1b]) == [] && reader.keys([0x1b]) == [] && reader.keys(Array("[B".utf8)) == [.down]
        )
        // A sequence without an end does not swallow the keys after it.
        #expect(
            reader.keys(Array(("\u{1b}[" + String(repeating: "1", count: 20) + "q").utf8)).contains(.quit))
    }
}
