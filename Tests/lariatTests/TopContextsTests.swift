// The contexts in the frames of `lariat top`, and prompts that were in memory in its rates.

import Messages
import Protobuf
import Testing
import lariat

@Suite struct TopContextsTests {
    private func context(_ name: String, _ state: ContextState = .ready) -> ContextRecord {
        .with {
            $0.name = name
            $0.state = state
            $0.tokens = 120_000
            $0.kvBytes = state == .ready ? 3 << 30 : 0
            $0.questions = 7
            $0.usedMicroseconds = 1_790_000_000_000_000
            $0.shares = state == .ready ? [.with { $0.worker = "alpha" }] : []
        }
    }

    private func history(_ contexts: [ContextRecord], jobs: [JobRecord] = []) -> ClusterHistory {
        var history = ClusterHistory()
        let cluster = ClusterState.with {
            $0.members = [
                .with {
                    $0.name = "alpha"
                    $0.state = .ready
                }
            ]
        }
        history.see(cluster, jobs, contexts, at: 0)
        return history
    }

    private func lines(_ history: ClusterHistory, columns: Int = 100, rows: Int?) -> [String] {
        TopScreen(
            history, size: TopSize(columns: columns, rows: rows), style: TopStyle(), coordinator: "here:1",
            at: 0,
            clock: "12:00:00 UTC"
        ).lines
    }

    @Test func contextsStandBetweenWorkersAndJobs() throws {
        let lines = lines(history([context("ruth"), context("ro\u{1b}mans", .gone)]), rows: 30)
        let titles = try #require(lines.firstIndex { $0.hasPrefix("context") })
        #expect(lines[titles + 1].hasPrefix("ruth     ready  120,000  3.00 GiB"))
        #expect(lines[titles + 1].hasSuffix("2026-09-21 14:13:20  alpha"))
        #expect(lines[titles + 2].hasPrefix("ro?mans  gone   120,000         -"))
        let workers = try #require(lines.firstIndex { $0.hasPrefix("worker") })
        let jobs = try #require(lines.firstIndex { $0.hasPrefix("no jobs") })
        #expect(workers < titles && titles < jobs)
    }

    @Test func withoutContextsNothingIsSaidOfThem() {
        #expect(!lines(history([]), rows: nil).contains { $0.contains("context") })
    }

    @Test(arguments: [0, 1, 5, 8, 10, 12, 15, 20, 40], [20, 60, 200])
    func theyFitAnySize(rows: Int, columns: Int) {
        let jobs = (0..<30).map { number in
            JobRecord.with {
                $0.id = "j\(number)"
                $0.state = .queued
            }
        }
        let history = history((0..<30).map { context("c\($0)") }, jobs: jobs)
        let lines = lines(history, columns: columns, rows: rows)
        #expect(lines.count <= rows && lines.allSatisfy { $0.count <= columns })
        // Of a small terminal they take no more than a fifth.
        let contexts = lines.filter { $0.wholeMatch(of: #/c\d.*/#) != nil }
        #expect(contexts.count <= max(0, rows / 5))
        if rows >= 20 { #expect(!contexts.isEmpty && lines.contains { $0.hasSuffix("more") }) }
    }

    /// Half of what is to be computed took ten seconds, however much was in memory.
    @Test func theTimeLeftIsThatOfWhatIsComputed() {
        var history = history([])
        var job = JobRecord.with {
            $0.id = "j1"
            $0.state = .prefill
            $0.promptTokens = 120_064
            $0.cachedTokens = 119_936
        }
        for (done, at) in [(119_936, 0), (119_968, 5), (120_000, 10)] as [(UInt64, Double)] {
            job.prefilledTokens = done
            history.see(history.cluster, [job], at: at)
        }
        #expect(history.remaining(job, at: 10) == 10)
    }

    @Test func whatWasInMemoryIsNoThroughput() {
        var history = history([])
        var job = JobRecord.with {
            $0.id = "j1"
            $0.state = .prefill
            $0.submittedMicroseconds = 5
            $0.promptTokens = 120_064
        }
        func see(_ seconds: Double) { history.see(history.cluster, [job], at: seconds) }
        job.cachedTokens = 119_936
        job.prefilledTokens = 119_936
        see(1)
        #expect(history.promptRate == 0)
        job.prefilledTokens = 120_064
        see(2)
        #expect((history.promptRate ?? .infinity) <= 128)
        // A count that is told late, or is wrong, makes no negative number.
        job.cachedTokens = .max
        see(3)
        #expect((history.promptRate ?? .infinity) <= 128)
    }
}
