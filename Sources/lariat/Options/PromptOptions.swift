// What `submit`, `plan` and `score` read: text or token ids, and how a job treats them.

internal import ArgumentParser
internal import RPC

/// Where a prompt comes from.
struct InputOptions: ParsableArguments {
    @Argument(help: "The text. With --file too: the file's text, a blank line, and this.")
    var text: String?
    @Option(
        name: [.short, .long],
        help: ArgumentHelp("Read the text from a file; - for standard input.", valueName: "file"))
    var file: String?
    @Option(
        help: ArgumentHelp(
            "Read token ids instead of text: numbers separated by spaces, commas or line ends; - for standard input.",
            valueName: "file"))
    var tokens: String?

    func validate() throws {
        guard tokens == nil || (text == nil && file == nil) else {
            throw ValidationError("--tokens stands instead of a text: leave TEXT and --file out")
        }
    }

    /// Standard input is read when it is no terminal and nothing else is given.
    func source(isTerminal: Bool) throws -> PromptInput.Source {
        if let tokens { return .tokens(file: tokens) }
        if let file { return .file(file, then: text) }
        if let text { return .text(text) }
        guard !isTerminal else {
            throw Failure(
                "nothing to read: give TEXT, --file FILE or --tokens FILE, or pipe a text in",
                exitCode: ExitStatus.usage)
        }
        return .file("-", then: nil)
    }
}

/// How the text of a prompt becomes tokens, and what it may cost.
struct PromptOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A name to find the job by.", valueName: "name"))
    var name: String?
    @Flag(help: "Accept a prompt longer than the window the model was trained for.")
    var beyondWindow = false
    @Flag(help: "Take special tokens that stand in the text as plain text.")
    var literal = false
    @OptionGroup var rope: RopeOption
    @Option(
        help: ArgumentHelp(
            "Use this many workers, more only where memory needs them; others stay free for other jobs (default: all).",
            valueName: "n"))
    var workers: UInt32?

    func validate() throws {
        if workers == 0 { throw ValidationError("--workers: 1 at least") }
        guard (name?.utf8.count ?? 0) <= 200 else { throw ValidationError("--name: at most 200 bytes") }
    }

    func apply(to options: inout JobOptions) throws {
        options.rope = try rope.message()
        options.workers = workers ?? 0
        options.name = name ?? ""
        options.beyondWindow = beyondWindow
        options.literal = literal
    }
}

/// How an answer is generated.
struct GenerationOptions: ParsableArguments {
    @Flag(help: "Wrap the text in the model's chat template, as a user's message.")
    var chat = false
    @Option(help: ArgumentHelp("System message for --chat.", valueName: "text"))
    var system: String?
    @OptionGroup var template: TemplateOption
    @Option(help: ArgumentHelp("Longest answer (default: 256).", valueName: "tokens"))
    var maxTokens: UInt32?
    @Option(help: "0 (default) always takes the likeliest token.")
    var temperature: Float?
    @Option(help: ArgumentHelp("Choose among the k likeliest tokens.", valueName: "k"))
    var topK: UInt32?
    @Option(
        help: ArgumentHelp("Choose among the likeliest tokens that make up this probability.", valueName: "p")
    )
    var topP: Float?
    @Option(
        help: ArgumentHelp(
            "Choose among tokens at least this likely, relative to the likeliest.", valueName: "p"))
    var minP: Float?
    @Option(help: ArgumentHelp("Divide the scores of recent tokens by this (1: off).", valueName: "r"))
    var repetitionPenalty: Float?
    @Option(help: ArgumentHelp("Seed of the random choice (default: chosen and recorded).", valueName: "n"))
    var seed: UInt64?
    @Option(help: ArgumentHelp("End the answer before this text; may be repeated.", valueName: "text"))
    var stop: [String] = []
    @Flag(help: "Go on after the model's end-of-text token.")
    var ignoreEnd = false

    func validate() throws {
        if system != nil, !chat { throw ValidationError("--system needs --chat") }
        if template.template != nil, !chat { throw ValidationError("--template needs --chat") }
        if maxTokens == 0 { throw ValidationError("--max-tokens: 1 at least") }
        try Self.check("--temperature", temperature, 0...100)
        try Self.check("--top-p", topP, 0...1)
        try Self.check("--min-p", minP, 0...1)
        try Self.check("--repetition-penalty", repetitionPenalty, 0...100)
        if stop.contains("") { throw ValidationError("--stop: an empty text would end every answer at once") }
    }

    private static func check(_ name: String, _ value: Float?, _ range: ClosedRange<Float>) throws {
        if let value, !range.contains(value) {
            throw ValidationError(
                "\(name) \(value): from \(Int(range.lowerBound)) to \(Int(range.upperBound))")
        }
    }

    func apply(to options: inout JobOptions) throws {
        options.chat = chat
        options.chatTemplate = try template.choice() ?? ""
        options.system = system ?? ""
        options.maxTokens = maxTokens ?? 0
        options.stop = stop
        options.ignoreEnd = ignoreEnd
        var sampling = SamplingMessage()
        sampling.temperature = temperature ?? 0
        sampling.topK = topK ?? 0
        sampling.topP = topP ?? 0
        sampling.minP = minP ?? 0
        sampling.repetitionPenalty = repetitionPenalty ?? 0
        sampling.seed = seed ?? 0
        options.sampling = sampling
    }
}
