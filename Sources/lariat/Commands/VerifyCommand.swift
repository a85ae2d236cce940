// lariat verify: the same text on one worker, on two, ... on all: are the results the same bits?

internal import ArgumentParser
internal import Messages

struct VerifyCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Show that any number of workers gives the same bits.",
        discussion: """
            Scores the text on one worker, on two, and so on up to all that the cluster has (or up to --workers), one after \
            another, and compares every score bit by bit. Exits with 1 when any differs. The scores depend on every key \
            and value of the text, so equal digests say that those are equal, too. Numbers of workers whose memory is \
            too small for the text are left out.
            """)

    /// The longest time for one of the jobs, waiting included.
    private static let jobLimit: Duration = .seconds(86_400)

    @OptionGroup var input: InputOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    func execute() async throws {
        var wanted = JobOptions()
        wanted.kind = .score
        try prompt.apply(to: &wanted, nameOf: input.onlyFile)
        let options = wanted
        let source = try await kept(try input.source(.current))
        let most = prompt.placement.workers.map(Int.init) ?? Int.max
        let report = try await CoordinatorClient.with(connection, log) { coordinator in
            var report = VerifyReport()
            var options = options
            let evaluator = JobEvaluator(coordinator: coordinator, workers: 1, jobLimit: Self.jobLimit)
            var asked = 1
            while asked <= most {
                options.workers = UInt32(asked)
                let forecast: Forecast = try await coordinator.upload(
                    CoordinatorService.estimate, options, try PromptInput(source))
                guard forecast.admissible else { throw Failure(forecast.reason) }
                // More than asked for where memory needs them, fewer where there are no more.
                let workers = forecast.shares.count
                guard workers >= asked else { break }
                let began = ContinuousClock.now
                let scores = try await evaluator.scores(options, try PromptInput(source))
                report.add(.init(workers: workers, scores: scores, seconds: (.now - began) / .seconds(1)))
                asked = workers + 1
            }
            return report
        }
        if output.json {
            try await Terminal.print(json: report.json)
        } else {
            try await Terminal.print(report.lines())
        }
        if !report.agrees { throw ExitCode(ExitStatus.failure) }
    }

    /// The whole input in memory: a pipe cannot be read again.
    private func kept(_ source: PromptInput.Source) async throws -> PromptInput.Source {
        let input = try PromptInput(source)
        var (text, tokens): ([UInt8], [UInt32]) = ([], [])
        while let part = try await input.next() {
            text += part.text
            tokens += part.tokens
        }
        return tokens.isEmpty ? .text([.text(String(decoding: text, as: UTF8.self))]) : .ids(tokens)
    }
}
