// Jobs as people name them: by id, by its number, by the name that a job was given; and lists of them.

internal import Messages
internal import Protobuf
internal import RPC

extension CoordinatorClient {
    /// The coordinator forgets old jobs long before; this bounds what a broken one can send.
    private static let mostPages = 10_000
    private static let pageSize: UInt32 = 100

    func job(_ id: String) async throws -> JobRecord {
        try await unary(CoordinatorService.getJob, JobRequest.with { $0.id = id })
    }

    /// The job with this id, or with this number, or else the newest with this name.
    /// - Parameter text: nil: the newest job.
    func find(_ text: String?) async throws -> JobRecord {
        guard let text else { return try await newest() }
        for id in JobNames.ids(text) {
            do throws(RPCStatus) {
                return try await answer(CoordinatorService.getJob, JobRequest.with { $0.id = id })
            } catch {
                guard error.code == .notFound || error.code == .invalidArgument else { throw failure(error) }
            }
        }
        var found: String?
        try await list { jobs, _ in
            found = JobNames.newest(named: text, in: jobs)
            return found == nil
        }
        guard let found else {
            throw Failure(
                "there is no job \"\(text.prefix(200))\", neither by its id nor by its name; `lariat jobs` lists them",
                exitCode: ExitStatus.usage)
        }
        return try await job(found)
    }

    /// Lists jobs page by page, newest first, for as long as `body` wants more; it is told whether a page is the last.
    func list(
        activeOnly: Bool = false, _ body: (_ jobs: [JobRecord], _ isLast: Bool) async throws -> Bool
    ) async throws {
        var page = ""
        for _ in 0..<Self.mostPages {
            let reply = try await unary(
                CoordinatorService.listJobs,
                ListJobsRequest.with {
                    $0.pageToken = page
                    $0.pageSize = Self.pageSize
                    $0.activeOnly = activeOnly
                })
            page = reply.nextPageToken
            guard try await body(reply.jobs, page.isEmpty), !page.isEmpty else { return }
        }
    }

    private func newest() async throws -> JobRecord {
        let reply = try await unary(CoordinatorService.listJobs, ListJobsRequest.with { $0.pageSize = 1 })
        guard let job = reply.jobs.first else {
            throw Failure(
                "the coordinator at \(address) has no jobs; submit one with `lariat submit`",
                exitCode: ExitStatus.usage)
        }
        return try await self.job(job.id)
    }
}
