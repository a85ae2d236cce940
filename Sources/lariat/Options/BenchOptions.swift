// Options of the measurements that run jobs on a cluster of their own.

internal import ArgumentParser
internal import Benchmark
internal import JSONText
internal import Kernels

/// Lengths of prompts: `512,2048,8192`; 0 is allowed where a prompt may be as short as possible.
struct LengthList: ExpressibleByArgument {
    let lengths: [Int]

    /// Most tokens of a prompt, and most prompts of one run.
    static let range = 0...(16 << 20)
    static let most = 32

    init(_ lengths: [Int]) { self.lengths = lengths }

    init?(argument: String) {
        guard let list = NumberList(argument, in: Self.range, atMost: Self.most) else { return nil }
        lengths = list.numbers
    }

    var defaultValueDescription: String { lengths.map(String.init).joined(separator: ",") }
}

/// Which model runs, how often, and with which kernels.
struct BenchJobOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The model, a GGUF file.", valueName: "file"), completion: .file())
    var model: String
    @Option(help: "scalar, avx2, avx512 or avx512bf16 (default: the best this processor has).")
    var isa: ISA?
    @Option(help: "bf16 or f32.")
    var precision: Precision = .bf16
    @Option(help: ArgumentHelp("Give a job up after so long.", valueName: "seconds"))
    var jobTimeout: Double = 3600

    func validate() throws {
        guard jobTimeout >= 1, jobTimeout <= 1e6 else {
            throw ValidationError("--job-timeout: from 1 to 1000000 seconds")
        }
    }

    /// The model's file, which must be there: before any process is started.
    func path() throws -> String { try ModelFile.path(model) }

    func settings(_ path: String, workers: Int, threads: Int) -> TemporaryClusterSettings {
        TemporaryClusterSettings(
            model: path, workers: workers, threads: threads, isa: isa, precision: precision,
            jobLimit: .seconds(jobTimeout))
    }

    func meter(threads: Int) throws -> PeakMeter {
        try PeakMeter(threads: threads, isa: isa ?? .best, precision: precision)
    }
}

/// How many processes and threads compute.
struct BenchWorkerOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Workers.", valueName: "n"))
    var workers = 1
    @Option(
        name: .customLong("threads"),
        help: ArgumentHelp(
            "Compute threads of each worker (default: the cores that this process may use, shared out).",
            valueName: "n"))
    var chosenThreads: Int?
    @Option(help: ArgumentHelp("Measure each so often.", valueName: "n"))
    var `repeat` = 3

    func validate() throws {
        try BenchLimits.check("--workers", workers, BenchLimits.workers)
        if let chosenThreads { try BenchLimits.check("--threads", chosenThreads, BenchLimits.threads) }
        try BenchLimits.check("--repeat", self.repeat, BenchLimits.repeats)
        try BenchLimits.check("--workers times --threads", workers * threads, BenchLimits.threads)
    }

    /// Of each worker.
    var threads: Int { chosenThreads ?? max(1, Machine.usableCores() / max(1, workers)) }
}

/// What a measurement may be asked for.
enum BenchLimits {
    static let workers = 1...64
    static let threads = 1...1024
    static let repeats = 1...100

    static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw ValidationError("\(name) \(value): from \(range.lowerBound) to \(range.upperBound)")
        }
    }
}

extension OutputOptions {
    /// A measurement: JSON with an object for each run, or the machine's facts above a table.
    func print(_ report: BenchReport, runs: [JSONValue], table: [String]) async throws {
        if json {
            try await Terminal.print(json: report.json(runs: runs))
        } else {
            try await Terminal.print(report.lines(table))
        }
    }
}
