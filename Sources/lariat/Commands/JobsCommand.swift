// lariat jobs: the list of jobs, newest first.

internal import ArgumentParser
internal import JSONText
internal import RPC

struct JobsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(commandName: "jobs", abstract: "List jobs, newest first.")

    @Flag(help: "Only jobs that are not over.")
    var active = false
    @Flag(help: "Every job the coordinator remembers (default: the newest 100).")
    var all = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    /// The coordinator forgets old jobs long before; this bounds what a broken one can send.
    private static let mostPages = 10_000

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            var jobs: [JobRecord] = []
            var page = ""
            var hasMore = false
            for _ in 0..<(all || active ? Self.mostPages : 1) {
                let request = ListJobsRequest.with {
                    $0.pageToken = page
                    $0.pageSize = 100
                    $0.activeOnly = active
                }
                let reply = try await coordinator.unary(CoordinatorService.listJobs, request)
                if output.json {
                    try await Terminal.print(reply.jobs.map(\.json.text))
                } else {
                    jobs += reply.jobs
                }
                page = reply.nextPageToken
                hasMore = !page.isEmpty
                if page.isEmpty { break }
            }
            guard !output.json else { return }
            if jobs.isEmpty {
                Terminal.note(active ? "no active jobs" : "no jobs; submit one with `lariat submit`")
            } else {
                try await Terminal.print(JobReport.list(jobs))
            }
            if hasMore { Terminal.note("these are the newest \(jobs.count); --all lists every job") }
        }
    }
}
