// lariat show: everything known about one job.

internal import ArgumentParser
import Foundation
internal import Messages

struct ShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a job: its state, timings, and each worker's share.",
        discussion: """
            Of a job that waits it says for what, of one that runs when it will be done, and where workers waited for \
            each other for more than a tenth of the prefill, which worker or link they waited for.
            """)

    /// A coordinator's queue is bounded; this bounds what a broken one can send.
    private static let mostActive = 2000

    @OptionGroup var which: OptionalJobArgument
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            let record = try await coordinator.find(which.job)
            if output.json {
                try await Terminal.print(json: record.json)
            } else {
                try await Terminal.print(report(record, coordinator).lines())
            }
        }
    }

    private func report(_ job: JobRecord, _ coordinator: CoordinatorClient) async throws -> JobReport {
        guard ExitStatus.of(job.state) == nil else { return JobReport(job) }
        let cluster = try await coordinator.unary(CoordinatorService.getCluster, ClusterRequest())
        var active: [JobRecord] = []
        try await coordinator.list(activeOnly: true) { page, _ in
            active += page
            return active.count < Self.mostActive
        }
        let now = UInt64(max(0, Date().timeIntervalSince1970) * 1e6)
        return JobReport(JobOutlook(job, cluster: cluster, active: active, at: now))
    }
}
