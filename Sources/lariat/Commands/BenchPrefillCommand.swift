// lariat bench prefill: how fast prompts of several lengths are taken in.

internal import ArgumentParser
internal import Benchmark
internal import Kernels

struct BenchPrefillCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "prefill", abstract: "Measure the prefill of prompts.",
        discussion: """
            Starts a cluster of its own for each length, runs a short job to warm up, then prompts of random tokens. \
            Arithmetic counts 2 operations for each weight of the layers' products and token, and the half of attention \
            that is not masked; its share is of what the same number of threads can do, measured before and after.
            """)

    @OptionGroup var jobs: BenchJobOptions
    @Option(help: ArgumentHelp("Lengths of the prompts.", valueName: "list"))
    var tokens = LengthList([512, 2048, 8192])
    @OptionGroup var scale: BenchWorkerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !tokens.lengths.contains(0) else { throw ValidationError("--tokens: 1 at least") }
    }

    func execute() async throws {
        let session = try BenchSession(jobs, workers: scale.workers, threads: scale.threads)
        var results: [PrefillResult] = []
        for length in tokens.lengths.sorted() {
            results.append(try await measure(length, session))
        }
        let report = session.report(bench: "prefill")
        try await output.print(report, runs: results.map(\.json), table: BenchReport.table(results))
    }

    private func measure(_ length: Int, _ session: BenchSession) async throws -> PrefillResult {
        let repeats = scale.repeat
        let (ran, peak) = try await session.withPeak(session.meter.densePeak) {
            try await session.jobs(
                "prefill of \(Quantity.counted(length, "token"))", repeats: repeats, tokens: length,
                generate: 1)
        }
        return PrefillResult(
            tokens: length, workers: scale.workers, threads: scale.threads, jobs: ran,
            operations: session.cost.prefillOperations(tokens: length), peak: peak,
            modelBytes: UInt64(session.cost.fileBytes))
    }
}
