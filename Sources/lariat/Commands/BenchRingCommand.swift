// lariat bench ring: one worker against several that share its threads.

internal import ArgumentParser
internal import Benchmark
internal import Kernels

struct BenchRingCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "ring", abstract: "Measure what the ring costs.",
        discussion: """
            Runs the same prompt on one worker with all threads, and on several workers that share them, in turn. A ratio \
            of 1 means that passing blocks on costs nothing; waiting is time in which a worker's compute threads had \
            nothing to do.
            """)

    @OptionGroup var jobs: BenchJobOptions
    @Option(help: ArgumentHelp("Length of the prompt.", valueName: "n"))
    var tokens = 32768
    @Option(help: ArgumentHelp("Workers of the ring.", valueName: "n"))
    var workers = 2
    @Option(
        name: .customLong("threads-in-all"),
        help: ArgumentHelp(
            "Compute threads of all workers together (default: the cores that this process may use).",
            valueName: "n"))
    var chosenThreads: Int?
    @Option(help: ArgumentHelp("Measure each so often.", valueName: "n"))
    var `repeat` = 1
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try BenchLimits.check("--tokens", tokens, 1...LengthList.range.upperBound)
        try BenchLimits.check("--workers", workers, 2...BenchLimits.workers.upperBound)
        try BenchLimits.check("--threads-in-all", threadsInAll, BenchLimits.threads)
        try BenchLimits.check("--repeat", self.repeat, BenchLimits.repeats)
        guard threadsInAll % workers == 0 else {
            throw ValidationError(
                "--threads-in-all \(threadsInAll): \(Quantity.counted(workers, "worker")) cannot share these evenly"
            )
        }
    }

    /// Of all workers together: as many for each.
    private var threadsInAll: Int {
        chosenThreads ?? max(1, Machine.usableCores() / max(1, workers)) * max(1, workers)
    }

    func execute() async throws {
        let threadsInAll = threadsInAll
        let alone = try BenchSession(jobs, workers: 1, threads: threadsInAll)
        let ring = BenchSession(alone, workers: workers, threads: threadsInAll / workers)
        let tokens = tokens
        var result = RingResult(
            tokens: tokens, workers: workers, threadsInAll: threadsInAll)
        let rounds = self.repeat
        let peak = alone.meter.densePeak
        for round in 1...rounds {
            let note = "\(Quantity.counted(tokens, "token")), round \(round) of \(rounds)"
            let (one, _) = try await alone.withPeak(peak) {
                try await alone.jobs("one worker, \(note)", repeats: 1, tokens: tokens, generate: 1)
            }
            let (many, _) = try await alone.withPeak(peak) {
                try await ring.jobs(
                    "\(Quantity.counted(ring.workers, "worker")), \(note)", repeats: 1, tokens: tokens,
                    generate: 1)
            }
            for (one, many) in zip(one, many) { result.add(alone: one.record, ring: many.record) }
        }
        let report = alone.report(bench: "ring")
        try await output.print(report, runs: result.json, table: BenchReport.table(result))
    }
}
