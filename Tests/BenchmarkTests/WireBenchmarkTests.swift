// Blocks really go from one worker's transport to another's, and over plain TCP.
import Benchmark
import Logging
import Testing

@Suite(.timeLimit(.minutes(10))) struct WireBenchmarkTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// The last block is shorter than the others; one block is longer than a message.
    @Test(arguments: [3 << 10, 3 << 20]) func transfers(blockBytes: Int) async throws {
        let rates = try await WireBenchmark(
            bytes: 10 << 20, blockBytes: blockBytes, rounds: 2, logger: logger
        ).run { _ in }
        #expect(rates.first.values.count == 2)
        for value in rates.first.values + rates.second.values { #expect(value.isFinite && value > 0) }
        #expect(try #require(rates.ratio) > 0)
    }

    @Test(arguments: [(1 << 20, 1000), (1 << 20, 2 << 20), (1 << 20, 0), (1 << 20, -1024)])
    func sizesAreChecked(bytes: Int, blockBytes: Int) {
        #expect(throws: BenchmarkError.self) {
            try WireBenchmark(bytes: bytes, blockBytes: blockBytes, rounds: 1, logger: logger)
        }
    }

    @Test func freePortsDiffer() throws {
        let listeners = try (0..<20).map { _ in try LoopbackListener() }
        #expect(Set(listeners.map(\.port)).count == 20)
    }
}
