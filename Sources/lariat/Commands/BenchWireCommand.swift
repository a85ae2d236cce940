// lariat bench wire: blocks between two workers against plain TCP.

internal import ArgumentParser
internal import Benchmark
internal import Kernels
internal import Logging

struct BenchWireCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "wire", abstract: "Measure the way of blocks from one worker to the next.",
        discussion: """
            Sends blocks over loopback as the ring does (checksums, gRPC, flow control, checks on arrival), and in turn as \
            many bytes over a plain TCP connection. Both ends share this machine's cores. The ratio is the median over \
            the rounds.
            """)

    @Option(help: ArgumentHelp("Size of one transfer.", valueName: "MiB"))
    var megabytes = 256
    @Option(help: ArgumentHelp("Size of one block.", valueName: "KiB"))
    var blockKib = 1024
    @Option(name: .customLong("repeat"), help: ArgumentHelp("Rounds.", valueName: "n"))
    var rounds = 5
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        try BenchLimits.check("--megabytes", megabytes, 1...16_384)
        try BenchLimits.check("--block-kib", blockKib, 1...min(megabytes << 10, 256 << 10))
        try BenchLimits.check("--repeat", rounds, BenchLimits.repeats)
    }

    func execute() async throws {
        let rounds = rounds
        let isTerminal = Terminal.errorIsTerminal
        let benchmark = try WireBenchmark(
            bytes: megabytes << 20, blockBytes: blockKib << 10, rounds: rounds,
            logger: log.logger("bench", normally: .error))
        let rates = try await benchmark.run { done in
            if isTerminal { Terminal.note("round \(done) of \(rounds)") }
        }
        let result = WireResult(bytes: benchmark.bytes, blockBytes: benchmark.blockBytes, rates: rates)
        // Two threads, sender and receiver, besides the network's.
        let report = BenchReport(
            bench: "wire", machine: BenchMachine(processor: Machine.processor, threads: 2, isa: .best),
            peaks: PeakRates())
        try await output.print(report, runs: [result.json], table: BenchReport.table([result]))
    }
}
