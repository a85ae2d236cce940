// lariat context: makes, shows, pins and removes texts that are kept to be asked about.

internal import ArgumentParser
internal import Messages
internal import Protobuf

struct ContextCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "context",
        abstract: "Make, show, pin and remove contexts: texts kept to be asked about.",
        discussion: """
            The workers keep the keys and values of a context's text in memory, so that a question costs its own tokens \
            and not the text's again. Ask with `lariat ask` or `lariat chat --context`; `lariat contexts` lists them.
            """,
        subcommands: [
            ContextAddCommand.self, ContextShowCommand.self, ContextPinCommand.self,
            ContextRemoveCommand.self,
        ])
}

struct ContextShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show a context: its tokens, its memory, and each worker's share.")

    @OptionGroup var which: ContextArgument
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        let context = try await CoordinatorClient.with(connection, log) { try await $0.context(which.name) }
        if output.json {
            try await Terminal.print(json: context.json)
        } else {
            try await Terminal.print(ContextReport(context).lines())
        }
    }
}

struct ContextPinCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin", abstract: "Keep a context in memory: it gives way to no job.",
        discussion:
            "Other contexts leave memory when a job needs it, those first that were not used for the longest."
    )

    @OptionGroup var which: ContextArgument
    @Flag(help: "Let it give way again.")
    var undo = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        let context = try await CoordinatorClient.with(connection, log) { coordinator in
            try await coordinator.unary(
                CoordinatorService.pinContext,
                PinContextRequest.with {
                    $0.name = which.name
                    $0.undo = undo
                })
        }
        if output.json {
            try await Terminal.print(json: context.json)
        } else {
            let what = context.pinned ? "is pinned" : "is not pinned"
            try await Terminal.print("context \"\(context.name)\" \(what)".printable)
        }
    }
}

struct ContextRemoveCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove a context, and free its memory.",
        discussion: "Questions about it that run already go on to their end.")

    @OptionGroup var which: ContextArgument
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        let context = try await CoordinatorClient.with(connection, log) { coordinator in
            try await coordinator.unary(
                CoordinatorService.removeContext, ContextRequest.with { $0.name = which.name })
        }
        if output.json {
            try await Terminal.print(json: context.json)
        } else {
            try await Terminal.print("context \"\(context.name)\" is removed".printable)
        }
    }
}
