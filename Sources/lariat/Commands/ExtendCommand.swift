// lariat extend: factors for a longer context, searched on the cluster, and a model file that has them.

internal import ArgumentParser
internal import ContextExtension
internal import Evaluation
internal import FactorSearch
import Foundation
internal import GGUF
internal import JSONText
internal import LongRoPE
import Numerals
internal import Transformer

struct ExtendCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "extend", abstract: "Extend a model's context with LongRoPE.",
        discussion: """
            Searches rotary factors for every length up to --to (twice the trained length, four times, ...), without \
            training, and writes a model file that llama.cpp loads as well, factors.json, and a report with pictures. \
            Every evaluation is a job. An interrupted search goes on where it was when the same command is given again. \
            --budget is spent by what evaluations are predicted to take when the search begins; a machine that becomes \
            busy takes longer.

            With --checkpoint, a model that was fine-tuned elsewhere with the factors of a first search, the factors of \
            its file are multiplied by a second search, and short contexts are recovered. Fine-tuning itself is not part \
            of Lariat.

            With --factors nothing is searched: the model file is written with the factors given.
            """)

    @Argument(help: ArgumentHelp("The model, a GGUF file.", valueName: "model"), completion: .file())
    var model: String
    @Option(name: .customLong("to"), help: ArgumentHelp("The length to extend to.", valueName: "tokens"))
    var target: Int
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Texts to search on, at least one of them as long as --to; with three windows of that length finalists are "
                + "judged on further text.", valueName: "file ..."), completion: .file())
    var corpus: [String] = []
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Texts apart from those, to measure the perplexity of all methods at all lengths when the search is over; not "
                + "part of the budget.", valueName: "file ..."), completion: .file())
    var evaluation: [String] = []
    @Option(help: "For all searches together: 90s, 45m, 1h or 2h30m.")
    var budget: TimeBudget = TimeBudget(seconds: 3600)
    @Option(
        help:
            "longrope: every pair is free, least perplexity; longrope2: from the critical pair on, likeliest needles."
    )
    var method: ExtensionRequest.Method = .longrope
    @Flag(
        help:
            "Search n-hat as well, the number of first positions that stay unscaled. Other engines do not know it."
    )
    var startTokens = false
    @Option(help: ArgumentHelp("Seed of the search.", valueName: "n"))
    var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp("A fine-tuned model, for the second stage and recovery.", valueName: "model"),
        completion: .file())
    var checkpoint: String?
    @Option(
        help: ArgumentHelp("Write these factors instead of searching.", valueName: "file"),
        completion: .file())
    var factors: String?
    @Option(
        name: [.short, .customLong("output")],
        help: ArgumentHelp("Folder for all results (default: MODEL-TOKENS, here).", valueName: "folder"),
        completion: .directory)
    var outputFolder: String?
    @Flag(help: "Forget an interrupted search and begin anew.")
    var restart = false
    @Flag(help: "Overwrite a model file from before.")
    var force = false
    @OptionGroup var options: EvaluationOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard target >= 2 else { throw ValidationError("--to: 2 tokens at least") }
        guard factors == nil || (corpus.isEmpty && checkpoint == nil && evaluation.isEmpty) else {
            throw ValidationError(
                "--factors writes what it is given: leave --corpus, --evaluation and --checkpoint out")
        }
        guard factors != nil || !corpus.isEmpty else {
            throw ValidationError("--corpus: name at least one text")
        }
    }

    func execute() async throws {
        let session = try EvaluationSession(path: checkpoint ?? model)
        let scaling = session.model.scaling
        let base = try scaling.base()
        let folder = try makeFolder()
        let modelName = "\(URL(filePath: model).deletingPathExtension().lastPathComponent)-\(target).gguf"
        let written = folder.appending(component: modelName)
        if !force, FileManager.default.fileExists(atPath: written.path) {
            throw Failure(
                "\(written.path.printable): is there already; give --force to overwrite it, or another --output",
                exitCode: ExitStatus.usage)
        }
        if let factors {
            let file = try FactorFile(reading: factors)
            try check(file.tables, base)
            try await write(file.tables, base, to: written)
            return try await conclude(written, file.tables, [], nil)
        }
        let request = try request(session, base)
        let documents = try session.documents(corpus)
        let needles = ContextExtension.NeedleText(encode: session.encode, isLineEnd: session.isLineEnd)
        let pipeline = try ContextExtension(request, corpus: Corpus(documents: documents), needles: needles)
        let comparison = try comparisonTexts(session, base)
        let journalPath = folder.appending(component: "search.jsonl").path
        let isQuiet = output.json
        let (result, table) = try await session.with(options) { evaluator in
            let journal = try SearchJournal(
                path: journalPath, identity: request.identity, isNew: restart)
            if journal.restored > 0 {
                Terminal.note("goes on from \(journal.restored) evaluations in \(journalPath.printable)")
            }
            var line = SearchLine(isTerminal: Terminal.errorIsTerminal)
            let result = try await pipeline.run(on: evaluator, journal: journal) { progress in
                if !isQuiet { line.show(progress) }
            }
            if !isQuiet { line.end() }
            var table: PerplexityEvaluation.Table?
            if let comparison {
                table = try await comparison.run(result, base, on: evaluator, isQuiet: isQuiet)
            }
            return (result, table)
        }
        for remark in result.remarks { Terminal.note(remark) }
        let report = ExtensionReport(
            model: session.model.name, request: request, result: result, texts: documents.map(\.name),
            evaluation: table.map { ($0, comparison?.documents.map(\.name) ?? []) })
        let factors = try FactorFile(originalContext: base.originalContext, tables: result.tables).json()
        try AtomicFile.write(
            String(decoding: factors, as: UTF8.self), to: folder.appending(component: "factors.json").path)
        for file in try report.files() {
            try AtomicFile.write(file.text, to: folder.appending(component: file.name).path)
        }
        try await write(result.tables, base, to: written)
        try await conclude(written, result.tables, result.stages, table)
    }

    // MARK: Input

    private func request(_ session: EvaluationSession, _ base: RotaryBase) throws -> ExtensionRequest {
        var tuned: ExtensionRequest.Checkpoint?
        if let checkpoint {
            let scaling = session.model.scaling
            guard scaling.isLongRoPE else {
                throw Failure(
                    "\(checkpoint.printable): has no LongRoPE factors; a checkpoint carries the factors it was tuned with: "
                        + "write them into it with `lariat extend \(checkpoint.printable) --to TOKENS --factors FILE`",
                    exitCode: ExitStatus.unreadableInput)
            }
            let profile = try scaling.profile(promptTokens: scaling.maximumContext, reservedTokens: 0)
            tuned = ExtensionRequest.Checkpoint(
                table: RotaryTable(
                    window: profile.window, factors: profile.factors, startTokens: profile.startTokens,
                    attentionFactor: profile.attentionFactor))
        }
        return ExtensionRequest(
            base: base, target: target, method: method, budget: budget.seconds, seed: seed,
            startTokens: startTokens ? SearchSpace.paperStartTokens : [0], checkpoint: tuned,
            fingerprint: session.model.fingerprint + " " + corpus.joined(separator: " "))
    }

    private func check(_ tables: [RotaryTable], _ base: RotaryBase) throws {
        for table in tables {
            _ = try LongRoPETables(tables: [table]).profile(total: table.window, of: base)
        }
        guard tables.last?.window == target else {
            throw Failure(
                "the factors reach \((tables.last?.window ?? 0).grouped) tokens, not --to \(target); give the same number",
                exitCode: ExitStatus.usage)
        }
    }

    private func makeFolder() throws -> URL {
        let stem = URL(filePath: model).deletingPathExtension().lastPathComponent
        let folder = URL(filePath: outputFolder ?? "\(stem)-\(target)")
        do { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) } catch {
            throw Failure("\(folder.path.printable): cannot be made: \(error.localizedDescription)")
        }
        return folder
    }

    private func comparisonTexts(_ session: EvaluationSession, _ base: RotaryBase) throws -> ComparisonTexts?
    {
        guard !evaluation.isEmpty else { return nil }
        let texts = ComparisonTexts(documents: try session.documents(evaluation), target: target)
        try texts.evaluation([], base).check(texts.documents)
        return texts
    }

    // MARK: Output

    private func write(_ tables: [RotaryTable], _ base: RotaryBase, to url: URL) async throws {
        let (source, path, force) = (checkpoint ?? model, url.path, force)
        // A copy of a large model takes a while: not on a thread of the cooperative pool.
        let result: Result<Void, any Error> = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    returning: Result {
                        let file = try GGUFFile(path: source)
                        try ExtendedModel(file, tables: tables, originalContext: base.originalContext)
                            .write(file, to: path, overwrite: force)
                    })
            }
        }
        do { try result.get() } catch let error as GGUFError { throw Failure("\(error)") }
    }

    private func conclude(
        _ written: URL, _ tables: [RotaryTable], _ stages: [ExtensionStage],
        _ table: PerplexityEvaluation.Table?
    ) async throws {
        guard output.json else {
            if !stages.isEmpty {
                var found = Table([
                    ("window", .right), ("perplexity", .right), ("best seed", .right),
                    ("attention factor", .right),
                    ("full-length evaluations", .right), ("saved", .right),
                ])
                for stage in stages {
                    let outcome = stage.outcome
                    found.add([
                        Quantity.count(UInt64(stage.window)),
                        Quantity.number(exp(outcome.best.searchScore), decimals: 4),
                        Quantity.number(exp(outcome.seeds.map(\.searchScore).min() ?? .nan), decimals: 4),
                        Quantity.number(outcome.best.candidate.attentionFactor, decimals: 3),
                        "\(outcome.evaluations.last ?? 0)", "\(outcome.fullLengthEvaluationsSaved)",
                    ])
                }
                try await Terminal.print(found.lines() + [""])
            }
            if let table {
                try await Terminal.print(try ExtensionReport.perplexityTable(table))
            }
            return try await Terminal.print("written: \(written.path.printable)")
        }
        try await Terminal.print(
            json: .object([
                ("model", .string(written.path)),
                (
                    "tables",
                    .array(
                        tables.map { table in
                            .object([
                                ("window", .unsigned(UInt64(table.window))),
                                ("factors", .array(table.factors.map { .number($0) })),
                                ("start_tokens", .unsigned(UInt64(table.startTokens))),
                                ("attention_factor", table.attentionFactor.map { .number($0) } ?? .null),
                            ])
                        })
                ),
                (
                    "searches",
                    .array(
                        stages.map { stage in
                            .object([
                                ("window", .unsigned(UInt64(stage.window))),
                                ("mean_nll", .number(stage.outcome.best.searchScore)),
                                (
                                    "seeds_mean_nll",
                                    .array(stage.outcome.seeds.map { .number($0.searchScore) })
                                ),
                                (
                                    "evaluations",
                                    .array(stage.outcome.evaluations.map { .unsigned(UInt64($0)) })
                                ),
                                (
                                    "full_length_evaluations_saved",
                                    .unsigned(UInt64(stage.outcome.fullLengthEvaluationsSaved))
                                ),
                            ])
                        })
                ),
            ]))
    }
}

/// The comparison of all methods on texts apart from the search's.
private struct ComparisonTexts: Sendable {
    let documents: [Document]
    let target: Int

    private static let mostDocuments = 3

    /// All methods at the trained length, twice that, ..., the target.
    func evaluation(_ found: [RotaryTable], _ base: RotaryBase) -> PerplexityEvaluation {
        var lengths = [base.originalContext]
        while let last = lengths.last, last < target { lengths.append(min(2 * last, target)) }
        var methods = ["none", "linear", "ntk", "yarn"].map { Positions($0, .named($0)) }
        if !found.isEmpty { methods.append(Positions("searched", .tables(found))) }
        return PerplexityEvaluation(methods: methods, lengths: lengths, limit: Self.mostDocuments)
    }

    func run(
        _ result: ExtensionResult, _ base: RotaryBase, on evaluator: JobEvaluator, isQuiet: Bool
    ) async throws -> PerplexityEvaluation.Table {
        try await evaluation(result.tables, base).run(documents, on: evaluator) { step in
            guard !isQuiet else { return }
            Terminal.note(
                "comparison \(step.done) of \(step.total): \(step.method), \(Quantity.count(UInt64(step.length))) tokens of "
                    + "\(step.document): perplexity \(Quantity.number(exp(step.score.mean), decimals: 4))"
                    .printable)
        }
    }
}

/// How long all searches may take.
struct TimeBudget: ExpressibleByArgument {
    let seconds: Double

    init(seconds: Double) { self.seconds = seconds }

    init?(argument: String) {
        guard let value = DurationText.seconds(argument), (1...1e8).contains(value) else { return nil }
        seconds = value
    }

    var defaultValueDescription: String { "1h" }
}

/// The line that says where a search is; on a terminal it is written over.
private struct SearchLine {
    let isTerminal: Bool
    private var last = ""

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

    mutating func show(_ progress: ExtensionProgress) {
        let search = progress.progress
        let best = search.best.map { Quantity.number(exp($0.searchScore), decimals: 4) } ?? "-"
        let text =
            "\(progress.stage): \(search.phase.rawValue), generation \(search.generation) of \(search.generations), "
            + "\(progress.done.grouped) of \(progress.total.grouped) at \(progress.rung) tokens; best perplexity \(best)"
        if isTerminal {
            Terminal.writeError("\r\u{1B}[K" + String(text.prefix(Terminal.width - 1)))
        } else if progress.done == progress.total, text != last {
            Terminal.note(text)
        }
        last = text
    }

    func end() { if isTerminal { Terminal.writeError("\r\u{1B}[K") } }
}
