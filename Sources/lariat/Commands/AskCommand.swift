// lariat ask: a question about a context, answered without computing its text again.

internal import ArgumentParser
internal import Messages

struct AskCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Ask about a context and stream the answer.",
        discussion: """
            The answer goes to standard output, progress and a summary to standard error: it says how much of the prompt was \
            in memory, and when the first token came. Ctrl-C detaches: the job goes on. With --detach the job's id is \
            printed and nothing is waited for.

            Questions do not know each other; `lariat chat --context NAME` is for a conversation. What is piped in is a part \
            of the question.

            \(JSONStream.help)
            """)

    @OptionGroup var which: ContextArgument
    @OptionGroup var input: InputOptions
    @OptionGroup var jobName: JobNameOption
    @OptionGroup var text: TextOptions
    @OptionGroup var answer: AnswerOptions
    @Flag(help: "Print the job's id and leave it running.")
    var detach = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        var options = JobOptions()
        options.kind = .generate
        options.context = which.name
        jobName.apply(to: &options, nameOf: nil)
        text.apply(to: &options)
        answer.apply(to: &options)
        try await Submission(
            source: input.source(.current), options: options, connection: connection, log: log,
            style: FollowStyle(output: output.json ? .json : .text), isDetached: detach
        ).finish()
    }
}
