// lariat bench kernels: each kernel against what bounds it.

internal import ArgumentParser
internal import Benchmark
internal import Kernels

/// Groups of kernels: `attention,linear`.
struct KernelGroupList: ExpressibleByArgument {
    let groups: [KernelGroup]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        let groups = parts.compactMap { KernelGroup(rawValue: String($0)) }
        guard groups.count == parts.count else { return nil }
        self.groups = groups
    }
}

struct BenchKernelsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Measure the kernels one by one.",
        discussion: """
            Every kernel is measured in turn with what bounds it: arithmetic of its kind, reading memory, or copying \
            memory. Shares are medians over the rounds. A kernel whose operands stay in the cache may exceed the share of \
            a memory that it does not use.
            """)

    @Option(help: ArgumentHelp("Compute threads (default: one per core).", valueName: "n"))
    var threads: Int?
    @Option(help: "scalar, avx2, avx512 or avx512bf16 (default: the best this processor has).")
    var isa: ISA?
    @Option(help: "bf16 or f32.")
    var precision: Precision = .bf16
    @Option(help: ArgumentHelp("Time for each kernel; one run of it at least.", valueName: "seconds"))
    var secondsPerKernel = 0.3
    @Option(
        help: ArgumentHelp(
            "Some of \(KernelGroup.allCases.map(\.rawValue).joined(separator: ",")) (default: all).",
            valueName: "list"))
    var only: KernelGroupList?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let threads { try BenchLimits.check("--threads", threads, BenchLimits.threads) }
        guard secondsPerKernel >= 0.001, secondsPerKernel <= 60 else {
            throw ValidationError("--seconds-per-kernel: from 0.001 to 60")
        }
    }

    func execute() async throws {
        let isTerminal = Terminal.errorIsTerminal
        let machine = BenchMachine(
            processor: Machine.processor, threads: threads ?? Machine.usableCores(), isa: isa ?? .best)
        let report = try await KernelBenchmark(
            threads: machine.threads, isa: machine.isa, precision: precision, seconds: secondsPerKernel,
            groups: only?.groups ?? KernelGroup.allCases
        ).run { name in
            if isTerminal { Terminal.note(name) }
        }
        let rendering = BenchReport(bench: "kernels", machine: machine, peaks: report.peaks)
        try await output.print(
            rendering, runs: report.results.map(\.json), table: BenchReport.table(report.results))
    }
}
