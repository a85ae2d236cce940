// lariat context add: a text becomes a context, whose keys and values the workers keep.

internal import ArgumentParser
internal import Messages

struct ContextAddCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Make a context of a text: compute it once, ask about it often.",
        discussion: """
            Progress and a summary go to standard error. Ctrl-C detaches: the job goes on. With --detach the job's id is \
            printed and nothing is waited for.

            Where the model file has a chat template the text is the beginning of a user's message, and every question its \
            end; with --raw, and where there is none, questions are continued behind the text as they stand.

            \(JSONStream.help)
            """)

    @OptionGroup var which: ContextArgument
    @OptionGroup var input: InputOptions
    @Option(
        help: ArgumentHelp(
            "Keep so many tokens free for the longest question and its answer, which in a chat are all questions and answers "
                + "(default: 4,096).", valueName: "tokens"))
    var reserve: UInt32?
    @OptionGroup var wording: WordingOptions
    @OptionGroup var text: TextOptions
    @OptionGroup var placement: PlacementOptions
    @Flag(help: "Print the job's id and leave it running.")
    var detach = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        if reserve == 0 { throw ValidationError("--reserve: 1 at least") }
    }

    func execute() async throws {
        var options = JobOptions()
        options.kind = .ingest
        options.context = which.name
        // So that the job is found by it, too.
        options.name = which.name
        options.maxTokens = reserve ?? 0
        try wording.apply(to: &options, isText: input.tokens == nil)
        text.apply(to: &options)
        try placement.apply(to: &options)
        try await Submission(
            source: input.source(.current), options: options, connection: connection, log: log,
            style: FollowStyle(output: output.json ? .json : .none), isDetached: detach
        ).finish()
        guard !output.json, !detach else { return }
        let context = try await CoordinatorClient.with(connection, log) { try await $0.context(which.name) }
        Terminal.note(ContextReport(context).summary)
        if Terminal.errorIsTerminal {
            Terminal.aside("ask about it with `lariat ask \(which.name.printable) \"...\"`")
        }
    }
}
