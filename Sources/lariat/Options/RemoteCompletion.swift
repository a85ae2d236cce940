// Words for the shell's completion that only the coordinator knows: asked for a second at most, and silent when it fails.

internal import ArgumentParser
internal import Logging

enum RemoteCompletion {
    private static let limit = Duration.seconds(1)

    typealias Question =
        @Sendable (_ coordinator: CoordinatorClient, _ limit: Duration) async throws -> [String]

    /// - Parameter ask: the words, from a coordinator that answers within the limit.
    static func kind(_ ask: @escaping Question) -> CompletionKind {
        .custom { arguments, _, _ in await words(arguments, within: limit, ask) }
    }

    private static func words(_ arguments: [String], within limit: Duration, _ ask: @escaping Question) async
        -> [String]
    {
        await withTaskGroup(of: [String].self) { group in
            group.addTask { (try? await words(arguments, ask)) ?? [] }
            group.addTask {
                try? await Task.sleep(for: limit)
                return []
            }
            let found = await group.next() ?? []
            group.cancelAll()
            return found
        }
    }

    /// - Parameter arguments: the command line so far, which may say which coordinator and how.
    private static func words(_ arguments: [String], _ ask: Question) async throws -> [String] {
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
        let words = try await ask(coordinator, limit)
        await coordinator.close()
        return words
    }
}
