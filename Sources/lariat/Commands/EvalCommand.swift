// lariat eval: how good a model is at a length, by perplexity and by retrieval.

internal import ArgumentParser
internal import ContextExtension
internal import Evaluation
import Foundation
internal import JSONText
internal import LongRoPE
internal import Messages

struct EvalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Measure how a model treats long sequences.",
        discussion: """
            Every evaluation is a job, on the cluster named by --coordinator or on one of their own on this machine. \
            With several workers as many evaluations run at once.
            """,
        subcommands: [EvalPerplexityCommand.self, EvalPasskeyCommand.self, EvalNeedleCommand.self])
}

extension ComparisonOptions {
    /// What is compared. A wrong file of factors is told now.
    func methods() throws -> [Positions] {
        guard !ropes.isEmpty else { return [Positions("model", .model)] }
        return try ropes.map { text in
            let message = try RotaryMethodMessage(text: text)
            guard message.name.isEmpty else { return Positions(text, .named(text)) }
            let tables = message.tables.map {
                RotaryTable(
                    name: $0.name, window: Int($0.window), factors: $0.factors,
                    startTokens: Int($0.startTokens),
                    attentionFactor: $0.attentionFactor == 0 ? nil : $0.attentionFactor)
            }
            return Positions(URL(filePath: text).lastPathComponent, .tables(tables))
        }
    }
}

/// Writes a picture where it was asked for.
private func write(_ svg: String, to path: String) throws {
    try AtomicFile.write(svg, to: path)
}

struct EvalPerplexityCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "Perplexity by length.",
        discussion: """
            Without --stride each text's first tokens are scored as one window. With it a window of each length moves \
            over the texts, and every token after the first window is scored with at least length - stride tokens before \
            it. Perplexities of several texts are the mean of the texts' means, with its standard error.
            """)

    @Argument(help: ArgumentHelp("The model, a GGUF file.", valueName: "model"), completion: .file())
    var model: String
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Texts to score, each one document.", valueName: "file ..."), completion: .file())
    var corpus: [String]
    @OptionGroup var comparison: ComparisonOptions
    @Option(help: ArgumentHelp("Move the window by so many tokens.", valueName: "n"))
    var stride: Int?
    @Option(
        help: ArgumentHelp("At most so many texts, or with --stride so many windows of each.", valueName: "n")
    )
    var limit = 16
    @Option(
        help: ArgumentHelp("Write a picture of perplexity by length.", valueName: "file.svg"),
        completion: .file())
    var plot: String?
    @OptionGroup var options: EvaluationOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard !corpus.isEmpty else { throw ValidationError("--corpus: name at least one text") }
        guard limit >= 1, limit <= 100_000 else { throw ValidationError("--limit: from 1 to 100000") }
    }

    func execute() async throws {
        let methods = try comparison.methods()
        let session = try EvaluationSession(path: model)
        let documents = try session.documents(corpus)
        let evaluation = PerplexityEvaluation(
            methods: methods, lengths: comparison.lengths.lengths,
            windows: stride.map { .sliding(stride: $0) } ?? .whole, limit: limit)
        try evaluation.check(documents)
        let isQuiet = output.json
        let table = try await session.with(options) { evaluator in
            try await evaluation.run(documents, on: evaluator) { step in
                guard !isQuiet else { return }
                Terminal.note(
                    "\(step.done) of \(step.total): \(step.method), \(Quantity.count(UInt64(step.length))) tokens of "
                        + "\(step.document): perplexity \(Quantity.number(exp(step.score.mean), decimals: 4))"
                        .printable)
            }
        }
        if let plot { try write(ExtensionReport.perplexityPicture(table), to: plot) }
        guard output.json else {
            return try await Terminal.print(try ExtensionReport.perplexityTable(table).trimmingLastLineEnd)
        }
        var rows: [JSONValue] = []
        for method in table.methods.indices {
            for length in table.lengths.indices {
                let summary = try table.summary(method: method, length: length)
                rows.append(
                    .object([
                        ("rope", .string(table.methods[method])),
                        ("length", .unsigned(UInt64(table.lengths[length]))),
                        ("documents", .unsigned(UInt64(summary.documents))),
                        ("tokens", .unsigned(UInt64(summary.tokens))), ("mean_nll", .number(summary.meanNLL)),
                        ("mean_nll_error", summary.standardError.map { .number($0) } ?? .null),
                        ("perplexity", .number(summary.perplexity)),
                    ]))
            }
        }
        try await Terminal.print(json: .object([("model", .string(model)), ("results", .array(rows))]))
    }
}

/// Options of both retrieval tasks.
struct RetrievalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How many depths, from the start to the end of the prompt.", valueName: "n"))
    var depths = 5
    @Option(help: ArgumentHelp("Prompts for each depth and length.", valueName: "n"))
    var samples = 1
    @Option(help: ArgumentHelp("Seed of what is hidden.", valueName: "n"))
    var seed: UInt64 = 1

    func validate() throws {
        guard (1...101).contains(depths) else { throw ValidationError("--depths: from 1 to 101") }
        guard (1...1000).contains(samples) else { throw ValidationError("--samples: from 1 to 1000") }
    }

    var shares: [Double] {
        depths == 1 ? [0.5] : (0..<depths).map { Double($0) / Double(depths - 1) }
    }
}

extension RetrievalEvaluation {
    fileprivate init(_ task: Task, _ comparison: ComparisonOptions, _ options: RetrievalOptions) throws {
        self.init(
            task, methods: try comparison.methods(), lengths: comparison.lengths.lengths,
            depths: options.shares,
            samples: options.samples, seed: options.seed)
    }
}

extension RetrievalTable {
    fileprivate func lines(_ what: String) -> [String] {
        var lines: [String] = []
        for method in methods.indices {
            var table = Table(
                [("\(methods[method]): \(what), depth", .left)]
                    + lengths.map { (Quantity.count(UInt64($0)), Table.Alignment.right) })
            for depth in depths.indices {
                table.add(
                    ["\(Int((depths[depth] * 100).rounded()))%"]
                        + lengths.indices.map { Quantity.number(values[method][depth][$0], decimals: 2) })
            }
            table.addRule()
            table.add(["mean"] + byLength[method].map { Quantity.number($0, decimals: 2) })
            lines += (lines.isEmpty ? [] : [""]) + table.lines()
        }
        return lines
    }

    fileprivate func json(_ model: String) -> JSONValue {
        var rows: [JSONValue] = []
        for method in methods.indices {
            for depth in depths.indices {
                for length in lengths.indices {
                    rows.append(
                        .object([
                            ("rope", .string(methods[method])),
                            ("length", .unsigned(UInt64(lengths[length]))),
                            ("depth", .number(depths[depth])),
                            ("value", .number(values[method][depth][length])),
                        ]))
                }
            }
        }
        return .object([("model", .string(model)), ("results", .array(rows))])
    }
}

struct EvalPasskeyCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "passkey", abstract: "Find a number hidden in filler, by depth and length.",
        discussion: "Prints the share of prompts whose number was found.")

    @Argument(help: ArgumentHelp("The model, a GGUF file.", valueName: "model"), completion: .file())
    var model: String
    @OptionGroup var comparison: ComparisonOptions
    @OptionGroup var retrieval: RetrievalOptions
    @Option(
        help: ArgumentHelp(
            "Write a picture for each method: NAME.svg, or NAME-2.svg and so on for further ones.",
            valueName: "name"))
    var plot: String?
    @OptionGroup var options: EvaluationOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
        let evaluation = try RetrievalEvaluation(.passkey, comparison, retrieval)
        let session = try EvaluationSession(path: model)
        try evaluation.check(encode: session.encode, isLineEnd: session.isLineEnd)
        let isQuiet = output.json
        let table = try await session.with(options) { evaluator in
            try await evaluation.run(on: evaluator, encode: session.encode, isLineEnd: session.isLineEnd) {
                step in
                guard !isQuiet else { return }
                let found = step.value == 1 ? "found" : "not found"
                let line =
                    "\(step.done) of \(step.total): \(step.method), \(Quantity.count(UInt64(step.length))) tokens, depth "
                    + "\(Int(step.depth * 100))%: \(found), \"\(step.answer)\""
                Terminal.note(line.printable)
            }
        }
        if let plot {
            for method in table.methods.indices {
                try write(
                    ExtensionReport.retrievalPicture(table, method: method),
                    to: plot + (method == 0 ? "" : "-\(method + 1)") + ".svg")
            }
        }
        if output.json { return try await Terminal.print(json: table.json(model)) }
        try await Terminal.print(table.lines("found"))
    }
}

struct EvalNeedleCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "needle", abstract: "How likely a number hidden in real text is, when asked for it.",
        discussion: """
            Prints the mean negative log-likelihood (natural logarithm) of the number's tokens: less is better. This is \
            what LongRoPE2's search minimises; it tells models apart long before any of them finds a number.
            """)

    @Argument(help: ArgumentHelp("The model, a GGUF file.", valueName: "model"), completion: .file())
    var model: String
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Texts to hide the number in, at least as long as the lengths.", valueName: "file ..."),
        completion: .file())
    var corpus: [String]
    @OptionGroup var comparison: ComparisonOptions
    @OptionGroup var retrieval: RetrievalOptions
    @OptionGroup var options: EvaluationOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
        let evaluation = try RetrievalEvaluation(.needle, comparison, retrieval)
        let session = try EvaluationSession(path: model)
        let documents = try session.documents(corpus)
        try evaluation.check(documents, encode: session.encode, isLineEnd: session.isLineEnd)
        let isQuiet = output.json
        let table = try await session.with(options) { evaluator in
            try await evaluation.run(
                documents, on: evaluator, encode: session.encode, isLineEnd: session.isLineEnd
            ) { step in
                guard !isQuiet else { return }
                Terminal.note(
                    "\(step.done) of \(step.total): \(step.method), \(Quantity.count(UInt64(step.length))) tokens, depth "
                        + "\(Int(step.depth * 100))%: \(Quantity.number(step.value, decimals: 3))")
            }
        }
        if output.json { return try await Terminal.print(json: table.json(model)) }
        try await Terminal.print(table.lines("mean NLL of the number"))
    }
}

extension String {
    fileprivate var trimmingLastLineEnd: String { hasSuffix("\n") ? String(dropLast()) : self }
}
