// Predicted times, in figures that can be checked by hand.
import Coordinator
import Messages
import Protobuf
import RingAttention
import Testing

@Suite struct CostModelTests {
    /// A layer costs 1 s a token at 10 operations/s and 1 s a pair at 1 operation/s.
    private let work = CostModel.Work(
        layers: 2, denseOperations: 10, attentionOperations: 1, kvBytesPerToken: 100)

    /// Beside its bytes a layer has 0.5 ms of messages a rank; two layers.
    private func messages(_ ranks: Double) -> Double { 2 * 5e-4 * ranks }

    private func rates(
        dense: Double = 10, attention: Double = 1, unpack: Double = 0, link: Double = 1e9
    ) -> WorkerRates {
        .with {
            $0.denseOperationsPerSecond = dense
            $0.attentionOperationsPerSecond = attention
            $0.unpackSeconds = unpack
            $0.linkBytesPerSecond = link
        }
    }

    @Test func oneWorkerComputesAndSendsNothing() throws {
        let plan = try Layout(stripeTokens: 4, weights: [1])
        let (costs, seconds) = CostModel(work: work, rates: [rates(unpack: 3, link: 0)]).predict(
            plan, tokens: 4, sweepTokens: 4)
        // Two layers of 3 s of unpacking, 4 tokens and 1 + 2 + 3 + 4 pairs.
        #expect(seconds == 2 * (3 + 4 + 10))
        #expect(costs.map(\.computeSeconds) == [34] && costs.map(\.wireSeconds) == [0])
    }

    @Test func scoresCostOncePerToken() throws {
        let plan = try Layout(stripeTokens: 4, weights: [1])
        var work = work
        work.outputOperations = 50
        // As above without unpacking, and 5 s for each of 4 tokens.
        #expect(
            CostModel(work: work, rates: [rates()]).predict(plan, tokens: 4, sweepTokens: 4).prefillSeconds
                == 2 * (4 + 10) + 20)
    }

    @Test func shortSweepsCostMore() throws {
        let plan = try Layout(stripeTokens: 4, weights: [1])
        var rates = rates()
        rates.pieceKeys = 2
        let model = CostModel(work: work, rates: [rates])
        // Two layers of 4 tokens and 10 pairs; sweeps of 4 keys cost as much as 6.
        #expect(model.predict(plan, tokens: 4, sweepTokens: 4).prefillSeconds == 2 * (4 + 15))
        #expect(model.predict(plan, tokens: 4, sweepTokens: 1).prefillSeconds == 2 * (4 + 30))
    }

    @Test func threeWorkersShareTheWork() throws {
        let plan = try Layout(stripeTokens: 1, weights: [1, 1, 1])
        let (costs, seconds) = CostModel(work: work, rates: [rates(), rates(), rates()]).predict(
            plan, tokens: 12, sweepTokens: 4)
        // 4 tokens each, and 22, 26 and 30 of the 78 pairs.
        #expect(costs.map(\.computeSeconds) == [52, 60, 68])
        #expect(seconds == 68 + messages(3))
        // Each link carries two of the three blocks.
        #expect(costs.allSatisfy { $0.wireSeconds == 800 / 1e9 })
        let alone = CostModel(work: work, rates: [rates()]).predict(
            try Layout(stripeTokens: 1, weights: [1]), tokens: 12, sweepTokens: 4)
        #expect(alone.prefillSeconds == costs.reduce(0) { $0 + $1.computeSeconds })
    }

    @Test func theSlowestLinkHoldsAllUp() throws {
        let plan = try Layout(stripeTokens: 1, weights: [1, 1, 1])
        let (costs, seconds) = CostModel(work: work, rates: [rates(), rates(link: 1), rates()]).predict(
            plan, tokens: 12, sweepTokens: 4)
        #expect(costs.map(\.wireSeconds) == [800 / 1e9, 800, 800 / 1e9])
        // The 8 s of dense parts are not hidden, the 60 s of attention are.
        #expect(seconds == 808 + messages(3))
        // A link that is not slower than attention costs nothing.
        let hidden = CostModel(work: work, rates: [rates(), rates(link: 16), rates()]).predict(
            plan, tokens: 12, sweepTokens: 4)
        #expect(hidden.prefillSeconds == 68 + messages(3))
    }

    @Test func theSlowestWorkerDecides() throws {
        let slow = [rates(), rates(dense: 5, attention: 0.5)]
        let even = try Layout(stripeTokens: 1, weights: [1, 1])
        let (costs, seconds) = CostModel(work: work, rates: slow).predict(even, tokens: 12, sweepTokens: 4)
        // 6 tokens each, 36 and 42 pairs.
        #expect(costs.map(\.computeSeconds) == [84, 192])
        #expect(seconds == costs[1].computeSeconds + messages(2))
        let fair = try Layout(stripeTokens: 1, weights: [2, 1])
        #expect(
            CostModel(work: work, rates: slow).predict(fair, tokens: 12, sweepTokens: 4).prefillSeconds
                < seconds)
    }

    @Test func workersThatShareCoresAreEvenedOut() {
        func rates(_ dense: Double, _ attention: Double) -> WorkerRates {
            .with {
                $0.denseOperationsPerSecond = dense
                $0.attentionOperationsPerSecond = attention
                $0.hostCores = 4
            }
        }
        let measured = [rates(3, 20), rates(9, 40), rates(7, 70)]
        func places(_ threads: Int, _ host: String) -> [CostModel.Place] {
            [
                CostModel.Place(host: "a", threads: 2), CostModel.Place(host: host, threads: threads),
                CostModel.Place(host: "b", threads: 8),
            ]
        }
        // Six threads on four cores of one host: two and four of them.
        #expect(
            CostModel.sharingCores(measured, at: places(4, "a")) == [
                rates(4, 20), rates(8, 40), rates(7, 70),
            ])
        // Enough cores, or other hosts: what each has measured is its own.
        #expect(CostModel.sharingCores(measured, at: places(2, "a")) == measured)
        #expect(CostModel.sharingCores(measured, at: places(4, "c")) == measured)
    }

    @Test func anEmptyShardOnlyForwards() throws {
        let plan = try Layout(stripeTokens: 1, weights: [1, 0])
        let (costs, seconds) = CostModel(work: work, rates: [rates(unpack: 3), rates(unpack: 3, link: 200)])
            .predict(plan, tokens: 4, sweepTokens: 4)
        #expect(costs.map(\.computeSeconds) == [34, 0])
        #expect(costs.map(\.wireSeconds) == [400 / 1e9, 0])
        #expect(seconds == 34 + messages(2))
    }

    /// 10 GB a second, of which one worker reads the weights and all of them the keys and values.
    @Test func anAnswerReadsTheWeightsForEveryToken() {
        var work = work
        work.weightBytes = 2_000_000_000
        work.kvBytesPerToken = 1_000_000
        #expect(work.decodeSeconds(promptTokens: 1000, answerTokens: 0, ranks: 3) == 0)
        // 0.2 s of weights and 0.1 s of the 950 tokens before an answer of 100 and half of those.
        #expect(abs(work.decodeSeconds(promptTokens: 950, answerTokens: 100, ranks: 1) - 30) < 1e-9)
        // A half of the keys and values each, and a message of 0.5 ms for each of two layers.
        #expect(abs(work.decodeSeconds(promptTokens: 950, answerTokens: 100, ranks: 2) - 25.1) < 1e-9)
    }

    @Test func jobsAreForetoldByTheSameModel() throws {
        var work = work
        work.weightBytes = 2_000_000_000
        let worker = MemberRecord.with {
            $0.name = "w"
            $0.threads = 1
        }
        let prefill = CostModel(work: work, rates: [rates()]).predict(
            try Layout(tokens: 128, speeds: [1]), tokens: 128, sweepTokens: 4096)
        #expect(
            JobCost(work: work, measured: ["w": rates()]).seconds(
                promptTokens: 128, answerTokens: 7, on: [worker])
                == prefill.prefillSeconds
                + work.decodeSeconds(promptTokens: 128, answerTokens: 7, ranks: 1))
    }
}
