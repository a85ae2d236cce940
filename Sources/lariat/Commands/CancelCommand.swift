// lariat cancel: ends a job.

internal import ArgumentParser
internal import Messages
internal import Protobuf

struct CancelCommand: ReportingCommand {
    static let configuration = CommandConfiguration(commandName: "cancel", abstract: "Cancel a job.")

    @OptionGroup var which: JobArgument
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        let record = try await CoordinatorClient.with(connection, log) { coordinator in
            let id = try await coordinator.find(which.job).id
            return try await coordinator.unary(CoordinatorService.cancel, JobRequest.with { $0.id = id })
        }
        if output.json {
            try await Terminal.print(json: record.json)
        } else {
            try await Terminal.print("job \(record.id) is \(JobReport(record).stateText)".printable)
        }
    }
}
