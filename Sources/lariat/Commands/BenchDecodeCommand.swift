// lariat bench decode: how fast tokens are generated behind prompts of several lengths.

internal import ArgumentParser
internal import Benchmark
internal import Kernels

struct BenchDecodeCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Measure the generation of tokens.",
        discussion: """
            Starts a cluster of its own for each length of context, runs a short job to warm up, then jobs that generate. \
            A token must read all weights, and the keys and values of everything before it; the share is of the speed at \
            which the same number of threads reads memory, measured before and after. The first token belongs to prefill.
            """)

    /// What a context of 0 means: the shortest prompt that is worth the name.
    private static let shortest = 8

    @OptionGroup var jobs: BenchJobOptions
    @Option(
        help: ArgumentHelp("Tokens before the first one generated; 0: a prompt of 8.", valueName: "list"))
    var context = LengthList([0, 2048, 8192])
    @Option(help: ArgumentHelp("Tokens to generate.", valueName: "n"))
    var generate = 32
    @OptionGroup var scale: BenchWorkerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try BenchLimits.check("--generate", generate, 2...(1 << 20))
    }

    func execute() async throws {
        let session = try BenchSession(jobs, workers: scale.workers, threads: scale.threads)
        var results: [DecodeResult] = []
        for length in context.lengths.sorted() {
            results.append(try await measure(length, session))
        }
        let report = session.report(bench: "decode")
        try await output.print(report, runs: results.map(\.json), table: BenchReport.table(results))
    }

    private func measure(_ context: Int, _ session: BenchSession) async throws -> DecodeResult {
        let prompt = max(context, Self.shortest)
        let (repeats, generate) = (scale.repeat, generate)
        let (ran, peak) = try await session.withPeak(.read) {
            try await session.jobs(
                "decode after \(Quantity.counted(prompt, "token"))", repeats: repeats, tokens: prompt,
                generate: generate)
        }
        let precision = jobs.precision
        return DecodeResult(
            context: context, workers: scale.workers, threads: scale.threads, jobs: ran,
            weightBytes: UInt64(session.cost.weightBytes),
            tokenBytes: session.cost.decodeBytes(
                tokens: Double(prompt) + Double(generate) / 2, precision),
            peak: peak)
    }
}
