// lariat show: everything known about one job.

internal import ArgumentParser
internal import RPC

struct ShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a job: its state, timings, and each worker's share.")

    @Argument(help: "The job's id (default: the newest job).")
    var job: String?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            let id = if let job { job } else { try await coordinator.newestJob() }
            let record = try await coordinator.job(id)
            if output.json {
                try await Terminal.print(json: record.json)
            } else {
                try await Terminal.print(JobReport(record).lines())
            }
        }
    }
}
