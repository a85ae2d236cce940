// lariat logs: what coordinator and workers said about a job.

internal import ArgumentParser
internal import JSONText
internal import Messages
internal import Protobuf
internal import RPC

struct LogsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(commandName: "logs", abstract: "Print a job's log.")

    @OptionGroup var which: JobArgument
    @Flag(name: [.short, .long], help: "Go on until the job is over.")
    var follow = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            var printed = 0
            let id = try await coordinator.find(which.job).id
            while true {
                // The state first: lines that come after the last reading of the log would be missed otherwise.
                let isOver = !follow ? true : ExitStatus.of(try await coordinator.job(id).state) != nil
                printed = try await print(id, coordinator, after: printed)
                if isOver { return }
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// Prints the lines after the first `skipped`; returns how many there are.
    private func print(
        _ id: String, _ coordinator: CoordinatorClient, after skipped: Int
    ) async throws -> Int {
        let call = try await coordinator.replies(
            CoordinatorService.getLog, JobRequest.with { $0.id = id }, timeout: .seconds(60))
        var count = 0
        while true {
            let line: LogLine
            do throws(RPCStatus) {
                guard let next = try await call.next() else { return max(count, skipped) }
                line = next
            } catch {
                throw coordinator.failure(error)
            }
            count += 1
            guard count > skipped else { continue }
            try await Terminal.print(
                output.json
                    ? line.json.text
                    : LogText.line(
                        microseconds: line.timeMicroseconds, level: line.level, source: line.source,
                        message: line.text))
        }
    }
}
