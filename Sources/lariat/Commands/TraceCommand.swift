// lariat trace: a job's timeline as a file that Perfetto opens.

internal import ArgumentParser
import Foundation
internal import Messages
internal import Protobuf
internal import RPC

struct TraceCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Write a job's timeline, worker by worker and link by link.",
        discussion: """
            The file is in the Trace Event Format: open it in https://ui.perfetto.dev, which keeps it in the browser, or \
            in chrome://tracing. Each worker has a track for what it computed, one for what it waited for, and one for \
            the blocks that came in. A job that runs has the part that its workers have reported so far.
            """)

    @OptionGroup var which: OptionalJobArgument
    @Option(
        name: [.short, .customLong("output")],
        help: ArgumentHelp("The file to write; - for standard output.", valueName: "file"),
        completion: .file())
    var outputFile = "trace.json"
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            let record = try await coordinator.find(which.job)
            let call = try await coordinator.replies(
                CoordinatorService.getTrace, JobRequest.with { $0.id = record.id }, timeout: .seconds(600))
            var file = TraceFile(workers: record.shares.map(\.worker))
            var text = TraceFile.beginning
            var spans = 0
            do throws(RPCStatus) {
                while let part = try await call.next() {
                    spans += part.spans.count
                    text += file.events(part)
                }
            } catch {
                throw coordinator.failure(error)
            }
            guard spans > 0 else {
                throw Failure(
                    "there is no timeline of job \(record.id): \(JobReport(record).stateText); workers report theirs as a job goes on"
                )
            }
            text += TraceFile.end
            guard outputFile != "-" else {
                return try await Terminal.print(text.trimmingCharacters(in: .newlines))
            }
            try AtomicFile.write(text, to: outputFile)
            Terminal.note(
                "\(Quantity.counted(spans, "span")) of job \(record.id) in \(outputFile); open it in https://ui.perfetto.dev"
            )
        }
    }
}
