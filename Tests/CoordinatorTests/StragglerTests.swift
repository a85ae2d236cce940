// Which worker or link a prefill waited for.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite struct StragglerTests {
    /// Shares by rank: (compute, wait, wire, bytes).
    private func job(_ figures: [(Double, Double, Double, UInt64)], prefill: Double = 15) -> JobRecord {
        let names = ["alpha", "beta", "gamma", "delta"]
        var job = JobRecord()
        job.state = .succeeded
        job.prefillSeconds = prefill
        job.shares = figures.enumerated().map { rank, figure in
            .with {
                $0.rank = UInt32(rank)
                $0.worker = names[rank]
                $0.tokens = 100
                $0.computeSeconds = figure.0
                $0.waitSeconds = figure.1
                $0.steps = [
                    .with { $0.computeSeconds = figure.0 },
                    .with {
                        $0.step = 1
                        $0.waitSeconds = figure.1
                        $0.wireSeconds = figure.2
                        $0.bytes = figure.3
                    },
                ]
            }
        }
        return job
    }

    @Test func aSlowWorker() throws {
        let found = try #require(
            StragglerMessage.find(in: job([(9, 5, 1, 100), (14.5, 0.1, 1, 100), (9.5, 4, 1, 100)])))
        #expect(found.worker == "beta")
        #expect(found.computeSeconds == 14.5 && found.othersSeconds == 9 && found.onlyOther == "")
        #expect(found.waitedSeconds == 4.5 && found.prefillSeconds == 15 && found.sender == "")
    }

    @Test func theSlowerOfTwo() throws {
        let found = try #require(StragglerMessage.find(in: job([(14, 0.5, 0, 100), (10, 4, 0, 100)])))
        #expect(found.worker == "alpha" && found.onlyOther == "beta" && found.waitedSeconds == 4)
    }

    /// Every worker computes alike; the blocks that come to gamma from beta take long.
    @Test func aSlowLink() throws {
        let found = try #require(
            StragglerMessage.find(
                in: job([(9, 5.5, 0.5, 1 << 20), (9, 5.5, 0.5, 1 << 20), (9, 6, 5.8, 1 << 20)])))
        #expect(found.worker == "gamma")
        #expect(found.sender == "beta" && found.bytes == 1 << 20 && found.wireSeconds == 5.8)
        // The first one's blocks come from the last.
        let first = try #require(
            StragglerMessage.find(in: job([(9, 6, 5.8, 1 << 20), (9, 5, 0.5, 1 << 20)])))
        #expect(first.sender == "beta" && first.bytes == 1 << 20 && first.wireSeconds == 5.8)
    }

    /// The order of the list does not matter, only ranks.
    @Test func ranks() {
        var shuffled = job([(9, 5.5, 0.5, 1 << 20), (9, 5.5, 0.5, 1 << 20), (9, 6, 5.8, 1 << 20)])
        let found = StragglerMessage.find(in: shuffled)
        shuffled.shares.swapAt(0, 2)
        #expect(found != nil && StragglerMessage.find(in: shuffled) == found)
    }

    @Test func onlyWhenItMatters() {
        // Waits of a tenth of prefill are no news.
        #expect(StragglerMessage.find(in: job([(13, 1.5, 0, 0), (14.5, 0, 0, 0)])) == nil)
        #expect(StragglerMessage.find(in: job([(12.9, 1.6, 0, 0), (14.5, 0, 0, 0)])) != nil)
        // Waits that neither computing nor a transfer explains.
        #expect(StragglerMessage.find(in: job([(9, 5, 0.1, 100), (9.1, 5, 0.1, 100)])) == nil)
        // Transfers that took long but were not waited for.
        #expect(StragglerMessage.find(in: job([(14, 0.5, 12, 100), (14, 0.5, 12, 100)])) == nil)
        #expect(StragglerMessage.find(in: job([(14, 5, 0, 0)])) == nil)
        #expect(StragglerMessage.find(in: JobRecord()) == nil)
        // Not measured yet.
        #expect(StragglerMessage.find(in: job([(0, 0, 0, 0), (0, 0, 0, 0)])) == nil)
    }

    /// A worker without tokens has nothing to compute: its waits say nothing.
    @Test func workersWithoutTokens() {
        var idle = job([(14, 0.2, 0, 0), (14, 0.2, 0, 0), (0.1, 14, 0, 0)])
        idle.shares[2].tokens = 0
        #expect(StragglerMessage.find(in: idle) == nil)
    }

    @Test func oddFigures() {
        for figure in [-Double.infinity, -1, .nan, .infinity, 1e300] {
            for other in [(figure, 5.0, 1.0, UInt64.max), (5, figure, 1, 1), (5, 5, figure, 1)] {
                let found = StragglerMessage.find(in: job([(9, 6, 5, .max), other], prefill: figure))
                #expect(found?.worker != "")
            }
        }
    }
}
