// lariat score: how likely a text is to the model, token by token.

internal import ArgumentParser
internal import Messages

struct ScoreCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "score", abstract: "Measure a text's perplexity.",
        discussion:
            "Prints the number of tokens, their mean negative log-likelihood (natural logarithm) and perplexity."
    )

    @OptionGroup var input: InputOptions
    @OptionGroup var prompt: PromptOptions
    @Flag(help: "Print position and negative log-likelihood of every token, separated by a tab.")
    var perToken = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        var options = JobOptions()
        options.kind = .score
        try prompt.apply(to: &options, nameOf: input.onlyFile)
        let job = try await Submission(
            source: input.source(.current), options: options,
            connection: connection,
            log: log, style: style, isDetached: false
        ).run()
        try job.conclude(summary: !output.json)
        if output.json, !perToken {
            try await Terminal.print(json: job.json)
        } else if !output.json {
            try await
                (perToken
                ? report(job).forEach { Terminal.writeError($0 + "\n") } : Terminal.print(report(job)))
        }
    }

    private var style: FollowStyle {
        // JSON for every token is the stream of events; JSON for the text is the job alone.
        if output.json { return FollowStyle(output: perToken ? .json : .none, showsProgress: false) }
        return FollowStyle(output: perToken ? .scores : .none)
    }

    private func report(_ job: JobRecord) -> [String] {
        var facts = FactList()
        facts.add("tokens", Quantity.count(job.promptTokens))
        facts.add("mean NLL", Quantity.number(job.meanNLL, decimals: 6))
        facts.add("perplexity", Quantity.number(job.perplexity, decimals: 5))
        return facts.lines()
    }
}
