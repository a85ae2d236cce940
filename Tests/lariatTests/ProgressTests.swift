// The progress bar: what is drawn, how often, rate and time left.

import Testing
import lariat

@Suite struct ProgressTests {
    @Test func barFillsItsWidth() {
        let line = ProgressMeter.bar(done: 4096, total: 8192, rate: 100, width: 110)
        #expect(
            line
                == "prefill  50% [####################--------------------]  4,096/8,192 tokens  100 tokens/s  ETA 41.0 s"
        )
    }

    @Test(arguments: [1, 10, 20, 40, 60, 80, 200]) func barNeverWraps(width: Int) {
        for done in [0, 1, 999_999, 1_000_000] as [UInt64] {
            #expect(ProgressMeter.bar(done: done, total: 1_000_000, rate: 123.4, width: width).count < width)
        }
    }

    @Test func barIsDrawnAtMostTenTimesASecond() {
        var meter = ProgressMeter(style: .bar(width: 80))
        let drawn = (0..<1000).count {
            meter.update(done: UInt64($0), total: 1000, at: Double($0) / 1000) != nil
        }
        #expect(drawn == 10)
    }

    @Test func linesComeEveryTenPerCent() {
        var meter = ProgressMeter(style: .lines)
        let lines = (0...1000).compactMap { meter.update(done: UInt64($0), total: 1000, at: Double($0)) }
        #expect(lines.count == 10)
        #expect(lines.first == "prefill  10%  100/1,000 tokens  1.00 tokens/s  ETA 15 min 00 s\n")
        #expect(lines.last == "prefill 100%  1,000/1,000 tokens  1.00 tokens/s\n")
    }

    /// Who waits for a short job reads nothing of its progress; of a longer one a line every two seconds at most.
    @Test func shortJobsSayNothing() {
        var meter = ProgressMeter(style: .lines)
        let short = (0...63).compactMap { meter.update(done: UInt64($0), total: 63, at: Double($0) / 40) }
        #expect(short.isEmpty)
        meter = ProgressMeter(style: .lines)
        let longer = (0...100).compactMap { meter.update(done: UInt64($0), total: 100, at: Double($0) / 10) }
        #expect(longer.count == 5)
    }

    /// A client that comes to a job half done must not count what was done before.
    @Test func rateCountsFromTheFirstReport() {
        var meter = ProgressMeter(style: .lines)
        _ = meter.update(done: 500, total: 1000, at: 100)
        #expect(
            meter.update(done: 600, total: 1000, at: 110)
                == "prefill  60%  600/1,000 tokens  10.0 tokens/s  ETA 40.0 s\n")
    }

    @Test func restartCountsAnew() {
        var meter = ProgressMeter(style: .lines)
        _ = meter.update(done: 900, total: 1000, at: 0)
        _ = meter.update(done: 0, total: 1000, at: 10)
        #expect(
            meter.update(done: 100, total: 1000, at: 20)
                == "prefill  10%  100/1,000 tokens  10.0 tokens/s  ETA 1 min 30 s\n")
    }

    @Test func oddFiguresAreHarmless() {
        var meter = ProgressMeter(style: .bar(width: 80))
        #expect(meter.update(done: 5, total: 0, at: 0) == nil)
        #expect(meter.update(done: .max, total: 10, at: 1)?.contains("100%") == true)
        #expect(meter.update(done: .max, total: .max, at: 2)?.contains("100%") == true)
        #expect(ProgressMeter.eta(remaining: 10, rate: 0) == nil)
        #expect(ProgressMeter.eta(remaining: 10, rate: 4) == 2.5)
    }

    @Test func eraseOnlyWhatIsThere() {
        var meter = ProgressMeter(style: .bar(width: 80))
        #expect(meter.erase() == nil)
        _ = meter.update(done: 1, total: 10, at: 0)
        #expect(meter.erase() == "\r\u{1b}[K")
        #expect(meter.erase() == nil)
    }
}
