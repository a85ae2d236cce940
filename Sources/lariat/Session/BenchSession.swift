// What the measurements of jobs share: the model's costs, the machine's limits before and after, the jobs themselves.

internal import Benchmark
internal import Kernels
import Synchronization

/// A measurement with a fixed number of workers and threads.
final class BenchSession: Sendable {
    let workers: Int
    let cost: ModelCost
    /// Measures with as many threads as all workers have, while no job runs.
    let meter: PeakMeter
    private let settings: TemporaryClusterSettings
    private let peaks = Mutex(PeakRates())

    private static let warmUpTokens = 128
    private static let peakSeconds = 0.5

    /// Opens the model and starts nothing.
    init(_ options: BenchJobOptions, workers: Int, threads: Int) throws {
        let path = try options.path()
        self.workers = workers
        cost = try ModelCost(path: path)
        settings = options.settings(path, workers: workers, threads: threads)
        meter = try options.meter(threads: workers * threads)
    }

    /// The same model, options and threads in all, on another number of workers.
    init(_ other: BenchSession, workers: Int, threads: Int) {
        self.workers = workers
        cost = other.cost
        meter = other.meter
        settings = TemporaryClusterSettings(
            model: other.settings.model, workers: workers, threads: threads, isa: other.settings.isa,
            precision: other.settings.precision, jobLimit: other.settings.jobLimit)
    }

    /// Runs `body` between two measurements of a limit. Returns their mean with its result; nil without such
    /// instructions.
    func withPeak<Value>(
        _ peak: Peak, _ body: () async throws -> Value
    ) async throws -> (value: Value, peak: Double?) {
        var around = PeakRates()
        await meter.measure([peak], seconds: Self.peakSeconds, into: &around)
        let value = try await body()
        await meter.measure([peak], seconds: Self.peakSeconds, into: &around)
        for rate in around.values[peak]?.values ?? [] { peaks.withLock { $0.add(peak, rate) } }
        return (value, around[peak])
    }

    /// Starts a cluster, warms it up, and runs the same job `repeats` times with different prompts.
    func jobs(_ what: String, repeats: Int, tokens: Int, generate: Int) async throws -> [BenchJob] {
        let isTerminal = Terminal.errorIsTerminal
        if isTerminal { Terminal.note("starting \(Quantity.counted(workers, "worker"))") }
        let vocabulary = UInt32(cost.vocabulary)
        return try await TemporaryCluster.with(settings) { cluster in
            let cluster = BenchCluster(cluster: cluster, vocabulary: vocabulary)
            _ = try await cluster.run(tokens: Self.warmUpTokens, generate: min(generate, 8), seed: 0)
            var jobs: [BenchJob] = []
            for turn in 1...repeats {
                if isTerminal { Terminal.note("\(what), \(turn) of \(repeats)") }
                jobs.append(try await cluster.run(tokens: tokens, generate: generate, seed: UInt64(turn)))
            }
            return jobs
        }
    }

    /// With all limits that were measured.
    func report(bench: String) -> BenchReport {
        BenchReport(
            bench: bench,
            machine: BenchMachine(
                processor: Machine.processor, threads: meter.compute.threads, isa: meter.compute.isa),
            peaks: peaks.withLock { $0 })
    }
}
