// lariat contexts: the texts that are kept to be asked about.

internal import ArgumentParser
internal import JSONText
internal import Messages

struct ContextsCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "contexts", abstract: "List contexts, last used first.",
        discussion: """
            A context that is ready is in the workers' memory; of one that is gone from there the next question computes \
            everything again, once.
            """)

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            var contexts: [ContextRecord] = []
            try await coordinator.contexts { page in
                if output.json {
                    try await Terminal.print(page.map(\.json.text))
                } else {
                    contexts += page
                }
            }
            guard !output.json else { return }
            if contexts.isEmpty {
                Terminal.note("no contexts; make one with `lariat context add NAME --file FILE`")
            } else {
                try await Terminal.print(ContextReport.list(contexts))
            }
        }
    }
}
