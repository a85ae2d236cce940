// Speeds that shares are cut by: what is learnt, how it is rounded, and what noise does.
import Coordinator
import Testing

@Suite struct WorkerSpeedsTests {
    private func observation(
        _ worker: String, _ rate: Double, threads: Int = 1, host: String? = nil, cores: Int = 8,
        seconds: Double = 2
    ) -> WorkerSpeeds.Observation {
        WorkerSpeeds.Observation(
            worker: worker, threads: threads, host: host ?? worker, hostCores: cores,
            operations: rate * seconds * Double(threads), seconds: seconds)
    }

    private func weights(_ speeds: WorkerSpeeds, _ workers: [(String, Int)]) -> [Double] {
        speeds.weights(workers.map { (worker: $0.0, threads: $0.1) })
    }

    @Test func withoutAnyKnowledgeThreadsCount() {
        #expect(weights(WorkerSpeeds(), [("a", 1), ("b", 16)]) == [1, 16])
    }

    @Test func aWorkerAtHalfSpeedGetsHalf() {
        var speeds = WorkerSpeeds()
        speeds.learn([observation("a", 1e12), observation("b", 0.5e12), observation("c", 1e12, threads: 4)])
        let found = weights(speeds, [("a", 1), ("b", 1), ("c", 4)])
        #expect(abs(found[1] / found[0] - 0.5) < 0.03)
        #expect(abs(found[2] / found[0] - 4) < 0.01)
    }

    @Test func noiseChangesNothing() {
        var speeds = WorkerSpeeds()
        for round in 0..<50 {
            let wobble = round % 2 == 0 ? 1.08 : 0.93
            speeds.learn([observation("a", 1e12 * wobble), observation("b", 1e12)])
        }
        #expect(weights(speeds, [("a", 1), ("b", 1)]) == [1, 1])
    }

    @Test func aWorkerThatBecomesSlowerIsNoticedAndForgiven() {
        var speeds = WorkerSpeeds()
        speeds.learn([observation("a", 1e12), observation("b", 1e12)])
        for _ in 0..<6 { speeds.learn([observation("a", 1e12), observation("b", 0.25e12)]) }
        var found = weights(speeds, [("a", 1), ("b", 1)])
        #expect((0.22...0.28).contains(found[1] / found[0]))
        for _ in 0..<6 { speeds.learn([observation("a", 1e12), observation("b", 1e12)]) }
        found = weights(speeds, [("a", 1), ("b", 1)])
        #expect(abs(found[1] / found[0] - 1) < 0.1)
    }

    @Test func setsThatOverlapAreCompared() {
        var speeds = WorkerSpeeds()
        speeds.learn([observation("a", 1e12), observation("b", 0.5e12)])
        // In other units, as a job of another length has: b is the link.
        speeds.learn([observation("b", 50), observation("c", 200)])
        let found = weights(speeds, [("a", 1), ("c", 1)])
        #expect((1.8...2.2).contains(found[1] / found[0]))
    }

    @Test func workersThatShareCoresAreAlike() {
        var speeds = WorkerSpeeds()
        speeds.learn([
            observation("a", 0.9e12, host: "h", cores: 2), observation("b", 0.5e12, host: "h", cores: 2),
            observation("c", 0.6e12, host: "h", cores: 2),
        ])
        let found = weights(speeds, [("a", 1), ("b", 1), ("c", 1)])
        #expect(found == [1, 1, 1])
    }

    @Test func nonsenseTeachesNothing() {
        var speeds = WorkerSpeeds()
        for bad in [0, -1, .nan, .infinity] {
            speeds.learn([observation("a", bad), observation("b", 1e12)])
        }
        speeds.learn([observation("a", 1e12, seconds: 0.01), observation("b", 1e10, seconds: 0.01)])
        speeds.learn([observation("a", 1e12)])
        speeds.learn([])
        #expect(weights(speeds, [("a", 1), ("b", 1)]) == [1, 1])
    }

    @Test func nobodyIsTakenForImpossiblyFast() {
        var speeds = WorkerSpeeds()
        speeds.learn([observation("a", 1e300), observation("b", 1e-300)])
        let found = weights(speeds, [("a", 1), ("b", 1)])
        #expect(found[0] <= 64 && found[1] >= 1 / 64.0)
    }
}
