// How an answer is asked for: the chat template, and how its tokens are chosen.

internal import ArgumentParser
internal import Messages

/// Whether and how a text becomes a message of a chat.
struct WordingOptions: ParsableArguments {
    @Flag(
        help:
            "Insist on the model's chat template: refused where the model file has none (default: used where it has one)."
    )
    var chat = false
    @Flag(help: "Continue the text as it stands, without the chat template.")
    var raw = false
    @Option(help: ArgumentHelp("System message for the chat template.", valueName: "text"))
    var system: String?
    @OptionGroup var template: TemplateOption

    func validate() throws {
        if raw, chat { throw ValidationError("--raw leaves out the chat template that --chat insists on") }
        if raw, let part = chatParts.first {
            throw ValidationError("\(part) is for the chat template, which --raw leaves out")
        }
    }

    /// Options that would be lost without a chat template.
    private var chatParts: [String] {
        (system == nil ? [] : ["--system"]) + (template.template == nil ? [] : ["--template"])
    }

    /// - Parameter isText: Token ids are taken as they are; text is a user's message where the model knows such.
    func apply(to options: inout JobOptions, isText: Bool) throws {
        let insisting = (chat ? ["--chat"] : []) + chatParts
        guard isText || insisting.isEmpty else {
            throw Failure(
                "\(insisting[0]) needs a text; token ids are taken as they are", exitCode: ExitStatus.usage)
        }
        options.chat = !insisting.isEmpty
        options.chatIfTemplate = isText && !raw && !options.chat
        options.chatTemplate = try template.choice() ?? ""
        options.system = system ?? ""
    }
}

/// How long an answer may be, and how its tokens are chosen.
struct AnswerOptions: ParsableArguments {
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
    @Flag(
        help:
            "Compute the whole prompt, even where its beginning is in the workers' memory. The answer is the same."
    )
    var noReuse = false

    func validate() throws {
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

    func apply(to options: inout JobOptions) {
        options.maxTokens = maxTokens ?? 0
        options.stop = stop
        options.ignoreEnd = ignoreEnd
        options.noReuse = noReuse
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

/// All of these.
struct GenerationOptions: ParsableArguments {
    @OptionGroup var wording: WordingOptions
    @OptionGroup var answer: AnswerOptions

    /// - Parameter isText: Token ids are taken as they are; text is a user's message where the model knows such.
    func apply(to options: inout JobOptions, isText: Bool) throws {
        try wording.apply(to: &options, isText: isText)
        answer.apply(to: &options)
    }
}
