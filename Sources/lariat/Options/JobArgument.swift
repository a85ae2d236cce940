// Which job a command means.

internal import ArgumentParser
internal import Messages
internal import Protobuf

/// A job that must be named.
struct JobArgument: ParsableArguments {
    @Argument(help: "The job: its id (j9, or 9) or its name.", completion: JobCompletion.kind)
    var job: String
}

/// A job; the newest where none is named.
struct OptionalJobArgument: ParsableArguments {
    @Argument(
        help: "The job: its id (j9, or 9) or its name (default: the newest job).",
        completion: JobCompletion.kind)
    var job: String?
}

/// Ids and names of jobs for the shell.
enum JobCompletion {
    /// The newest are the likeliest.
    private static let most: UInt32 = 50

    static let kind = RemoteCompletion.kind { coordinator, limit in
        let reply = try await coordinator.unary(
            CoordinatorService.listJobs, ListJobsRequest.with { $0.pageSize = most }, timeout: limit)
        var words = reply.jobs.map(\.id)
        for name in reply.jobs.compactMap({ $0.options?.name }) where !name.isEmpty && !words.contains(name) {
            words.append(name)
        }
        return words
    }
}
