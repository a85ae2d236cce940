// lariat attach: a job's whole answer from its start, then live.

internal import ArgumentParser
internal import Messages

struct AttachCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach", abstract: "Print a job's answer from its start, then follow it.",
        discussion: """
            Ctrl-C detaches; the job goes on. Exits with 0, 1 or 2 as the job ended.

            \(JSONStream.help)
            """)

    @OptionGroup var which: OptionalJobArgument
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        let record = try await CoordinatorClient.with(connection, log) { coordinator in
            let id = try await coordinator.find(which.job).id
            let style = FollowStyle(output: output.json ? .json : .text)
            return try await JobFollower(coordinator: coordinator, id: id, style: style)
                .follow(Interrupts(secondEnds: true))
        }
        try record.conclude(summary: !output.json)
    }
}
