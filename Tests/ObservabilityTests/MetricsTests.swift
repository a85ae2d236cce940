// Metrics as values, their text form, and what Prometheus' own tool says of it.

import Foundation
import Observability
import Testing

struct MetricsTests {
    @Test func familiesCannotBreakTheRules() {
        let counter = MetricFamily.counter(
            "Jobs-done", "",
            [
                Labelled(1, ["worker": "a"]), Labelled(-3, ["worker": "b"]), Labelled(2, ["worker": "a"]),
                Labelled(.nan, ["worker": "b"]),
            ])
        #expect(counter.name == "jobs_done_total")
        #expect(counter.help == "jobs_done_total")
        #expect(counter.series.map(\.value) == [.number(3), .number(0)])
        let gauge = MetricFamily.gauge(
            "1st_total", "x", [Labelled(1, ["__a": "1", "le": "2", "ä": "3"]), Labelled(2, .none)])
        #expect(gauge.name == "_1st")
        #expect(gauge.series[0].labels.pairs.map(\.name) == ["_", "_a", "le_"])
        #expect(MetricFamily.gauge("", "", 1).name == "_")
    }

    @Test func histogramsCountWhatCanBeCounted() {
        var histogram = Histogram(upperBounds: [2, 1, .infinity, 2, .nan])
        #expect(histogram.upperBounds == [1, 2])
        for value in [0.5, 1, 1.5, 3, -4, .nan, .infinity, -.infinity] { histogram.observe(value) }
        #expect(histogram.counts == [3, 1, 1])
        #expect(histogram.count == 5)
        #expect(histogram.sum == 6)
        histogram.observe(.milliseconds(1500))
        #expect(histogram.counts == [3, 2, 1])
        var other = Histogram(upperBounds: [1, 2])
        other.observe(10)
        let merged = histogram.merge(other)
        #expect(merged)
        #expect(histogram.counts == [3, 2, 2] && histogram.sum == 17.5)
        let mixed = histogram.merge(Histogram(upperBounds: [1]))
        #expect(!mixed)
    }

    @Test func vectorsDoNotGrowBeyondTheirLimit() {
        var counters = CounterVector(maximumSeries: 2)
        for name in ["a", "b", "c", "d", "a"] { counters.add(1, ["worker": name]) }
        counters.add(-1, ["worker": "a"])
        #expect(counters[["worker": "a"]] == 2)
        #expect(counters[["worker": "c"]] == 0)
        #expect(counters[["worker": "other"]] == 2)
        #expect(counters.family("x_total", "x").series.count == 3)
        var histograms = HistogramVector(like: Histogram(upperBounds: [1]), maximumSeries: 1)
        histograms.observe(0.5, ["route": "/a"])
        histograms.observe(2, ["route": "/b"])
        histograms.observe(3, ["route": "/c"])
        #expect(histograms[["route": "/a"]]?.counts == [1, 0])
        #expect(histograms[["route": "other"]]?.counts == [0, 2])
    }

    @Test func textIsWhatTheFormatSays() {
        var histogram = Histogram(upperBounds: [0.5, 10])
        for value in [0.25, 4, 100] { histogram.observe(value) }
        let page = PrometheusText.render([
            .counter(
                "sent_bytes_total", "Bytes\nsent \\ \"all\".",
                [Labelled(1e15, ["to": "a\"b\\c\nd", "by": "é"])]),
            .gauge("empty", "Nothing.", []),
            .gauge(
                "room_ratio", "Room.",
                [Labelled(0.1, ["n": "1"]), Labelled(-.infinity, ["n": "2"]), Labelled(.nan, ["n": "3"])]),
            .histogram("wait_seconds", "Waits.", [Labelled(histogram, ["p": "x"])]),
            .counter("sent_bytes_total", "Again.", 2),
            .gauge("wait_seconds", "Of another kind.", 1),
        ])
        #expect(
            page == #"""
                # HELP sent_bytes_total Bytes\nsent \\ "all".
                # TYPE sent_bytes_total counter
                sent_bytes_total{by="é",to="a\"b\\c\nd"} 1000000000000000
                sent_bytes_total 2
                # HELP room_ratio Room.
                # TYPE room_ratio gauge
                room_ratio{n="1"} 0.1
                room_ratio{n="2"} -Inf
                room_ratio{n="3"} NaN
                # HELP wait_seconds Waits.
                # TYPE wait_seconds histogram
                wait_seconds_bucket{p="x",le="0.5"} 1
                wait_seconds_bucket{p="x",le="10"} 2
                wait_seconds_bucket{p="x",le="+Inf"} 3
                wait_seconds_sum{p="x"} 104.25
                wait_seconds_count{p="x"} 3

                """#)
    }

    @Test func processMetricsAreTakenFromTheRightFields() throws {
        // Fields as proc(5) numbers them; the program's name holds what separates fields.
        let after = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 4000 123456789 321 18446744073709551615"
        let families = ProcessMetrics.families(
            stat: "42 (a) b (c) \(after)\n", systemStat: "cpu 1 2\nbtime 1700000000\n",
            limits:
                "Limit     Soft Limit  Hard Limit  Units\nMax open files            1024     4096     files\n",
            openFiles: 9, ticksPerSecond: 100, pageBytes: 4096)
        let values = Dictionary(uniqueKeysWithValues: families.map { ($0.name, $0.series[0].value) })
        #expect(
            values == [
                "process_cpu_seconds_total": .number(3), "process_resident_memory_bytes": .number(321 * 4096),
                "process_virtual_memory_bytes": .number(123_456_789), "process_threads": .number(7),
                "process_open_fds": .number(9), "process_max_fds": .number(1024),
                "process_start_time_seconds": .number(1_700_000_040),
            ])
        let nothing = ProcessMetrics.families(
            stat: "", systemStat: "", limits: "", openFiles: nil, ticksPerSecond: 100, pageBytes: 4096)
        #expect(nothing.isEmpty)
    }

    @Test func processMetricsTellOfThisProcess() throws {
        func current(_ name: String) throws -> Double {
            let family = try #require(ProcessMetrics.current().first { $0.name == name })
            guard case .number(let value) = family.series[0].value else { return .nan }
            return value
        }
        // Other tests open and close files meanwhile: many more than they use.
        let before = try current("process_open_fds")
        let files = try (0..<400).map { _ in try FileHandle(forReadingFrom: URL(filePath: "/dev/null")) }
        #expect(try current("process_open_fds") >= before + 200)
        for file in files { try file.close() }
        let started = try current("process_start_time_seconds")
        #expect(
            (Date.now.timeIntervalSince1970 - 3600...Date.now.timeIntervalSince1970 + 2).contains(started))
        #expect(try current("process_resident_memory_bytes") > 1_000_000)
        #expect(try current("process_threads") >= 1)
        #expect(ProcessMetrics.current().count == 7)
    }

    @Test(
        .enabled(
            if: Command.exists("promtool"),
            "promtool is not installed: Ops/setup --tests installs it (Debian package prometheus)"))
    func promtoolHasNothingToSay() async throws {
        let statistics = WebStatistics()
        try await withServer([WebRoute(.get, "/a/{id}") { _ in .text("a") }], statistics: statistics) {
            port in
            for path in ["/a/1", "/a/2", "/b"] { _ = try await curl("http://127.0.0.1:\(port)\(path)") }
        }
        var histogram = Histogram.seconds
        histogram.observe(0.3)
        let page = PrometheusText.render(
            [
                .counter(
                    "Odd name", "A\nname \\ repaired.",
                    [Labelled(1, ["path": "a\\b\"c\nd\re\u{0}f", "le": "1"])]),
                .gauge(
                    "lariat_level_total", "A suffix repaired.",
                    [Labelled(.nan, .none), Labelled(.infinity, ["a": ""])]),
                .histogram(
                    "lariat_wait_seconds", "Waits.",
                    [Labelled(histogram, ["peer": "ü"]), Labelled(.seconds, .none)]),
            ] + statistics.families() + ProcessMetrics.current())
        let result = try await Command.run("promtool", ["check", "metrics"], input: Data(page.utf8))
        #expect(result.status == 0 && result.output.isEmpty, "\(result.output)\n\(page)")
        // The tool does judge: it must not like a page that is wrong.
        let wrong = try await Command.run(
            "promtool", ["check", "metrics"], input: Data("# TYPE a counter\na{b=\"\\x\"} 1\n".utf8))
        #expect(wrong.status != 0)
    }
}
