// Runs that continue or keep keys and values, as a state machine and as plans.
import Coordinator
import Messages
import Protobuf
import RingAttention
import Testing

@Suite struct KeptRunTests {
    private let start = ContinuousClock.now

    /// A run of two workers over 1,000 tokens, of which 256 are there, and 896 are to stay.
    private func state(
        kind: JobKind = .generate, keptTokens: Int = 896, accepted: Bool = true
    ) -> RunState {
        let record = JobRecord.with {
            $0.options = .with {
                $0.kind = kind
                $0.maxTokens = 3
            }
            $0.promptTokens = 1000
            $0.cachedTokens = 256
            $0.attempt = 1
            $0.shares = ["alpha", "beta"].map { name in
                .with {
                    $0.worker = name
                    $0.tokens = 500
                }
            }
        }
        var state = RunState(
            record: record, leader: 0, layers: 10, keptTokens: keptTokens, text: ByteModel.Stream(),
            limits: RunState.Limits(accept: .seconds(30), silence: .seconds(900)), at: start,
            wallMicroseconds: 5)
        _ = state.begin()
        if accepted { for rank in 0..<2 { _ = event(&state, rank, .accepted) } }
        return state
    }

    private func event(_ state: inout RunState, _ rank: Int, _ event: RunEvent) -> [RunState.Action] {
        state.handle(.event(rank: rank, event), at: start, wallMicroseconds: 6)
    }

    private func kept(_ bytes: UInt64, tokens: UInt64 = 896) -> RunEvent {
        .kept(KeptSequence(tokens: tokens, kvBytes: bytes))
    }

    private func finished() -> RunEvent {
        .finished(RunResult(finish: .end, share: nil, prefillSeconds: 1, decodeSeconds: 0))
    }

    @Test func progressBeginsBehindThePast() {
        var state = state()
        #expect(state.record.prefilledTokens == 256)
        _ = event(&state, 0, .progress(PrefillProgress(layers: 40, prefilledLayers: 20)))
        _ = event(&state, 1, .progress(PrefillProgress(layers: 40, prefilledLayers: 20)))
        #expect(state.record.prefilledTokens == 256 + 372)
    }

    @Test func allMustKeep() {
        var state = state()
        #expect(!event(&state, 0, kept(7)).contains(.kept([7])))
        #expect(event(&state, 1, kept(9)).contains(.kept([7, 9])))
        for rank in 0..<2 { _ = event(&state, rank, finished()) }
        #expect(state.record.state == .succeeded)
    }

    /// An answer does not depend on what stays in memory.
    @Test func anAnswerNeedsNothingKept() {
        var state = state()
        for rank in 0..<2 { _ = event(&state, rank, finished()) }
        #expect(state.record.state == .succeeded)
    }

    @Test func aContextIsThereWhenAllKeepIt() {
        var whole = state(kind: .ingest)
        for rank in 0..<2 { _ = event(&whole, rank, kept(1)) }
        #expect(!whole.isOver)
        for rank in 0..<2 { _ = event(&whole, rank, finished()) }
        #expect(whole.record.state == .succeeded && whole.record.finish == .end)
        #expect(whole.record.prefilledTokens == 1000)
        var half = state(kind: .ingest)
        _ = event(&half, 0, kept(1))
        for rank in 0..<2 { _ = event(&half, rank, finished()) }
        #expect(half.record.state == .failed && half.record.fault?.accused == ["beta"])
        // A worker that is lost after all have kept it takes nothing from the job.
        var late = state(kind: .ingest)
        for rank in 0..<2 { _ = event(&late, rank, kept(1)) }
        _ = late.handle(.lost(worker: "beta", reason: "gone"), at: start, wallMicroseconds: 7)
        #expect(late.record.state == .succeeded)
    }

    @Test(arguments: [0, 896, 1000] as [UInt64])
    func whatNobodyAskedForBreaksTheProtocol(_ tokens: UInt64) {
        var none = state(keptTokens: 0)
        _ = event(&none, 0, kept(1, tokens: tokens))
        #expect(none.record.fault?.kind == .nonsense)
        var twice = state()
        _ = event(&twice, 0, kept(1))
        _ = event(&twice, 0, kept(1, tokens: tokens))
        #expect(twice.record.fault?.kind == .nonsense)
        var early = state(accepted: false)
        _ = event(&early, 0, kept(1))
        #expect(early.record.fault?.kind == .nonsense)
    }

    @Test func missingKeysAndValuesSendTheJobBackAtOnce() {
        var state = state(accepted: false)
        let actions = event(
            &state, 1,
            .fault(
                .with {
                    $0.kind = .missing
                    $0.accused = 1
                    $0.detail = "it does not hold the sequence"
                }))
        #expect(state.isReturned && actions.contains(.finished))
        #expect(state.failure?.kind == .missing && state.failure?.accused == ["beta"])
        #expect(state.record.cachedTokens == 0 && state.record.prefilledTokens == 0)
        #expect(state.record.attempt == 2)
    }

    // MARK: plans

    private func message(_ plan: JobPlan, rank: Int, prompt: [UInt32]) -> RunPlan {
        plan.message(
            rank: rank, job: .with { $0.options = .with { $0.kind = .generate } }, prompt: prompt,
            profile: ProfileMessage(), epoch: 1, stallSeconds: 1, runKey: "k")
    }

    @Test func onlyWhatIsBehindThePastIsSent() throws {
        let prompt = (0..<1000).map { UInt32($0) }
        let layout = try Layout(stripeTokens: 64, weights: [2, 1])
        var plan = JobPlan(
            prompt: 1000, reserved: 10, members: [member("beta"), member("alpha")],
            continuing: RunPast(sequence: "s", tokens: 384), layout: layout, model: ByteModel())
        plan.kept.keep = "t"
        plan.kept.drop = ["alpha": ["old"]]
        var sent: Set<UInt32> = []
        for rank in 0..<2 {
            let message = message(plan, rank: rank, prompt: prompt)
            let parts = plan.tokenParts(rank: rank, prompt: prompt, kind: .generate)
            let tokens = parts.flatMap(\.tokens)
            #expect(tokens.count == Int(message.tokenCount))
            #expect(tokens == prompt.filter { $0 >= 384 && layout.owner(of: Int($0)) == rank })
            #expect(message.past == RunPast(sequence: "s", tokens: 384) && message.keep == "t")
            #expect(message.drop == (rank == 1 ? ["old"] : []))
            #expect(message.stripeTokens == 64 && message.members.map(\.weight) == [2, 1])
            sent.formUnion(tokens)
        }
        #expect(sent.count == 616)
        #expect(plan.keptTokens == 896 && plan.pastTokens == 384)
    }

    @Test func slabsBoundWhatPrefillHasInMemory() throws {
        var model = ByteModel()
        model.window = 10_000_000
        let admission = Admission(model: model)
        func slabs(_ tokens: Int, workers: Int) throws -> Int {
            try JobPlan(
                prompt: tokens, reserved: 0,
                members: (0..<workers).map { member("w\($0)", memory: 1 << 40) }, admission: admission
            ).slabTokens
        }
        // A gibibyte are 268,435 rows of 4,000 bytes.
        #expect(try slabs(200_000, workers: 1) == 0)
        let one = try slabs(1_000_000, workers: 1)
        #expect(one > 200_000 && one <= 268_435 && one % 1024 == 0)
        let four = try slabs(2_000_000, workers: 4)
        #expect(four > 900_000 && four <= 4 * 268_435 && four % 1024 == 0)
        // What is there already needs no room.
        let plan = JobPlan(
            prompt: 400_000, reserved: 0, members: [member("alpha")],
            continuing: RunPast(sequence: "s", tokens: 200_064),
            layout: try Layout(stripeTokens: 1024, weights: [1]), model: model)
        #expect(plan.slabTokens == 0 && plan.slabs == 1)
    }

    @Test func costsAreOfWhatMustBeComputed() {
        let cost = JobCost(
            work: CostModel.Work(
                layers: 10, denseOperations: 1e9, attentionOperations: 1e4, kvBytesPerToken: 1000))
        let whole = cost.seconds(promptTokens: 10_000, answerTokens: 0, on: [member("alpha")])
        let rest = cost.seconds(promptTokens: 10_000, answerTokens: 0, past: 8960, on: [member("alpha")])
        // A tenth of the rows, whose keys are the longest: a fifth of the pairs.
        #expect(rest < 0.2 * whole && rest > 0.1 * whole)
        var record = JobRecord()
        record.state = .prefill
        record.promptTokens = 1000
        record.cachedTokens = 800
        record.prefilledTokens = 900
        #expect(JobCost.secondsLeft(record, elapsed: 5) == 5)
    }
}
