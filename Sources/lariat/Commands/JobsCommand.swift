// lariat jobs: the list of jobs, newest first.

internal import ArgumentParser
internal import JSONText
internal import Messages

struct JobsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(commandName: "jobs", abstract: "List jobs, newest first.")

    @Flag(help: "Only jobs that are not over.")
    var active = false
    @Flag(help: "Every job the coordinator remembers (default: the newest 100).")
    var all = false
    @Option(help: ArgumentHelp("Only jobs with this name.", valueName: "name"))
    var name: String?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            var jobs: [JobRecord] = []
            var hasMore = false
            try await coordinator.list(activeOnly: active) { page, isLast in
                let wanted = page.filter { name == nil || $0.options?.name == name }
                if output.json {
                    try await Terminal.print(wanted.map(\.json.text))
                } else {
                    jobs += wanted
                }
                // Who asks for all, or for some of all, gets every page.
                if all || active || name != nil { return true }
                hasMore = !isLast
                return false
            }
            guard !output.json else { return }
            if jobs.isEmpty {
                Terminal.note(
                    (active ? "no active jobs" : "no jobs")
                        + (name.map { " with the name \"\($0)\"" }
                            ?? (active ? "" : "; submit one with `lariat submit`")))
            } else {
                try await Terminal.print(JobReport.list(jobs))
            }
            if hasMore {
                Terminal.note(
                    "these are the newest \(Quantity.count(UInt64(jobs.count))); --all lists every job")
            }
        }
    }
}
