// Whole runs over scripted workers: success, every kind of failure, and what clients see of it.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite(.timeLimit(.minutes(10))) struct RunTests {
    @inline(never) private func bench(_ names: [String] = ["alpha", "beta"]) async throws -> Bench {
        try await Bench(TemporaryDirectory(), names: names)
    }

    @Test func anAnswerArrivesWhole() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer("Grüße, world")
        let id = try await bench.submit("hello", .with { $0.maxTokens = 20 }).id
        let events = try await bench.events(id)
        #expect(events.map(\.number) == Array(1...UInt64(events.count)))
        #expect(events.first?.isState == true && events.last?.isEnd == true)
        #expect(events.flatMap { $0.answer?.text ?? [] } == Array("Grüße, world".utf8))
        #expect(events.flatMap { $0.answer?.tokens ?? [] } == "Grüße, world".utf8.map { UInt32($0) })
        // Whole characters in each event.
        for event in events { #expect(String(validating: event.answer?.text ?? [], as: UTF8.self) != nil) }
        let job = try await bench.core.job(id)
        #expect(job.state == .succeeded && job.finish == .end && job.reason == "")
        #expect(job.text == Array("Grüße, world".utf8))
        #expect(job.prefilledTokens == 5 && job.generatedTokens == 14)
        #expect(job.shares.map(\.worker) == ["alpha", "beta"])
        // Each token went to exactly one worker.
        #expect(
            (bench.workers.prompt("alpha") + bench.workers.prompt("beta")).sorted()
                == "hello".utf8.map { UInt32($0) }.sorted())
    }

    @Test func everyFollowerSeesTheSame() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer(String(repeating: "abc", count: 50))
        let id = try await bench.submit("hello", .with { $0.maxTokens = 200 }).id
        async let one = bench.events(id)
        async let two = bench.events(id)
        let live = try await one
        #expect(try await two == live)
        // Later, and from the middle.
        #expect(try await bench.events(id) == live)
        #expect(try await bench.events(id, from: 2) == Array(live.dropFirst()))
        // From beyond the end: at least the end.
        #expect(try await bench.events(id, from: 1000).map(\.isEnd) == [true])
    }

    @Test func aClientThatGoesCancelsNothing() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .hang
        bench.workers["beta"] = .hang
        let id = try await bench.submit("hello").id
        let client = Task { try await bench.events(id) }
        client.cancel()
        _ = try? await client.value
        #expect(try await bench.core.job(id).state != .cancelled)
        try await bench.waitUntil(id) { $0.state == .prefill }
        let done = try await bench.core.cancel(id)
        #expect(done.state == .cancelled && done.finish == .cancelled)
        // The job has ended before its calls have.
        while await bench.core.cluster().running > 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(bench.workers.cancelled("alpha") == 1 && bench.workers.cancelled("beta") == 1)
    }

    private static let stops: [[String]] = [[" three", "wo"], ["wo"], ["two. three", "wo. t"]]

    @Test(arguments: stops) func aStopStringEndsTheAnswer(_ stop: [String]) async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer("one. two. three")
        var options = JobOptions()
        options.maxTokens = 50
        options.stop = stop
        let job = try await bench.result(bench.submit("hello", options).id)
        #expect(job.text == Array("one. t".utf8))
        #expect(job.state == .succeeded)
        #expect(job.finish == .stop)
    }

    @Test func scoresAreAddedInOrder() async throws {
        let bench = try await bench()
        for name in ["alpha", "beta"] { bench.workers[name] = .scores }
        let id = try await bench.submit("hello world", .with { $0.kind = .score }).id
        let job = try await bench.result(id)
        #expect(job.state == .succeeded)
        #expect(job.meanNLL == 4.5)  // of 0 ... 9
        let events = try await bench.events(id).compactMap(\.scores)
        #expect(events.reduce(0) { $0 + $1.nll.count } == 10)
        #expect(events.map(\.firstPosition).min() == 1)
    }

    @Test func aWorkerLostInPrefillIsNamed() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .hang
        bench.workers["beta"] = .breakInPrefill(layers: 2)
        let id = try await bench.submit("hello").id
        let job = try await bench.result(id)
        #expect(job.state == .failed && job.finish == .error)
        #expect(
            job.reason
                == "worker beta was lost in prefill, at layer 1 of 4 (connection reset). Start it again with "
                + "`lariat worker --name beta` and the options it had, then submit the job again.")
        // The others are told to stop, and the next job can run.
        bench.workers["alpha"] = .answer("x")
        bench.workers["beta"] = .answer("x")
        let next = try await bench.submit("hello").id
        #expect(try await bench.result(next).state == .succeeded)
        #expect(bench.workers.cancelled("alpha") >= 1)
    }

    @Test func aWorkerLostInDecodeKeepsTheTextSoFar() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .breakInDecode("so far")
        bench.workers["beta"] = .hang
        let id = try await bench.submit("hello").id
        let job = try await bench.result(id)
        #expect(job.state == .failed)
        #expect(job.reason.hasPrefix("worker alpha was lost in decode, after 6 tokens of the answer"))
        #expect(job.text == Array("so far".utf8))
    }

    @Test func aWorkerThatLeavesOrIsLostEndsTheJob() async throws {
        let bench = try await bench()
        for name in ["alpha", "beta"] { bench.workers[name] = .hangInPrefill(layers: 1) }
        let id = try await bench.submit("hello").id
        try await bench.waitUntil(id) { $0.prefilledTokens > 0 }
        _ = try await bench.core.leave(
            .with {
                $0.name = "beta"
                $0.instance = "i-beta"
            })
        let job = try await bench.result(id)
        #expect(job.state == .failed && job.reason.contains("worker beta was lost"))
        #expect(job.reason.contains("it was shut down"))
    }

    @Test func whoJoinsDuringAJobDoesNotSpoilIt() async throws {
        let bench = try await bench()
        for name in ["alpha", "beta"] { bench.workers[name] = .hang }
        let beat = HeartbeatRequest.with {
            $0.name = "alpha"
            $0.instance = "i-alpha"
        }
        let before = try await bench.core.heartbeat(beat).epoch
        let id = try await bench.submit("hello").id
        try await bench.join("gamma")
        #expect(try await bench.core.heartbeat(beat).epoch == before)
        #expect(await bench.core.cluster().epoch == before + 1)
        _ = try await bench.core.cancel(id)
        while await bench.core.cluster().running > 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(try await bench.core.heartbeat(beat).epoch == before + 1)
    }

    @Test func aSilentWorkerEndsTheJob() async throws {
        let bench = try await Bench(TemporaryDirectory(), lostSeconds: 1)
        for name in ["alpha", "beta"] { bench.workers[name] = .hangInPrefill(layers: 1) }
        let id = try await bench.submit("hello").id
        try await bench.waitUntil(id) { $0.prefilledTokens > 0 }
        // Only alpha goes on to give signs of life.
        let alive = Task {
            while !Task.isCancelled {
                _ = try? await bench.core.heartbeat(
                    .with {
                        $0.name = "alpha"
                        $0.instance = "i-alpha"
                    })
                try? await Task.sleep(for: .milliseconds(10))
            }
        }
        let job = try await bench.result(id)
        alive.cancel()
        // Where the job was by then depends on the machine's load.
        #expect(job.state == .failed)
        #expect(job.reason.contains(" was lost ") && job.reason.contains("(not heard for "))
    }

    @Test func refusingWorkersAreNamed() async throws {
        let bench = try await bench()
        bench.workers["beta"] = .refuse("the plan is refused: no memory")
        let job = try await bench.result(try await bench.submit("hello").id)
        #expect(
            job.reason.hasPrefix("worker beta failed before the job began: the plan is refused: no memory."))
    }

    /// One death must end no job that had not begun: it runs on the workers that are left.
    @Test func aWorkerWhoseConnectionBrokeGetsNoMoreJobs() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer("yes")
        bench.workers["beta"] = .vanish
        let id = try await bench.submit("hello").id
        let job = try await bench.result(id)
        #expect(job.state == .succeeded && job.shares.map(\.worker) == ["alpha"] && job.attempt == 2)
        #expect(await bench.core.cluster().members.filter { $0.state == .lost }.map(\.name) == ["beta"])
        let log = try await bench.journal.logLines(id, after: 0).map(\.text)
        #expect(
            log.contains {
                $0.hasPrefix(
                    "attempt 1 of 5 ended before the job had begun; back in its place in the queue (worker beta"
                )
            }, "\(log)")
    }

    /// Each of these workers lives, sends heartbeats, and never does a job: the queue must not burn on it.
    @Test(arguments: [
        Script.neverAccepts, .complain(.busy, accused: 1), .refuse("job j0 still runs on worker beta"),
    ]) func aWorkerThatTakesNoJobCostsNone(_ script: Script) async throws {
        let bench = try await Bench(TemporaryDirectory(), acceptSeconds: 0.2)
        bench.workers["alpha"] = .answer("yes")
        bench.workers["beta"] = script
        var ids: [String] = []
        // One that fails by a fault of its own, in words only, is believed each time.
        let isBelieved = if case .refuse = script { true } else { false }
        for _ in 0..<(isBelieved ? 2 : 6) { ids.append(try await bench.submit("hello").id) }
        var failed = 0
        for id in ids {
            let job = try await bench.result(id)
            if job.state != .succeeded { failed += 1 }
        }
        #expect(failed == (isBelieved ? ids.count : 0))
    }

    @Test func aWorkerWithoutAPortForBlocksIsSetAsideAndNamed() async throws {
        let bench = try await bench(["alpha", "beta", "gamma"])
        bench.workers["alpha"] = .complain(.unreachable, accused: 1)
        bench.workers["beta"] = .hang
        bench.workers["gamma"] = .hang
        let id = try await bench.submit("hello").id
        while try await bench.core.job(id).attempt == 1 { try await Task.sleep(for: .milliseconds(5)) }
        let beta = try #require(await bench.core.cluster().members.first { $0.name == "beta" })
        #expect(beta.state == .aside)
        #expect(beta.reason == "set aside for 10 s: that is what alpha saw (says worker alpha)")
        _ = try await bench.core.cancel(id)
    }

    /// A worker hangs in a job and goes on saying so.
    @Test func aWorkerThatStillRunsAnEndedJobIsLeftOut() async throws {
        let bench = try await bench()
        for name in ["alpha", "beta"] { bench.workers[name] = .answer("yes") }
        _ = try await bench.core.heartbeat(
            .with {
                $0.name = "beta"
                $0.instance = "i-beta"
                $0.job = "j77"
            })
        let job = try await bench.result(try await bench.submit("hello").id)
        #expect(job.state == .succeeded && job.shares.map(\.worker) == ["alpha"])
        #expect(
            await bench.core.cluster().members.map(\.reason)
                == ["", "still runs j77, which ended; restart it if this lasts"])
    }

    @Test func aJobForAnotherModelSaysWhichIsWhich() async throws {
        let directory = try TemporaryDirectory()
        let id: String
        do {
            let bench = try await Bench(directory, names: [])
            id = try await bench.submit("hello").id
            var record = try await bench.core.job(id)
            record.model = "other"
            record.fingerprint = "beef"
            try await bench.journal.append([], to: record)
        }
        let bench = try await Bench(directory)
        let job = try await bench.result(id)
        #expect(job.state == .failed)
        #expect(
            job.reason
                == "this job was submitted for the model other (beef), and this coordinator now has bytes (f00d). Start "
                + "it with the other file, or submit the job again.")
    }

    @Test func cancelledJobsAreForgottenToo() async throws {
        let bench = try await Bench(TemporaryDirectory(), names: [], limits: Journal.Limits(finishedJobs: 5))
        for _ in 0..<45 {
            let id = try await bench.submit("hello").id
            #expect(try await bench.core.cancel(id).state == .cancelled)
        }
        #expect(try await bench.core.jobs(ListJobsRequest()).jobs.count == 10)
    }

    @Test func shortJobsTakeOneWorker() async throws {
        let bench = try await bench(["alpha", "beta", "gamma"])
        for name in ["alpha", "beta", "gamma"] { bench.workers[name] = .answer("yes") }
        let id = try await bench.core.submit(JobOptions(), prompt: [1, 2, 3]).id
        #expect(try await bench.result(id).shares.map(\.worker) == ["alpha"])
    }

    @Test func aWorkerThatCannotBeReachedIsLeftOut() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer("yes")
        bench.workers["beta"] = .unreachable
        let job = try await bench.result(try await bench.submit("hello").id)
        #expect(job.state == .succeeded && job.shares.map(\.worker) == ["alpha"])
        #expect(await bench.core.cluster().members.map(\.reason) == ["", "connection refused"])
    }

    @Test func waitingJobsSayWhyAndRunInOrder() async throws {
        let bench = try await bench([])
        let first = try await bench.submit("hello")
        #expect(first.state == .queued && first.queuePosition == 1)
        #expect(first.reason.contains("no workers have joined; start one with `lariat worker`"))
        let second = try await bench.submit("hello")
        let third = try await bench.submit("hello")
        #expect(third.queuePosition == 3)
        #expect(try await bench.core.cancel(second.id).state == .cancelled)
        #expect(try await bench.core.job(third.id).queuePosition == 2)
        bench.workers["alpha"] = .answer("x")
        try await bench.join("alpha")
        #expect(try await bench.result(first.id).state == .succeeded)
        #expect(try await bench.result(third.id).state == .succeeded)
        let started = try await [bench.core.job(first.id), bench.core.job(third.id)]
        #expect(started[0].finishedMicroseconds <= started[1].startedMicroseconds)
        #expect(
            try await bench.core.jobs(ListJobsRequest()).jobs.map(\.id) == [third.id, second.id, first.id])
        #expect(try await bench.core.jobs(.with { $0.activeOnly = true }).jobs.isEmpty)
    }

    @Test func aRestartTellsTheTruth() async throws {
        let directory = try TemporaryDirectory()
        let running: String
        let waiting: String
        do {
            // The process dies: nothing is told to stop, the journal is just closed.
            let journal = try Journal(directory: directory.path)
            var job = JobRecord.with {
                $0.options = .with {
                    $0.kind = .generate
                    $0.maxTokens = 5
                }
                $0.state = .queued
                $0.promptTokens = 2
                $0.profile = ProfileMessage()
                $0.model = "bytes"
                $0.fingerprint = "f00d"
            }
            job = try await journal.submit(job, prompt: [1, 2]).record
            running = job.id
            job.state = .decode
            try await journal.append(
                [JobEvent(.tokens(AnswerPart(text: Array("half".utf8), tokens: [1])))], to: job)
            job.state = .queued
            waiting = try await journal.submit(job, prompt: [3, 4]).record.id
        }
        let bench = try await Bench(directory, names: [])
        let failed = try await bench.core.job(running)
        #expect(failed.state == .failed)
        #expect(failed.reason == "the coordinator stopped while this job ran; submit it again")
        #expect(failed.text == Array("half".utf8))
        #expect(try await bench.events(running).last?.isEnd == true)
        #expect(try await bench.core.job(waiting).state == .queued)
        bench.workers["alpha"] = .answer("x")
        try await bench.join("alpha")
        let ran = try await bench.result(waiting)
        #expect(ran.state == .succeeded, "\(ran.reason)")
        #expect(bench.workers.prompt("alpha") == [3, 4])
    }

    @Test func aFullDiskEndsTheJobAndRefusesNewOnes() async throws {
        let bench = try await Bench(TemporaryDirectory(), limits: Journal.Limits(pages: 30))
        // More text than thirty pages hold.
        bench.workers["alpha"] = .answer(String(repeating: "a", count: 900))
        var refused: CoordinatorError?
        for _ in 0..<100 where refused == nil {
            do {
                let id = try await bench.submit(
                    String(repeating: "p", count: 90), .with { $0.maxTokens = 900 }
                ).id
                _ = try await bench.result(id)
            } catch let error as CoordinatorError { refused = error }
        }
        let error = try #require(refused)
        #expect(error.kind == .exhausted)
        #expect(error.message.contains("the job was not accepted: the journal cannot grow"))
        #expect(error.message.contains("free some space"))
        // The process lives and still shows what it has.
        #expect(try await !bench.core.jobs(ListJobsRequest()).jobs.isEmpty)
        // The last job's run may still be letting go.
        while await bench.core.cluster().running > 0 { try await Task.sleep(for: .milliseconds(2)) }
    }
}
