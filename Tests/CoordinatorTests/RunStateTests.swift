// The run's state machine alone: waits, blame and batches, with time as an argument.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite struct RunStateTests {
    private let start = ContinuousClock.now

    /// A run of two workers, accepted by both; alpha leads.
    private func state(
        accepted: Bool = true, maxTokens: UInt32 = 100, stop: [String] = [], logProbabilities: Bool = false,
        names: [String] = ["alpha", "beta"], attempt: UInt64 = 1, kind: JobKind = .generate
    ) -> RunState {
        let record = JobRecord.with {
            $0.options = .with {
                $0.kind = kind
                $0.maxTokens = maxTokens
                $0.stop = stop
                $0.logProbabilities = logProbabilities
                $0.topProbabilities = logProbabilities ? 2 : 0
            }
            $0.promptTokens = 100
            $0.attempt = attempt
            $0.shares = names.enumerated().map { rank, name in
                .with {
                    $0.worker = name
                    $0.tokens = rank == 0 ? 75 : 25 / UInt64(names.count - 1)
                }
            }
        }
        var state = RunState(
            record: record, leader: 0, layers: 10, text: ByteModel.Stream(),
            limits: RunState.Limits(accept: .seconds(30), silence: .seconds(900)), at: start,
            wallMicroseconds: 5)
        _ = state.begin()
        if accepted {
            for rank in names.indices { _ = event(&state, rank, 0, .accepted) }
        }
        return state
    }

    private func event(
        _ state: inout RunState, _ rank: Int, _ seconds: Double, _ event: RunEvent
    ) -> [RunState.Action] {
        state.handle(.event(rank: rank, event), at: start + .seconds(seconds), wallMicroseconds: 6)
    }

    private func tick(_ state: inout RunState, _ seconds: Double) -> [RunState.Action] {
        state.handle(.tick, at: start + .seconds(seconds), wallMicroseconds: 7)
    }

    /// A rank gives up and says why.
    private func fault(
        _ state: inout RunState, _ rank: Int, _ kind: FaultMessage.Kind, accused: Int, _ detail: String = "",
        _ seconds: Double
    ) {
        _ = event(
            &state, rank, seconds,
            .fault(
                .with {
                    $0.kind = kind
                    $0.accused = UInt32(accused)
                    $0.detail = detail
                }))
    }

    /// One layer of the first rank is done: the job has begun.
    private func begun(_ state: inout RunState) {
        _ = event(&state, 0, 0, .progress(PrefillProgress(layers: 10, prefilledLayers: 1)))
    }

    private func failure(
        _ state: inout RunState, _ rank: Int, lost: Bool, _ message: String, _ seconds: Double
    ) {
        _ = state.handle(
            .ended(rank: rank, WorkerFailure(connectionLost: lost, message: message)),
            at: start + .seconds(seconds),
            wallMicroseconds: 7)
    }

    @Test func allMustAcceptBeforeTheStart() {
        var state = state(accepted: false)
        #expect(event(&state, 1, 0, .accepted) == [])
        #expect(event(&state, 0, 0, .accepted) == [.start])
    }

    @Test func progressIsTheMeanByShares() {
        var state = state()
        let progress = event(&state, 0, 1, .progress(PrefillProgress(layers: 10, prefilledLayers: 4)))
        #expect(progress == [.progress])
        #expect(state.record.prefilledTokens == 30)
        _ = event(&state, 1, 1, .progress(PrefillProgress(layers: 10, prefilledLayers: 10)))
        #expect(state.record.prefilledTokens == 55)
    }

    @Test func aLostConnectionOutweighsAComplaint() {
        var state = state()
        begun(&state)
        failure(&state, 0, lost: false, "ring broken", 1)
        _ = tick(&state, 1.5)
        #expect(!state.isOver)
        failure(&state, 1, lost: true, "connection reset", 1.9)
        #expect(state.isOver)
        #expect(
            state.record.reason.hasPrefix(
                "worker beta was lost in prefill, at layer 1 of 10 (connection reset)"))
    }

    @Test func aComplaintIsBelievedAfterAWhile() {
        var state = state()
        failure(&state, 0, lost: false, "no memory", 1)
        _ = tick(&state, 2.9)
        #expect(!state.isOver)
        _ = tick(&state, 3)
        #expect(state.record.state == .failed)
        #expect(state.record.reason.hasPrefix("worker alpha failed in prefill, at layer 1 of 10: no memory."))
    }

    @Test func aWorkerThatHangsIsNamedByTheOthers() {
        var state = state()
        begun(&state)
        fault(&state, 0, .silent, accused: 1, "worker beta did not move for 5.0 s", 1)
        _ = tick(&state, 3)
        #expect(
            state.record.reason.hasPrefix(
                "worker beta was lost in prefill, at layer 1 of 10 (worker alpha says: worker beta did not move for"
            ))
        #expect(state.failure?.accused == ["beta"] && state.failure?.setsAside == true)
    }

    /// Names count for nothing: a rank is a field.
    @Test(arguments: [["node1", "node1-b", "node1.lab"], ["has", "may", "worker"]])
    func namesThatBeginAlikeAreNotTakenForEachOther(_ names: [String]) {
        for victim in names.indices {
            var state = state(names: names)
            begun(&state)
            let witness = (victim + 1) % names.count
            fault(
                &state, witness, .unreachable, accused: victim,
                "cannot reach worker \(names[victim]) at 10.0.0.1:7 for blocks: worker node1 may help, it has none",
                1)
            let other = (victim + 2) % names.count
            fault(&state, other, .gaveUp, accused: witness, "worker \(names[witness]) gave up", 1.1)
            _ = tick(&state, 3)
            #expect(state.record.reason.hasPrefix("worker \(names[victim]) was lost in prefill"), "\(names)")
            #expect(state.failure?.accused == [names[victim]])
        }
    }

    /// The one whose thread hangs cannot say so; heartbeats show who waits for whom.
    @Test func heartbeatsShowWhoHangs() {
        var state = state(names: ["alpha", "beta", "gamma"])
        begun(&state)
        for (worker, waitsFor) in [("alpha", UInt32(3)), ("beta", 0), ("gamma", 2)] {
            _ = state.handle(
                .heartbeat(worker: worker, .with { $0.waitsFor = waitsFor }, hasGotOn: false),
                at: start + .seconds(1), wallMicroseconds: 7)
        }
        fault(&state, 0, .silent, accused: 2, "worker gamma did not move for 5.0 s", 2)
        _ = tick(&state, 4)
        #expect(
            state.record.reason.contains(
                "worker beta was lost in prefill, at layer 1 of 10 (worker alpha says: worker gamma did not move for "
                    + "5.0 s; worker gamma waits for worker beta)"), "\(state.record.reason)")
    }

    /// In decode beta's thread stops while it waits for the leader's next query, and its heartbeats go on to say that it
    /// waits. Gamma, which waits for the leader too, may be the first to complain.
    @Test(arguments: [[2, 0], [0, 2]])
    func whoStandsStillInTheMiddleOfAWaitIsNamed(_ order: [Int]) {
        var state = state(names: ["alpha", "beta", "gamma"])
        begun(&state)
        for (worker, waitsFor) in [("alpha", UInt32(2)), ("beta", 1), ("gamma", 1)] {
            _ = state.handle(
                .heartbeat(worker: worker, .with { $0.waitsFor = waitsFor }, hasGotOn: false),
                at: start + .seconds(1), wallMicroseconds: 7)
        }
        for rank in order {
            let accused = rank == 0 ? 1 : 0
            fault(&state, rank, rank == 0 ? .silent : .broken, accused: accused, "it did not move", 2)
        }
        _ = tick(&state, 5)
        #expect(state.failure?.accused == ["beta"], "\(state.record.reason)")
    }

    @Test func aConsequenceIsNoCause() {
        var state = state(names: ["alpha", "beta", "gamma"])
        begun(&state)
        fault(&state, 2, .gaveUp, accused: 1, "worker beta gave up: the peer cancelled the call", 1)
        fault(&state, 1, .unreachable, accused: 0, "cannot reach worker alpha", 1.5)
        _ = tick(&state, 3)
        #expect(state.failure?.accused == ["alpha"])
    }

    @Test func accusationsOfNobodyAreTheAccusersOwn() {
        var state = state()
        fault(&state, 0, .silent, accused: 7, "nonsense", 1)
        _ = tick(&state, 3)
        #expect(state.failure?.accused == ["alpha"])
    }

    // MARK: jobs that had not begun

    @Test func aJobThatHadNotBegunGoesBack() throws {
        for cause in [
            { .ended(rank: 1, WorkerFailure(connectionLost: true, message: "reset")) },
            { .lost(worker: "beta", reason: "not heard") },
        ] as [() -> RunState.Input] {
            var state = state(accepted: false)
            let actions = state.handle(cause(), at: start + .seconds(1), wallMicroseconds: 9)
            #expect(state.isOver && state.isReturned)
            #expect(actions.last == .finished)
            let shown = try #require(
                actions.compactMap { if case .publish(let event) = $0 { event } else { nil } }.last)
            // Followers see it wait again; there is no end.
            #expect(shown.isState && shown.job?.state == .queued && shown.job?.shares.isEmpty == true)
            #expect(state.record.attempt == 2 && state.record.finishedMicroseconds == 0)
            #expect(state.failure?.accused == ["beta"])
        }
    }

    @Test(arguments: [
        (FaultMessage.Kind.busy, true), (.stale, true), (.unreachable, true), (.refused, false),
        (.own, false),
        (.wrongBytes, false),
    ]) func whatMayPassIsTriedAgain(_ kind: FaultMessage.Kind, _ again: Bool) {
        var state = state(accepted: kind == .unreachable || kind == .wrongBytes)
        fault(&state, 0, kind, accused: kind == .unreachable || kind == .wrongBytes ? 1 : 0, "why", 1)
        _ = tick(&state, 3)
        #expect(state.isOver && state.isReturned == again)
    }

    @Test func whatHadBegunDoesNotGoBack() {
        var state = state()
        begun(&state)
        _ = state.handle(.lost(worker: "beta", reason: "not heard"), at: start, wallMicroseconds: 9)
        #expect(state.record.state == .failed && !state.isReturned)
    }

    @Test func attemptsAreBounded() {
        var state = state(accepted: false, attempt: RunState.mostAttempts)
        _ = state.handle(.lost(worker: "beta", reason: "not heard"), at: start, wallMicroseconds: 9)
        #expect(state.record.state == .failed)
        #expect(state.record.reason.contains("before the job began (not heard)"))
        #expect(state.record.reason.hasSuffix("It was tried 5 times."))
    }

    @Test func aStopOfTheCoordinatorIsNoAttempt() {
        var state = state(accepted: false, attempt: RunState.mostAttempts)
        _ = state.handle(.stop, at: start, wallMicroseconds: 9)
        #expect(state.isReturned && state.record.attempt == RunState.mostAttempts)
    }

    // MARK: all that was asked for

    @Test func allTokensAreSuccessWhateverComesLater() {
        var state = state(maxTokens: 2)
        for letter in [UInt32(97), 98] {
            _ = event(&state, 0, 1, .token(ChosenToken(token: letter, logProbability: 0, likely: nil)))
        }
        failure(&state, 0, lost: true, "connection reset", 1.5)
        #expect(state.record.state == .succeeded && state.record.finish == .length)
    }

    @Test func allScoresAreSuccessWhateverComesLater() {
        var state = state(maxTokens: 0, kind: .score)
        _ = event(&state, 0, 1, .scores(Scores(firstPosition: 1, nll: Array(repeating: 2, count: 99))))
        _ = event(
            &state, 0, 1, .finished(RunResult(finish: .end, share: nil, prefillSeconds: 0, decodeSeconds: 0))
        )
        _ = tick(&state, 17)
        #expect(state.record.state == .succeeded && state.record.meanNLL == 2)
    }

    @Test func waitsEnd() {
        var silent = state(accepted: false)
        _ = event(&silent, 0, 1, .accepted)
        _ = tick(&silent, 30)
        #expect(!silent.isOver)
        _ = tick(&silent, 31)
        #expect(silent.isReturned && silent.failure?.accused == ["beta"])
        #expect(silent.failure?.standing == "no answer to the plan within 30 s")

        var quiet = state()
        _ = tick(&quiet, 901)
        #expect(quiet.record.reason.hasPrefix("no worker reported anything for 900 s in prefill"))

        var half = state()
        _ = event(
            &half, 1, 1, .finished(RunResult(finish: .end, share: nil, prefillSeconds: 0, decodeSeconds: 0)))
        _ = tick(&half, 17)
        #expect(half.record.reason.contains("worker alpha was lost"))
        #expect(half.record.reason.contains("did not finish within 15 s of the others"))
    }

    @Test func textIsWrittenInBatches() {
        var state = state()
        func token(_ letter: String, _ seconds: Double) -> [RunState.Action] {
            event(
                &state, 0, seconds,
                .token(ChosenToken(token: UInt32(letter.utf8.first ?? 0), logProbability: 0, likely: nil)))
        }
        func texts(_ actions: [RunState.Action]) -> [[UInt8]] {
            actions.compactMap {
                if case .publish(let event) = $0 { event.answer?.text } else { nil }
            }
        }
        // The first at once, then at most every 50 ms.
        #expect(texts(token("a", 1)) == [[97]])
        #expect(texts(token("b", 1.01)) == [])
        #expect(texts(token("c", 1.02)) == [])
        #expect(texts(tick(&state, 1.06)) == [[98, 99]])
        #expect(texts(tick(&state, 2)) == [])
    }

    @Test func aStopStringTellsTheLeader() {
        var state = state(stop: ["b"])
        _ = event(&state, 0, 1, .token(ChosenToken(token: 97, logProbability: 0, likely: nil)))
        let actions = event(&state, 0, 1, .token(ChosenToken(token: 98, logProbability: 0, likely: nil)))
        #expect(actions.contains(.stop(rank: 0)))
        // What the leader computed meanwhile does not count.
        _ = event(&state, 0, 1, .token(ChosenToken(token: 99, logProbability: 0, likely: nil)))
        #expect(state.record.generatedTokens == 2)
    }

    @Test func workersThatBreakTheProtocolEndTheJob() {
        for wrong in [
            .accepted, .scores(Scores(firstPosition: 0, nll: [])),
            .progress(PrefillProgress(layers: 0, prefilledLayers: 0)),
            .progress(PrefillProgress(layers: 2, prefilledLayers: 3)),
        ] as [RunEvent] {
            var state = state()
            _ = event(&state, 1, 1, wrong)
            #expect(state.record.reason.hasPrefix("worker beta "))
            #expect(state.record.reason.contains("does not keep to the protocol"))
            // Nothing counts after the end.
            #expect(event(&state, 0, 2, .token(ChosenToken(token: 0, logProbability: 0, likely: nil))) == [])
        }
        var follower = state()
        _ = event(&follower, 1, 1, .token(ChosenToken(token: 0, logProbability: 0, likely: nil)))
        #expect(follower.record.reason.contains("sent a token out of turn"))
        var eager = state(maxTokens: 1)
        for _ in 0..<2 {
            _ = event(&eager, 0, 1, .token(ChosenToken(token: 0, logProbability: 0, likely: nil)))
        }
        #expect(eager.record.reason.contains("more tokens than were asked for"))
    }

    @Test func probabilitiesTravelWithTheirTokens() throws {
        var state = state(logProbabilities: true)
        let likely = LikelyTokens.with {
            $0.tokens = [104, 105]
            $0.logProbabilities = [-0.1, -2.5]
        }
        let actions = event(
            &state, 0, 10, .token(ChosenToken(token: 104, logProbability: -0.1, likely: likely)))
        let published = actions.compactMap { action -> AnswerPart? in
            if case .publish(let event) = action { event.answer } else { nil }
        }
        #expect(published.map(\.logProbabilities) == [[-0.1]])
        #expect(published.map(\.likely) == [[likely]])
        // A probability above 1 is no probability.
        _ = event(&state, 0, 11, .token(ChosenToken(token: 104, logProbability: 0.5, likely: nil)))
        #expect(state.isOver && state.record.reason.contains("impossible probabilities"))
    }

    @Test func aTimelineIsKeptUpToItsLimit() {
        var state = state()
        let many = Array(repeating: TraceSpanMessage.with { $0.kind = .attention }, count: 150_000)
        var kept = 0
        for _ in 0..<3 {
            for case .trace(let part) in event(
                &state, 1, 1, .trace(RunTrace(spans: many)))
            {
                #expect(part.worker == "beta" && part.rank == 1)
                kept += part.spans.count
            }
        }
        #expect(kept == RunState.mostSpans)
        #expect(!state.isOver)
    }

    @Test func aLayerMayTakeLongerThanTheLimitOfSilence() throws {
        var state = state()
        for minute in 1...60 {
            _ = state.handle(
                .heartbeat(worker: "alpha", nil, hasGotOn: true), at: start + .seconds(60 * minute),
                wallMicroseconds: 7)
            _ = tick(&state, Double(60 * minute + 1))
            try #require(!state.isOver)
        }
        _ = tick(&state, 3600 + 901)
        #expect(state.isOver && state.record.reason.contains("no worker reported anything"))
    }
}
