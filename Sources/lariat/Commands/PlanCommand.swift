// lariat plan: what a job would cost on this cluster.

internal import ArgumentParser
internal import Messages

struct PlanCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a job would cost, without running it.",
        discussion: """
            Takes the options of submit. Exits with 1 when the job would be refused. The time rests on rates that the \
            workers measure when the first plan after a change of members is asked for, which takes a second or two. \
            They include what else those hosts are doing at that moment. The time of decoding is for an answer as long \
            as it may become, and rests on the size of weights, keys and values, as if every host read 10 GB a second.
            """)

    @OptionGroup var input: InputOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var generation: GenerationOptions
    @Flag(help: "For a score job instead of an answer.")
    var score = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        var options = JobOptions()
        options.kind = score ? .score : .generate
        try prompt.apply(to: &options, nameOf: input.onlyFile)
        if !score { try generation.apply(to: &options, isText: input.tokens == nil) }
        let input = try PromptInput(input.source(.current))
        try await input.prepare()
        let forecast: Forecast = try await CoordinatorClient.with(connection, log) { coordinator in
            try await coordinator.upload(CoordinatorService.estimate, options, input)
        }
        if output.json {
            try await Terminal.print(json: forecast.json)
        } else {
            try await Terminal.print(ClusterReport.forecast(forecast))
        }
        if !forecast.admissible { throw ExitCode(ExitStatus.failure) }
    }
}
