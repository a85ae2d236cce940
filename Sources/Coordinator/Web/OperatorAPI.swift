// What the web page asks: the cluster, jobs, throughput, and a stream of what changes.
import Cluster
import Foundation
import JSONText
import Messages
import Observability
import Protobuf

/// Routes under /api/v1.
struct OperatorAPI: Sendable {
    let core: CoordinatorCore
    let entrance: Guard

    private static let lookInterval: Duration = .seconds(1)
    /// So that nobody between takes a quiet stream for a dead one.
    private static let quietInterval: Duration = .seconds(15)
    private static let mostLines = 10_000

    var routes: [WebRoute] {
        [
            entrance.route(.get, "/api/v1/cluster", needs: .read) { _ in
                .json(await core.cluster().json)
            },
            entrance.route(.get, "/api/v1/throughput", needs: .read) { _ in
                .json(throughput(await core.lastHour))
            },
            entrance.route(.get, "/api/v1/jobs", needs: .read) { request in
                try await answering {
                    let reply = try await core.jobs(
                        ListJobsRequest.with {
                            $0.pageToken = request.query("page_token") ?? ""
                            $0.pageSize = UInt32(request.query("page_size") ?? "") ?? 0
                            $0.activeOnly = request.query("active_only") == "true"
                        })
                    return .object([
                        ("jobs", .array(reply.jobs.map(\.json))),
                        ("next_page_token", .string(reply.nextPageToken)),
                    ])
                }
            },
            entrance.route(.get, "/api/v1/jobs/{id}", needs: .read) { request in
                try await answering { try await core.job(request.captures["id"] ?? "").json }
            },
            entrance.route(.get, "/api/v1/jobs/{id}/log", needs: .read) { request in
                try await answering { try await log(request.captures["id"] ?? "") }
            },
            entrance.route(.post, "/api/v1/jobs/{id}/cancel", needs: .submit, maximumBodyBytes: 4096) {
                request in try await answering { try await core.cancel(request.captures["id"] ?? "").json }
            },
            entrance.route(.get, "/api/v1/contexts", needs: .read) { request in
                try await answering {
                    let reply = try await core.contexts(
                        ListContextsRequest.with {
                            $0.pageToken = request.query("page_token") ?? ""
                            $0.pageSize = UInt32(request.query("page_size") ?? "") ?? 0
                        }, owner: entrance.owner(request))
                    return .object([
                        ("contexts", .array(reply.contexts.map(\.json))),
                        ("next_page_token", .string(reply.nextPageToken)),
                    ])
                }
            },
            entrance.route(.get, "/api/v1/contexts/{name}", needs: .read) { request in
                try await answering {
                    try await core.context(
                        request.captures["name"] ?? "", owner: entrance.owner(request)
                    ).json
                }
            },
            entrance.route(.get, "/api/v1/events", needs: .read) { _ in
                .stream(type: "text/event-stream") { writer in try await follow(writer) }
            },
        ]
    }

    private func answering(_ body: () async throws -> JSONValue) async throws -> WebResponse {
        do { return .json(try await body()) } catch let error as CoordinatorError {
            return Guard.response(error.apiError())
        }
    }

    private func log(_ id: String) async throws -> JSONValue {
        var lines: [JSONValue] = []
        while lines.count < Self.mostLines {
            let more = try await core.journal.logLines(id, after: lines.count)
            if more.isEmpty { break }
            lines += more.map(\.json)
        }
        return .object([("lines", .array(lines))])
    }

    private func throughput(_ samples: [Throughput.Sample]) -> JSONValue {
        .object([
            ("interval_seconds", .number(Throughput.interval / .seconds(1))),
            ("end_us", .unsigned(wallMicroseconds())),
            ("prompt_tokens_per_second", .array(samples.map { .number($0.promptTokensPerSecond) })),
            ("generated_tokens_per_second", .array(samples.map { .number($0.generatedTokensPerSecond) })),
            ("running", .array(samples.map { .integer(Int64($0.running)) })),
            ("waiting", .array(samples.map { .integer(Int64($0.waiting)) })),
        ])
    }

    /// Looks once a second and sends what has changed, until the client goes.
    private func follow(_ writer: WebBodyWriter) async throws {
        var view = LiveView()
        var news = JobNews()
        var shown = ""
        var lastWrite = ContinuousClock.now
        while true {
            var text = ""
            let now = ContinuousClock.now
            let cluster = view.event(await core.cluster(), tokens: await core.tokens, at: now).text
            if cluster != shown { text += event("cluster", cluster) }
            shown = cluster
            let jobs = await core.unended
            let telling = news.look(jobs.versions, queue: jobs.queue)
            if let queue = telling.queue {
                text += event("queue", JSONValue.object([("jobs", .array(queue.map { .string($0) }))]).text)
            }
            for id in telling.changed + telling.ended {
                try Task.checkCancellation()
                var record = await core.live(id)
                if record == nil { record = try? await core.journal.job(id, textLimit: 0) }
                if let record { text += event("job", record.summary.json.text) }
            }
            if text.isEmpty, now - lastWrite >= Self.quietInterval { text = ": quiet\n\n" }
            if !text.isEmpty {
                try await writer.write(text)
                lastWrite = .now
            }
            try await Task.sleep(for: Self.lookInterval)
        }
    }

    private func event(_ name: String, _ data: String) -> String { "event: \(name)\ndata: \(data)\n\n" }
}

extension WebResponse {
    static func json(_ value: JSONValue) -> WebResponse {
        var response = WebResponse.json(value.text.utf8)
        response.headers.append(WebField("Cache-Control", "no-store"))
        return response
    }
}
