// Which context a command means.

internal import ArgumentParser
internal import Messages
internal import Protobuf

/// A context that must be named.
struct ContextArgument: ParsableArguments {
    @Argument(help: "The context's name.", completion: ContextCompletion.kind)
    var name: String

    func validate() throws {
        if name.isEmpty { throw ValidationError("NAME: a context's name has one character at least") }
    }
}

/// Names of contexts for the shell.
enum ContextCompletion {
    /// Those that were used last are the likeliest.
    private static let most: UInt32 = 50

    static let kind = RemoteCompletion.kind { coordinator, limit in
        let request = ListContextsRequest.with { $0.pageSize = most }
        return try await coordinator.unary(CoordinatorService.listContexts, request, timeout: limit)
            .contexts.map(\.name)
    }
}
