// Jobs side by side: on disjoint workers, in order, and with no effect on one another.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite(.timeLimit(.minutes(10))) struct SeveralJobsTests {
    @inline(never) private func bench(_ names: [String] = ["alpha", "beta"]) async throws -> Bench {
        let bench = try await Bench(TemporaryDirectory(), names: names)
        for name in names { bench.workers[name] = .hang }
        return bench
    }

    @inline(never) private func submit(_ bench: Bench, workers: UInt32, text: String = "hello") async throws
        -> String
    {
        try await bench.submit(text, .with { $0.workers = workers }).id
    }

    @inline(never) private func running(_ bench: Bench, _ count: UInt32) async throws {
        while await bench.core.cluster().running != count { try await Task.sleep(for: .milliseconds(2)) }
    }

    @inline(never) private func shares(_ bench: Bench, _ id: String) async throws -> [String] {
        while true {
            let job = try await bench.core.job(id)
            if !job.shares.isEmpty { return job.shares.map(\.worker) }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    @Test func jobsForOneWorkerRunSideBySide() async throws {
        let bench = try await bench()
        let ids = [try await submit(bench, workers: 1), try await submit(bench, workers: 1)]
        try await running(bench, 2)
        var used: [String] = []
        for id in ids { used += try await shares(bench, id) }
        #expect(used.sorted() == ["alpha", "beta"])
        #expect(await bench.core.cluster().members.map(\.state) == [.busy, .busy])
        // The third waits, and runs when one has ended.
        let third = try await submit(bench, workers: 1)
        #expect(try await bench.core.job(third).reason == "waits for other jobs")
        _ = try await bench.core.cancel(ids[0])
        #expect(try await shares(bench, third).count == 1)
        #expect(try await bench.core.job(ids[1]).state != .cancelled)
        for id in [ids[1], third] { #expect(try await bench.core.cancel(id).state == .cancelled) }
    }

    @Test func aJobForAllIsNotOvertaken() async throws {
        let bench = try await bench()
        let first = try await submit(bench, workers: 1)
        try await running(bench, 1)
        let all = try await submit(bench, workers: 0)
        let small = try await submit(bench, workers: 1)
        #expect(
            await bench.core.cluster().running == 1, "one worker is free, but the job for all comes first")
        _ = try await bench.core.cancel(first)
        #expect(try await shares(bench, all).count == 2)
        #expect(try await bench.core.job(small).state == .queued)
        _ = try await bench.core.cancel(all)
        #expect(try await shares(bench, small).count == 1)
        _ = try await bench.core.cancel(small)
    }

    @Test func memoryMayNeedMoreWorkersThanAskedFor() async throws {
        let bench = try await bench([])
        for name in ["alpha", "beta", "gamma"] {
            bench.workers[name] = .hang
            try await bench.join(name, memory: 200_000)
        }
        // 361 positions of 1000 bytes each: two workers of three.
        let id = try await bench.submit(
            String(repeating: "x", count: 351),
            .with {
                $0.workers = 1
                $0.maxTokens = 10
            }
        ).id
        #expect(try await shares(bench, id) == ["alpha", "beta"])
        let other = try await submit(bench, workers: 5, text: "x")
        #expect(try await bench.core.job(other).state == .queued, "more than there are means all")
        for id in [id, other] { _ = try await bench.core.cancel(id) }
    }

    @Test func aLostWorkerEndsOnlyItsJob() async throws {
        let bench = try await bench()
        for name in ["alpha", "beta"] { bench.workers[name] = .hangInPrefill(layers: 1) }
        let ids = [try await submit(bench, workers: 1), try await submit(bench, workers: 1)]
        for id in ids { try await bench.waitUntil(id) { $0.prefilledTokens > 0 } }
        let lost = try await shares(bench, ids[0])[0]
        _ = try await bench.core.leave(
            .with {
                $0.name = lost
                $0.instance = "i-\(lost)"
            })
        #expect(try await bench.result(ids[0]).state == .failed)
        #expect(try await bench.core.job(ids[1]).state != .failed)
        #expect(try await bench.core.cancel(ids[1]).state == .cancelled)
    }

    @Test func theProfileThatWasAskedForIsKept() async throws {
        let bench = try await bench()
        let job = try await bench.submit(
            "hello",
            .with {
                $0.rope = .with { $0.name = "yarn:2" }
                $0.workers = 1
            })
        #expect(job.profile?.name == "yarn:2" && job.note == "by request")
        #expect(try await bench.core.job(job.id).options?.rope?.name == "yarn:2")
        _ = try await bench.core.cancel(job.id)
    }
}
