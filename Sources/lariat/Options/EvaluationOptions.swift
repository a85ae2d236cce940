// Options of commands that evaluate a model: the file, and the cluster that runs it.

internal import ArgumentParser
import Foundation
internal import Kernels

/// Which model, and where it runs.
struct EvaluationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Run on this cluster, which must run the same model (default: a cluster on this machine, for this command).",
            valueName: "host:port"))
    var coordinator: String?
    @OptionGroup var tls: TLSOptions
    @OptionGroup var token: TokenOptions
    @Option(help: ArgumentHelp("Workers of the cluster on this machine.", valueName: "n"))
    var workers = 1
    @Option(
        help: ArgumentHelp(
            "Compute threads of each of them (default: the processor's, shared out).", valueName: "n"))
    var threads: Int?
    @Option(help: "scalar, avx2, avx512 or avx512bf16 (default: the best this processor has).")
    var isa: ISA?
    @Option(help: "bf16 or f32.")
    var precision: Precision = .bf16
    @Option(help: ArgumentHelp("Give a job up after so long.", valueName: "seconds"))
    var jobTimeout: Double = 86400
    @OptionGroup var log: LogOptions

    func validate() throws {
        try BenchLimits.check("--workers", workers, BenchLimits.workers)
        if let threads { try BenchLimits.check("--threads", threads, BenchLimits.threads) }
        guard jobTimeout >= 1, jobTimeout <= 1e7 else {
            throw ValidationError("--job-timeout: from 1 to 10000000 seconds")
        }
    }

    /// Nil: a cluster of its own.
    var connection: ConnectionOptions? {
        guard let coordinator else { return nil }
        var connection = ConnectionOptions()
        connection.coordinator = coordinator
        connection.tls = tls
        connection.token = token
        return connection
    }

    func settings(_ path: String) -> TemporaryClusterSettings {
        TemporaryClusterSettings(
            model: path, workers: workers, threads: threads ?? LocalSpecification.threads(workers: workers),
            isa: isa, precision: precision, jobLimit: .seconds(jobTimeout))
    }
}

/// Which methods are compared, at which lengths.
struct ComparisonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Lengths in tokens, separated by commas.", valueName: "n,n,..."))
    var lengths: LengthList
    @Option(
        name: .customLong("rope"),
        help: ArgumentHelp(
            "A method or file of factors, as for submit; may be repeated to compare several (default: as the model file "
                + "says).", valueName: "method|file"), completion: .file())
    var ropes: [String] = []

    func validate() throws {
        guard lengths.lengths.allSatisfy({ $0 >= 2 }) else {
            throw ValidationError("--lengths: 2 tokens at least")
        }
    }
}
