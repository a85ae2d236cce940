// lariat wait: until a job is over; the exit code says how it ended.

internal import ArgumentParser
internal import Messages

struct WaitCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "wait", abstract: "Wait for a job's end.",
        discussion:
            "Exits with 0 when it succeeded, 1 when it failed, 2 when it was cancelled, 75 when time is up.")

    @OptionGroup var which: JobArgument
    @Option(help: ArgumentHelp("Wait at most so long (default: until the end).", valueName: "seconds"))
    var timeout: Double?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        if let timeout, !(timeout >= 0 && timeout <= 1e8) {
            throw ValidationError("--timeout: from 0 to 100000000 seconds")
        }
    }

    func execute() async throws {
        let record = try await CoordinatorClient.with(connection, log) { coordinator in
            let deadline = timeout.map { ContinuousClock.now + .seconds($0) }
            let id = try await coordinator.find(which.job).id
            while true {
                let record = try await coordinator.job(id)
                if ExitStatus.of(record.state) != nil { return record }
                if let deadline, ContinuousClock.now >= deadline {
                    throw Failure(
                        "job \(id) is not over yet: \(JobReport(record).stateText)",
                        exitCode: ExitStatus.tryAgain)
                }
                let rest = deadline.map { ContinuousClock.now.duration(to: $0) } ?? .seconds(1)
                try await Task.sleep(for: min(rest, .milliseconds(500)))
            }
        }
        if output.json { try await Terminal.print(json: record.json) }
        try record.conclude(summary: !output.json)
    }
}
