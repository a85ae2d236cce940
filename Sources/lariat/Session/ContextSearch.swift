// Contexts as the coordinator has them: one by its name, or all of them.

internal import Messages
internal import Protobuf

extension CoordinatorClient {
    /// The coordinator's journal is bounded; this bounds what a broken one can send.
    private static let mostPages = 1000
    private static let pageSize: UInt32 = 100

    func context(_ name: String) async throws -> ContextRecord {
        try await unary(CoordinatorService.getContext, ContextRequest.with { $0.name = name })
    }

    /// Lists contexts page by page, last used first.
    func contexts(_ body: (_ page: [ContextRecord]) async throws -> Void) async throws {
        var token = ""
        for _ in 0..<Self.mostPages {
            let reply = try await unary(
                CoordinatorService.listContexts,
                ListContextsRequest.with {
                    $0.pageToken = token
                    $0.pageSize = Self.pageSize
                })
            try await body(reply.contexts)
            token = reply.nextPageToken
            if token.isEmpty { return }
        }
    }
}
