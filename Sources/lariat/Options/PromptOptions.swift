// What `submit`, `plan` and `score` read: text or token ids, and how a job treats them.

internal import ArgumentParser
import Foundation
internal import Messages
import Numerals

/// Where a prompt comes from.
struct InputOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The text, in quotes. What is piped in, the files and this are joined in this order, with a blank line between; "
                + "- for standard input.", valueName: "text"))
    var text: String?
    @Argument(help: .hidden)
    var more: [String] = []
    @Option(
        name: [.short, .long],
        help: ArgumentHelp(
            "Read text from a file; may be repeated, the texts are joined in order. - for standard input.",
            valueName: "file"), completion: .file())
    var file: [String] = []
    @Option(
        help: ArgumentHelp(
            "Read token ids instead of text: numbers separated by spaces, commas or line ends; - for standard input.",
            valueName: "file"), completion: .file())
    var tokens: String?

    /// Files are open at the same time.
    private static let mostFiles = 200

    func validate() throws {
        guard more.isEmpty else {
            throw ValidationError(
                "the text is one argument: put it in quotes, or files behind --file each (\(more.count + 1) arguments stand here)"
            )
        }
        guard tokens == nil || (text == nil && file.isEmpty) else {
            throw ValidationError("--tokens stands instead of a text: leave TEXT and --file out")
        }
        guard file.count <= Self.mostFiles else {
            throw ValidationError("--file: at most \(Self.mostFiles.grouped) files; join them before")
        }
        guard file.count(where: { $0 == "-" }) + (text == "-" ? 1 : 0) <= 1 else {
            throw ValidationError("standard input (-) can be read once only")
        }
    }

    /// The file that the prompt is, if it is one.
    var onlyFile: String? {
        let files = file + [tokens].compactMap(\.self)
        return files.count == 1 && files[0] != "-" ? files[0] : nil
    }

    /// What standard input has is read first, unless it is named: then in its place.
    func source(_ input: StandardInput) throws -> PromptInput.Source {
        if let tokens { return .tokens(file: tokens) }
        var pieces = file.map { $0 == "-" ? PromptInput.Piece.standardInput(isNamed: true) : .file($0) }
        if let text { pieces.append(text == "-" ? .standardInput(isNamed: true) : .text(text)) }
        guard !pieces.contains(.standardInput(isNamed: true)) else {
            if input == .closed {
                throw Failure("standard input is closed", exitCode: ExitStatus.unreadableInput)
            }
            return .text(pieces)
        }
        switch input {
        case .stream, .file:
            pieces.insert(.standardInput(isNamed: pieces.isEmpty), at: 0)
        case .device, .partlyReadFile:
            if pieces.isEmpty { pieces = [.standardInput(isNamed: true)] }
        case .terminal, .closed: break
        }
        guard !pieces.isEmpty else {
            throw Failure(
                "nothing to read: give TEXT, --file FILE or --tokens FILE, or pipe a text in",
                exitCode: ExitStatus.usage)
        }
        return .text(pieces)
    }
}

/// How the text of a prompt becomes tokens, and what it may cost.
struct PromptOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A name to find the job by, e.g. with lariat show NAME (default: the file's, if there is one).",
            valueName: "name"))
    var name: String?
    @Flag(help: "Accept a prompt longer than the window the model was trained for.")
    var beyondWindow = false
    @Flag(help: "Take special tokens that stand in the text as plain text.")
    var literal = false
    @OptionGroup var rope: RopeOption
    @Option(
        help: ArgumentHelp(
            "Use this many workers, more only where memory needs them; others stay free for other jobs (default: all, or one where that is faster).",
            valueName: "n"))
    var workers: UInt32?

    private static let longestName = 200

    func validate() throws {
        if workers == 0 { throw ValidationError("--workers: 1 at least") }
        guard (name?.utf8.count ?? 0) <= Self.longestName else {
            throw ValidationError("--name: at most \(Self.longestName) bytes")
        }
    }

    /// - Parameter file: whose name the job takes if it was given none; nil: it stays without.
    func apply(to options: inout JobOptions, nameOf file: String?) throws {
        let base = file.map { URL(filePath: $0).lastPathComponent } ?? ""
        let defaultName = base.utf8.count <= Self.longestName ? base : ""
        options.rope = try rope.message()
        options.workers = workers ?? 0
        options.name = name ?? defaultName
        options.beyondWindow = beyondWindow
        options.literal = literal
    }
}

/// How an answer is generated.
struct GenerationOptions: ParsableArguments {
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
        if raw, chat { throw ValidationError("--raw leaves out the chat template that --chat insists on") }
        if raw, let part = chatParts.first {
            throw ValidationError("\(part) is for the chat template, which --raw leaves out")
        }
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
