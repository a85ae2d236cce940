// Who starts where: in order, past each other only where that delays nobody, on as many workers as pay.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite struct PlacementTests {
    typealias Waiting = Placement.Waiting
    typealias Running = Placement.Running

    /// Workers a, b, c, ... of 100 tokens each. A job takes a second for ten tokens of its prompt on one worker, a part of
    /// that on several, and a second more for each further worker.
    private func placement(_ names: [String], running: [Running] = []) -> Placement {
        Placement(
            ready: names.map { member($0) }, running: running,
            fits: { tokens, members in tokens <= 100 * members.count },
            predict: { job, members in
                Double(job.promptTokens) / 10 / Double(members.count) + Double(members.count - 1)
            })
    }

    private func starts(_ placement: Placement, _ waiting: [Waiting]) -> [String] {
        placement.starts(waiting).map { "\($0.id) on \($0.workers.joined())" }
    }

    @Test func theFasterNumberOfWorkersIsTaken() {
        let three = placement(["a", "b", "c"])
        #expect(three.workers(for: Waiting(id: "j1", promptTokens: 20, answerTokens: 0)) == 1)
        #expect(three.workers(for: Waiting(id: "j1", promptTokens: 90, answerTokens: 0)) == 3)
        // What a job asks for is what it gets, and what does not fit one takes more.
        #expect(three.workers(for: Waiting(id: "j1", workers: 2, promptTokens: 1, answerTokens: 0)) == 2)
        #expect(three.workers(for: Waiting(id: "j1", promptTokens: 20, answerTokens: 100)) == 3)
        #expect(placement(["a"]).workers(for: Waiting(id: "j1", promptTokens: 90, answerTokens: 0)) == 1)
        #expect(
            starts(three, [Waiting(id: "j1", workers: 1, promptTokens: 150, answerTokens: 0)]) == ["j1 on ab"]
        )
    }

    // MARK: jobs that continue what workers hold

    /// The same, where tokens that are held cost nothing.
    private func keeping(_ names: [String], running: [Running] = []) -> Placement {
        Placement(
            ready: names.map { member($0) }, running: running,
            fits: { tokens, members in tokens <= 100 * members.count },
            predict: { job, members in
                Double(job.promptTokens - (job.past?.tokens ?? 0)) / 10 / Double(members.count)
                    + Double(members.count - 1)
            })
    }

    private func waiting(_ id: String, _ tokens: Int, _ past: Placement.Past?, workers: Int = 0) -> Waiting {
        Waiting(id: id, workers: workers, promptTokens: tokens, answerTokens: 0, past: past)
    }

    @Test func aJobStartsWhereItsBeginningIs() {
        let past = Placement.Past(sequence: "s", tokens: 80, workers: ["c", "b"])
        let start = keeping(["a", "b", "c"]).starts([waiting("j1", 90, past)])
        // In the order of the sequence's ranks.
        #expect(start == [Placement.Start(id: "j1", workers: ["c", "b"], passes: [], past: past)])
        // A worker of it is not there.
        #expect(starts(keeping(["a", "b"]), [waiting("j1", 20, past)]) == ["j1 on a"])
        // It asks for another number of workers.
        #expect(starts(keeping(["a", "b", "c"]), [waiting("j1", 90, past, workers: 1)]) == ["j1 on a"])
        // More workers without it are faster.
        let short = Placement.Past(sequence: "s", tokens: 10, workers: ["c"])
        #expect(starts(keeping(["a", "b", "c"]), [waiting("j1", 90, short)]) == ["j1 on abc"])
        // It is there though it would not fit anew beside what is pinned.
        let pinned = Placement.Past(sequence: "s", tokens: 280, workers: ["a", "b", "c"])
        #expect(starts(keeping(["a", "b", "c"]), [waiting("j1", 350, pinned)]) == ["j1 on abc"])
    }

    @Test func aJobWaitsForItsBeginningWhereThatPays() {
        let past = Placement.Past(sequence: "s", tokens: 80, workers: ["b"])
        func busy(_ seconds: Double?) -> Placement {
            keeping(["a", "b"], running: [Running(workers: ["b"], secondsLeft: seconds)])
        }
        let job = waiting("j1", 90, past, workers: 1)
        // Nine seconds anew on a, or one on b once that is free.
        #expect(starts(busy(7), [job]) == [])
        #expect(starts(busy(9), [job]) == ["j1 on a"])
        // Nobody knows when: it must promise much.
        #expect(starts(busy(nil), [job]) == [])
        let little = Placement.Past(sequence: "s", tokens: 20, workers: ["b"])
        #expect(starts(busy(nil), [waiting("j1", 90, little, workers: 1)]) == ["j1 on a"])
        // Others pass it where they take none of its workers.
        let other = waiting("j2", 90, nil, workers: 1)
        #expect(starts(busy(7), [job, other]) == ["j2 on a"])
        let three = keeping(["a", "b", "c"], running: [Running(workers: ["b"], secondsLeft: 50)])
        let both = Placement.Past(sequence: "s", tokens: 190, workers: ["b", "c"])
        let held = waiting("j1", 200, both)
        #expect(starts(three, [held, waiting("j2", 90, nil, workers: 1)]) == ["j2 on a"])
        #expect(starts(three, [held, waiting("j2", 90, nil, workers: 2)]) == ["j2 on ac"])
        #expect(starts(three, [held, waiting("j2", 1990, nil, workers: 2)]) == [])
    }

    @Test func shortJobsRunBesideEachOther() {
        let short = (1...4).map { Waiting(id: "j\($0)", promptTokens: 10, answerTokens: 0) }
        #expect(starts(placement(["a", "b", "c"]), short) == ["j1 on a", "j2 on b", "j3 on c"])
    }

    @Test func jobsStartInOrder() {
        let jobs = [
            Waiting(id: "j1", workers: 2, promptTokens: 100, answerTokens: 0),
            Waiting(id: "j2", workers: 3, promptTokens: 100, answerTokens: 0),
            Waiting(id: "j3", workers: 2, promptTokens: 10, answerTokens: 0),
        ]
        // j3 does not fit beside j1, and j2 waits for all.
        #expect(starts(placement(["a", "b", "c"]), jobs) == ["j1 on ab"])
    }

    /// A short chat while a long prefill runs on two of three workers, with a job for all workers queued between.
    @Test func aShortJobPassesWhereItDelaysNobody() {
        let long = Running(workers: ["a", "b"], secondsLeft: 30)
        let all = Waiting(id: "j2", workers: 3, promptTokens: 90, answerTokens: 0)
        let short = Waiting(id: "j3", promptTokens: 10, answerTokens: 0)
        let found = placement(["a", "b", "c"], running: [long]).starts([all, short])
        #expect(found == [Placement.Start(id: "j3", workers: ["c"], passes: ["j2"])])
        // Not when it may end later than the long one, by a prediction that may be out by a factor of two.
        let longer = Waiting(id: "j3", workers: 1, promptTokens: 160, answerTokens: 0)
        let two = placement(["a", "b", "c", "d"], running: [Running(workers: ["a", "b"], secondsLeft: 16)])
        #expect(
            starts(two, [Waiting(id: "j2", workers: 4, promptTokens: 90, answerTokens: 0), longer]) == [])
    }

    @Test func nobodyPassesWhenTheEndIsNotKnown() {
        let unknown = Running(workers: ["a", "b"], secondsLeft: nil)
        let all = Waiting(id: "j2", workers: 3, promptTokens: 90, answerTokens: 0)
        let short = Waiting(id: "j3", promptTokens: 10, answerTokens: 0)
        #expect(starts(placement(["a", "b", "c"], running: [unknown]), [all, short]) == [])
    }

    @Test func workersThatAreNotNeededArePassedTo() {
        // The held job waits for one of a and b; c is left over, but not d as well.
        let running = [Running(workers: ["a"], secondsLeft: 5), Running(workers: ["b"], secondsLeft: 50)]
        let held = Waiting(id: "j2", workers: 3, promptTokens: 90, answerTokens: 0)
        let slow = Waiting(id: "j3", workers: 1, promptTokens: 100, answerTokens: 0)
        #expect(starts(placement(["a", "b", "c", "d"], running: running), [held, slow]) == [])
        #expect(
            starts(placement(["a", "b", "c", "d", "e", "f"], running: running), [held, slow])
                == ["j2 on cde", "j3 on f"])
    }

    @Test func nobodyIsPassedForEver() {
        let long = Running(workers: ["a", "b"], secondsLeft: 1000)
        let short = Waiting(id: "j3", promptTokens: 10, answerTokens: 0)
        for (passed, expected) in [(0, ["j3 on c"]), (Placement.mostPassed, [])] {
            let all = Waiting(id: "j2", workers: 3, promptTokens: 90, answerTokens: 0, passed: passed)
            #expect(starts(placement(["a", "b", "c"], running: [long]), [all, short]) == expected)
        }
    }

    @Test func whatCannotRunHoldsUpNobody() {
        let huge = Waiting(id: "j1", promptTokens: 1000, answerTokens: 0)
        let short = Waiting(id: "j2", promptTokens: 10, answerTokens: 0)
        #expect(starts(placement(["a", "b"]), [huge, short]) == ["j2 on a"])
        #expect(starts(placement([]), [short]) == [])
    }

    /// Only so many behind a held one are looked at, whatever waits.
    @Test func theQueueIsNotReadToItsEnd() {
        let long = Running(workers: ["a"], secondsLeft: 1000)
        let held = Waiting(id: "j1", workers: 2, promptTokens: 10, answerTokens: 0)
        let same = (2..<2 + Placement.lookahead).map {
            Waiting(id: "j\($0)", workers: 2, promptTokens: 10, answerTokens: 0)
        }
        let last = Waiting(id: "last", promptTokens: 10, answerTokens: 0)
        #expect(starts(placement(["a", "b"], running: [long]), [held] + same + [last]) == [])
        #expect(
            starts(placement(["a", "b"], running: [long]), [held] + same.dropFirst() + [last]) == [
                "last on b"
            ])
    }
}

@Suite struct JobCostTests {
    /// A model of 135 million parameters, as SmolLM2 is.
    private let work = CostModel.Work(
        layers: 30, denseOperations: 7e6, attentionOperations: 2304, kvBytesPerToken: 46_080)

    private func hosts(_ count: Int, threads: UInt32 = 2) -> [MemberRecord] {
        (0..<count).map { number in
            var one = member("w\(number)", threads: threads)
            one.address = "10.0.0.\(number + 1):7001"
            return one
        }
    }

    @Test func aChatIsFasterOnOneWorkerAndADocumentOnAll() {
        let cost = JobCost(work: work)
        func seconds(_ prompt: Int, _ answer: Int, _ workers: Int) -> Double {
            cost.seconds(promptTokens: prompt, answerTokens: answer, on: hosts(workers))
        }
        #expect(seconds(30, 16, 1) < seconds(30, 16, 3))
        #expect(seconds(30, 256, 1) < seconds(30, 256, 3))
        #expect(seconds(16_000, 16, 3) < seconds(16_000, 16, 1))
        #expect(seconds(100_000, 1000, 3) < seconds(100_000, 1000, 1) / 2)
    }

    @Test func measuredRatesCountWhereAllAreKnown() {
        let members = hosts(2)
        var slow = sampleRates(sends: true)
        slow.denseOperationsPerSecond = 1e6
        slow.attentionOperationsPerSecond = 1e6
        let half = JobCost(work: work, measured: ["w0": slow])
        #expect(
            half.seconds(promptTokens: 1000, answerTokens: 0, on: members)
                == JobCost(work: work).seconds(promptTokens: 1000, answerTokens: 0, on: members))
        let both = JobCost(work: work, measured: ["w0": slow, "w1": slow])
        #expect(
            both.seconds(promptTokens: 1000, answerTokens: 0, on: members)
                > 100 * half.seconds(promptTokens: 1000, answerTokens: 0, on: members))
    }

    @Test func workersOfOneHostShareItsCores() {
        var crowded = hosts(1)[0]
        crowded.hostCores = 2
        let cost = JobCost(work: work)
        let three = (0..<3).map { number in
            var one = crowded
            one.name = "w\(number)"
            return one
        }
        let alone = cost.seconds(promptTokens: 4000, answerTokens: 0, on: [crowded])
        #expect(cost.seconds(promptTokens: 4000, answerTokens: 0, on: three) > alone)
    }

    @Test func whatIsLeftFollowsFromHowFarItIs() {
        var record = JobRecord.with {
            $0.state = .prefill
            $0.promptTokens = 1000
            $0.options = .with { $0.maxTokens = 101 }
        }
        #expect(JobCost.secondsLeft(record, elapsed: 10) == nil)
        record.prefilledTokens = 250
        #expect(JobCost.secondsLeft(record, elapsed: 10) == 30)
        record.state = .decode
        record.firstTokenSeconds = 40
        record.generatedTokens = 1
        #expect(JobCost.secondsLeft(record, elapsed: 41) == nil)
        record.generatedTokens = 51
        #expect(JobCost.secondsLeft(record, elapsed: 45) == 5)
        record.state = .queued
        #expect(JobCost.secondsLeft(record, elapsed: 45) == nil)
    }
}
