// What a prompt is made of, text or token ids, and how a job treats it.

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

/// What a job is called.
struct JobNameOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A name to find the job by, e.g. with lariat show NAME (default: the file's, if there is one).",
            valueName: "name"))
    var name: String?

    private static let longestName = 200

    func validate() throws {
        guard (name?.utf8.count ?? 0) <= Self.longestName else {
            throw ValidationError("--name: at most \(Self.longestName) bytes")
        }
    }

    /// - Parameter file: whose name the job takes if it was given none; nil: it stays without.
    func apply(to options: inout JobOptions, nameOf file: String?) {
        let base = file.map { URL(filePath: $0).lastPathComponent } ?? ""
        options.name = name ?? (base.utf8.count <= Self.longestName ? base : "")
    }
}

/// How the text of a prompt becomes tokens.
struct TextOptions: ParsableArguments {
    @Flag(help: "Accept a prompt longer than the window the model was trained for.")
    var beyondWindow = false
    @Flag(help: "Take special tokens that stand in the text as plain text.")
    var literal = false

    func apply(to options: inout JobOptions) {
        options.beyondWindow = beyondWindow
        options.literal = literal
    }
}

/// How a prompt's positions turn, and on how many workers it lies.
struct PlacementOptions: ParsableArguments {
    @OptionGroup var rope: RopeOption
    @Option(
        help: ArgumentHelp(
            "Use this many workers, more only where memory needs them; others stay free for other jobs (default: all, or one where that is faster).",
            valueName: "n"))
    var workers: UInt32?

    func validate() throws {
        if workers == 0 { throw ValidationError("--workers: 1 at least") }
    }

    /// Those that were given.
    var given: [String] {
        (rope.text == nil ? [] : ["--rope"]) + (workers == nil ? [] : ["--workers"])
    }

    func apply(to options: inout JobOptions) throws {
        options.rope = try rope.message()
        options.workers = workers ?? 0
    }
}

/// All of these.
struct PromptOptions: ParsableArguments {
    @OptionGroup var jobName: JobNameOption
    @OptionGroup var text: TextOptions
    @OptionGroup var placement: PlacementOptions

    /// - Parameter file: whose name the job takes if it was given none; nil: it stays without.
    func apply(to options: inout JobOptions, nameOf file: String?) throws {
        jobName.apply(to: &options, nameOf: file)
        text.apply(to: &options)
        try placement.apply(to: &options)
    }
}
