// lariat submit: a prompt becomes a job; its answer streams to standard output.

internal import ArgumentParser
internal import Messages

struct SubmitCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit", abstract: "Submit a text and stream the answer.",
        discussion: """
            The answer goes to standard output, progress and a summary to standard error. Ctrl-C detaches: the job goes \
            on. With --detach the job's id is printed and nothing is waited for.

            Where the model file has a chat template the text is a user's message; with --raw, and where there is none, \
            the text is continued as it stands.

            What is piped in is a part of the prompt: `lariat submit "Summarise this." <book.txt` asks about the book. In \
            a loop that reads a list, give the command </dev/null, or it takes the list.

            \(JSONStream.help)
            """)

    @OptionGroup var input: InputOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var generation: GenerationOptions
    @Flag(help: "Print the job's id and leave it running.")
    var detach = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        var options = JobOptions()
        options.kind = .generate
        try prompt.apply(to: &options, nameOf: input.onlyFile)
        try generation.apply(to: &options, isText: input.tokens == nil)
        let source = try input.source(.current)
        try await Submission(
            source: source, options: options, connection: connection, log: log,
            style: FollowStyle(output: output.json ? .json : .text), isDetached: detach
        ).finish()
    }
}

/// A prompt on its way to the coordinator, and the job it becomes.
struct Submission {
    let source: PromptInput.Source
    let options: JobOptions
    let connection: ConnectionOptions
    let log: LogOptions
    let style: FollowStyle
    let isDetached: Bool

    /// Runs it, and tells how it ended, or, if detached, its id.
    /// - Returns: the job as it was accepted if detached, else in its last state, which is a success.
    @discardableResult
    func finish() async throws -> JobRecord {
        let job = try await run()
        if isDetached {
            if style.output == .json {
                try await Terminal.print(json: job.json)
            } else {
                try await Terminal.print(job.id.printable)
            }
        } else {
            try job.conclude(summary: style.output != .json)
        }
        return job
    }

    /// The job as it was accepted if detached, else in its last state.
    func run() async throws -> JobRecord {
        // A wrong file is told before anybody is asked.
        let input = try PromptInput(source)
        try await input.prepare()
        // While the prompt is on its way, an interrupt ends the process as usual, and nothing was submitted.
        return try await CoordinatorClient.with(connection, log) { coordinator in
            let job = try await coordinator.upload(CoordinatorService.submit, options, input)
            if style.output != .json {
                if !job.note.isEmpty { Terminal.note(job.note.printable) }
                if job.options?.chatIfTemplate == true, job.options?.chat == false {
                    Terminal.aside("the model file has no chat template: the text is continued as it stands")
                }
            }
            if isDetached { return job }
            let interrupts = Interrupts(secondEnds: true)
            if style.output != .json { Terminal.note("job \(job.id.printable)") }
            return try await JobFollower(coordinator: coordinator, id: job.id, style: style).follow(
                interrupts)
        }
    }
}
