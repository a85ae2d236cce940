// The frames of `lariat top`: every size, every state, untrusted text, old data, scrolling.

import Messages
import Protobuf
import Testing
import lariat

@Suite struct TopScreenTests {
    private func member(_ name: String, _ state: MemberState, job: String = "", reason: String = "")
        -> MemberRecord
    {
        .with {
            $0.name = name
            $0.state = state
            $0.reason = reason
            $0.memoryBytes = 2 << 30
            $0.kvBytesUsed = 1 << 30
            $0.job = job
            $0.lastHeartbeatSeconds = 0.4
        }
    }

    private func progress(layer: UInt32, step: UInt32, sent: UInt64, compute: Double, wait: Double)
        -> RunProgress
    {
        .with {
            $0.layer = layer
            $0.layers = 30
            $0.step = step
            $0.steps = 2
            $0.ringBytesSent = sent
            $0.computeSeconds = compute
            $0.waitSeconds = wait
        }
    }

    private var running: JobRecord {
        .with {
            $0.id = "j2"
            $0.state = .prefill
            $0.submittedMicroseconds = 2
            $0.promptTokens = 1000
            $0.prefilledTokens = 500
            // By rank beta comes first.
            $0.shares = [
                .with {
                    $0.worker = "alpha"
                    $0.rank = 1
                    $0.tokens = 250
                },
                .with {
                    $0.worker = "beta"
                    $0.rank = 0
                    $0.tokens = 750
                },
            ]
        }
    }

    /// Two looks, two seconds apart, at a cluster with a running and a waiting job.
    private var history: ClusterHistory {
        var cluster = ClusterState()
        cluster.model = "model"
        cluster.epoch = 7
        cluster.running = 1
        cluster.queued = 1
        cluster.version = "0.1.0"
        cluster.members = [
            member("alpha", .busy, job: "j2"), member("beta", .busy, job: "j2"),
            member("gamma", .lost, reason: "not heard for 5 s"),
        ]
        var waiting = JobRecord()
        waiting.id = "j3"
        waiting.state = .queued
        waiting.queuePosition = 1
        waiting.submittedMicroseconds = 3
        waiting.promptTokens = 20
        waiting.reason = "waits for other jobs"
        var earlier = running
        earlier.prefilledTokens = 400
        var history = ClusterHistory()
        cluster.members[0].progress = progress(layer: 12, step: 0, sent: 0, compute: 10, wait: 1)
        history.see(cluster, [waiting, earlier], at: 100)
        cluster.members[0].progress = progress(layer: 15, step: 1, sent: 4 << 20, compute: 11.5, wait: 1.5)
        history.see(cluster, [waiting, running], at: 102)
        return history
    }

    private func screen(
        _ history: ClusterHistory, _ columns: Int, _ rows: Int?, at now: Double = 102, skipped: Int = 0,
        keys: Bool = false
    ) -> [String] {
        TopScreen(
            history, size: TopSize(columns: columns, rows: rows), style: TopStyle(blocks: false, keys: keys),
            coordinator: "10.0.0.1:7400", at: now, clock: "12:00:00 UTC", skipped: skipped
        ).lines
    }

    @Test func wholeFrame() {
        let unknown = String(repeating: " ", count: 59)
        #expect(
            screen(history, 120, nil) == [
                "lariat top  10.0.0.1:7400  model" + String(repeating: " ", count: 76) + "12:00:00 UTC",
                "1 running, 1 waiting  3 workers: 2 busy, 1 lost  epoch 7  version 0.1.0",
                "prompt        50.0 tokens/s  \(unknown)#  last 3 min",
                "generated        0 tokens/s  \(unknown)_  last 3 min",
                "",
                "worker  state  share  layer  step  computing  to the next   KV                  of  heard  job",
                "beta    busy   75.0%                       -               50%  [###---]  2.00 GiB    0 s  j2",
                "alpha   busy   25.0%  15/30   2/2        75%   2.00 MiB/s  50%  [###---]  2.00 GiB    0 s  j2",
                "gamma   lost                                               50%  [###---]  2.00 GiB    0 s",
                "! gamma is lost: not heard for 5 s", "",
                "job  state      progress                 left     tokens  name, reason",
                "j2   prefill    [########--------]  50%  10 s  500/1,000",
                "j3   queued #1                                        20  waits for other jobs",
            ])
    }

    @Test func eightyByTwentyFour() {
        let lines = screen(history, 80, 24, keys: true)
        #expect(lines.count == 24)
        #expect(lines.last == "q quits, j and k scroll the workers")
        #expect(lines.contains { $0.hasPrefix("alpha") && $0.contains("15/30") && $0.contains("2.00 MiB/s") })
        #expect(lines.contains { $0.hasPrefix("j3") && $0.hasSuffix("waits for other jobs") })
    }

    /// What matters most stays: names, states, layers, memory, progress and reasons.
    @Test func fortyColumns() {
        let lines = screen(history, 40, 24)
        #expect(
            lines.contains { $0.hasPrefix("alpha   busy   ") && $0.contains("15/30") && $0.contains("50%") })
        #expect(
            lines.contains { $0.hasPrefix("j2   prefill") && $0.contains("50%") && $0.contains("10 s") })
        #expect(lines.contains { $0.hasPrefix("j3   queued #1") && $0.contains("waits for") })
    }

    @Test(arguments: [0, 1, 2, 5, 10, 20, 39, 40, 80, 200, 100_000]) func neverLargerThanItsRoom(columns: Int)
    {
        var histories = [ClusterHistory(), history, many(64)]
        histories[1].miss("connection refused", at: 103, retry: 104)
        for history in histories {
            for rows in [0, 1, 2, 3, 5, 8, 12, 24, 60] {
                for skipped in [0, 1, 63, 1000] {
                    let lines = screen(history, columns, rows, skipped: skipped, keys: true)
                    #expect(lines.count <= rows)
                    #expect(lines.allSatisfy { $0.count <= columns && !$0.contains("\n") })
                }
            }
        }
    }

    private func many(_ count: Int) -> ClusterHistory {
        var cluster = ClusterState()
        cluster.members = (0..<count).map { member("worker-\($0)", .ready) }
        var history = ClusterHistory()
        history.see(cluster, [], at: 0)
        return history
    }

    /// A low terminal has no room for blank lines, and shows workers and jobs all the same.
    @Test func lowTerminal() {
        let lines = screen(history, 80, 10, keys: true)
        #expect(lines.count == 10 && !lines.contains(""))
        #expect(lines.contains { $0.hasPrefix("beta") })
        #expect(lines.contains { $0.hasPrefix("! gamma is lost") })
        #expect(screen(history, 80, 13, keys: true).contains { $0.hasPrefix("j2") })
    }

    /// With 64 workers the table is cut, and says by how much.
    @Test func manyWorkers() {
        let lines = screen(many(64), 80, 24, keys: true)
        let shown = lines.count { $0.hasPrefix("worker-") }
        #expect(shown > 10)
        #expect(lines.contains("and \(64 - shown) more"))
        #expect(lines.contains { $0.hasPrefix("no jobs") })
        #expect(screen(many(64), 80, nil).count { $0.hasPrefix("worker-") } == 64)
    }

    @Test func scrolling() {
        let scrolled = screen(many(64), 80, 24, skipped: 10)
        #expect(scrolled.contains { $0.hasPrefix("worker-10 ") })
        #expect(!scrolled.contains { $0.hasPrefix("worker-9 ") })
        #expect(scrolled.contains { $0.hasSuffix("more, 10 above") })
        let end = screen(many(64), 80, 24, skipped: 1000)
        #expect(end.contains { $0.hasPrefix("worker-63 ") })
        #expect(end.contains { $0.hasPrefix("these are the last, ") })
        // Nothing to scroll where everything fits.
        #expect(screen(many(3), 80, 24, skipped: 2).count { $0.hasPrefix("worker-") } == 3)
        #expect(TopScreen.mostSkipped(many(64)) == 63)
    }

    @Test func manyJobs() {
        var history = ClusterHistory()
        let jobs = (1...200).reversed().map { number in
            JobRecord.with {
                $0.id = "j\(number)"
                $0.state = number == 1 ? .decode : .queued
                $0.queuePosition = UInt32(number - 1)
                $0.submittedMicroseconds = UInt64(number)
            }
        }
        history.see(ClusterState(), jobs, at: 0)
        let lines = screen(history, 80, 24)
        // The one that runs, though it is the oldest; then the next ones.
        let first = lines.firstIndex { $0.hasPrefix("j1 ") }
        #expect(first != nil)
        #expect(first.map { lines[$0 + 1].hasPrefix("j2 ") } == true)
        let shown = lines.count { $0.first == "j" && $0.contains("queued") } + 1
        #expect(lines.contains("and \(200 - shown) more"))
    }

    @Test func oldDataIsSaid() {
        var history = history
        history.miss("connection refused", at: 103, retry: 104)
        history.miss("connection refused", at: 104, retry: 112)
        let lines = screen(history, 100, 24, at: 110)
        #expect(lines[1] == "no answer from 10.0.0.1:7400 for 7 s; this is 8 s old; next try in 2 s")
        #expect(lines[2] == "  connection refused")
        // The last look stays, and its ages grow.
        #expect(lines.contains { $0.hasPrefix("alpha") && $0.contains("  8 s") })
        history.see(history.cluster, history.jobs, at: 112)
        #expect(history.trouble == nil)
        #expect(!screen(history, 100, 24, at: 112).contains { $0.contains("no answer") })
    }

    /// Names of jobs are whatever their owner wrote.
    @Test func untrustedText() {
        var history = ClusterHistory()
        let job = JobRecord.with {
            $0.id = "j1"
            $0.state = .queued
            $0.options = .with { $0.name = "\u{1b}[2J\u{7}bad\nname " + String(repeating: "é", count: 300) }
            $0.reason = "\u{9b}31m"
        }
        history.see(ClusterState(), [job], at: 0)
        history.see(ClusterState(), [job], at: 1)
        let lines = screen(history, 80, 24)
        #expect(lines.contains { $0.contains("?[2J?bad?name") && $0.count == 80 && $0.last == "~" })
        #expect(!lines.joined().unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    @Test func coloursAreOnlyBesideWords() {
        let plain = screen(history, 80, 24)
        let coloured = TopScreen(
            history, size: TopSize(columns: 80, rows: 24), style: TopStyle(colours: true, blocks: false),
            coordinator: "10.0.0.1:7400", at: 102, clock: "12:00:00 UTC"
        ).lines
        #expect(coloured != plain)
        #expect(coloured.map { $0.replacing(#/\u{1b}\[[0-9;]*m/#, with: "") } == plain)
        #expect(!plain.joined().contains("\u{1b}"))
    }

    @Test func nothingYet() {
        #expect(screen(ClusterHistory(), 80, 24).count == 1)
        var history = ClusterHistory()
        history.see(ClusterState(), [], at: 0)
        #expect(screen(history, 80, 24).contains { $0.contains("no worker has registered") })
    }
}
