// Which job a command means.

internal import ArgumentParser
import Foundation
internal import Logging
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

/// Ids and names of jobs for the shell, asked of the coordinator: for a second at most, and silent when it fails.
enum JobCompletion {
    static let kind = CompletionKind.custom { arguments, _, _ in await words(arguments) }

    private static let limit = Duration.seconds(1)
    /// The newest are the likeliest.
    private static let most: UInt32 = 50

    private static func words(_ arguments: [String]) async -> [String] {
        await withTaskGroup(of: [String].self) { group in
            group.addTask { (try? await ask(arguments)) ?? [] }
            group.addTask {
                try? await Task.sleep(for: limit)
                return []
            }
            let words = await group.next() ?? []
            group.cancelAll()
            return words
        }
    }

    private static func ask(_ arguments: [String]) async throws -> [String] {
        var connection = ConnectionOptions()
        func value(_ name: String) -> String? {
            guard let index = arguments.lastIndex(of: name), index + 1 < arguments.count else { return nil }
            return arguments[index + 1]
        }
        connection.coordinator = value("--coordinator")
        connection.tls = TLSOptions()
        connection.tls.ca = value("--tls-ca")
        connection.tls.certificate = value("--tls-certificate")
        connection.tls.key = value("--tls-key")
        connection.token = TokenOptions()
        connection.token.tokenFile = value("--token-file")
        var logger = Logger(label: "completion") { StandardErrorLog(source: $0) }
        logger.logLevel = .critical
        let coordinator = try await CoordinatorClient.connect(
            connection.address(), tls: connection.tls.files, token: connection.token.text(), timeout: limit,
            logger: logger)
        let reply = try await coordinator.unary(
            CoordinatorService.listJobs, ListJobsRequest.with { $0.pageSize = most }, timeout: limit)
        await coordinator.close()
        var words = reply.jobs.map(\.id)
        for name in reply.jobs.compactMap({ $0.options?.name }) where !name.isEmpty && !words.contains(name) {
            words.append(name)
        }
        return words
    }
}
