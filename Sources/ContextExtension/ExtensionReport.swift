// The report of an extension: what was found, what was evaluated, and pictures of both. Text in, text out.
public import Evaluation
import FactorSearch
import Foundation
import LongRoPE
import Numerals

/// Files of a report, by name.
public struct ExtensionReport: Sendable {
    private let model: String
    private let request: ExtensionRequest
    private let result: ExtensionResult
    private let texts: [String]
    /// On texts apart from the search's; nil: not measured.
    private let evaluation: (table: PerplexityEvaluation.Table, texts: [String])?

    public init(
        model: String, request: ExtensionRequest, result: ExtensionResult, texts: [String],
        evaluation: (table: PerplexityEvaluation.Table, texts: [String])? = nil
    ) {
        self.model = model
        self.request = request
        self.result = result
        self.texts = texts
        self.evaluation = evaluation
    }

    /// `report.md` and the pictures that it shows.
    public func files() throws -> [(name: String, text: String)] {
        var files = [("factors.svg", factorsPicture())]
        for stage in result.stages { files.append((Self.file(stage), searchPicture(stage))) }
        if let evaluation { files.append(("perplexity.svg", try Self.perplexityPicture(evaluation.table))) }
        files.append(("report.md", try markdown()))
        return files.map { (name: $0.0, text: $0.1) }
    }

    private static func file(_ stage: ExtensionStage) -> String { "search-\(stage.window).svg" }

    // MARK: Text

    private func markdown() throws -> String {
        var text =
            "# \(model): from \(request.base.originalContext.grouped) to \(request.target.grouped) tokens\n\n"
        text +=
            "Method: \(request.method == .longrope ? "LongRoPE" : "LongRoPE2"), seed \(request.seed), budget "
            + "\(Int(request.budget)) s. Texts of the search: \(texts.joined(separator: ", ")).\n\n"
        for remark in result.remarks { text += remark + "\n\n" }
        text +=
            "## Tables\n\nA sequence takes the smallest window that holds its prompt and its reserved output (the last token needs no place).\n\n"
        var tables = MarkdownTable([
            ("window", .right), ("attention factor", .right), ("n-hat", .right), ("first factor", .right),
            ("last factor", .right),
        ])
        for table in result.tables {
            tables.add([
                table.window.grouped, table.attentionFactor.map { Self.number($0, 4) } ?? "by formula",
                table.startTokens.grouped, Self.number(table.factors.first ?? 1, 4),
                Self.number(table.factors.last ?? 1, 4),
            ])
        }
        text += tables.text + "\n![factors by pair](factors.svg)\n\n"
        if let evaluation { text += try perplexity(evaluation.table, evaluation.texts) }
        text += "## Searches\n\n"
        for stage in result.stages { text += section(stage) }
        return text
    }

    private func perplexity(_ table: PerplexityEvaluation.Table, _ texts: [String]) throws -> String {
        "## Perplexity by length\n\nTexts apart from those of the search: \(texts.joined(separator: ", ")).\n\n"
            + (try Self.perplexityTable(table)) + "\n![perplexity by length](perplexity.svg)\n\n"
    }

    /// Methods down, lengths across; with standard errors where there are several documents.
    public static func perplexityTable(_ table: PerplexityEvaluation.Table) throws(EvaluationError) -> String
    {
        var rows = MarkdownTable(
            [("perplexity at", .left)] + table.lengths.map { ("\($0)", .right) })
        for method in table.methods.indices {
            var cells = [table.methods[method]]
            for length in table.lengths.indices {
                let summary = try table.summary(method: method, length: length)
                let error = summary.perplexityError.map { " ± " + number($0, 2) } ?? ""
                cells.append(number(summary.perplexity, 3) + error)
            }
            rows.add(cells)
        }
        return rows.text
    }

    private func section(_ stage: ExtensionStage) -> String {
        let outcome = stage.outcome
        var text = "### \(stage.name)\n\n"
        let counts = zip(stage.rungs, outcome.evaluations).map { "\($1) of \($0.name) tokens" }
        text +=
            "Evaluations: \(counts.joined(separator: ", ")), and \(outcome.finalEvaluations) on further texts. "
            + "\(outcome.fullLengthEvaluationsSaved) candidates were dropped by shorter evaluations, which saved that many "
            + "of full length.\n\n"
        var table = MarkdownTable([
            ("candidate", .left), ("perplexity, search", .right), ("perplexity, further texts", .right),
            ("attention factor", .right), ("n-hat", .right),
        ])
        func add(_ name: String, _ judged: JudgedCandidate) {
            table.add([
                name, Self.perplexity(judged.searchScore), judged.finalScore.map(Self.perplexity) ?? "",
                Self.number(judged.candidate.attentionFactor, 3), judged.candidate.startTokens.grouped,
            ])
        }
        add("**found** (\(outcome.best.candidate.origin.rawValue))", outcome.best)
        for seed in outcome.seeds { add(seed.candidate.origin.rawValue, seed) }
        text += table.text + "\n![the search](\(Self.file(stage)))\n\n"
        text +=
            "Factors: \(outcome.best.candidate.factors.map { Self.number($0, 4) }.joined(separator: ", "))\n\n"
        return text
    }

    // MARK: Pictures

    private func factorsPicture() -> String {
        LineChart(
            "Factors by pair", x: ChartAxis("pair of a head's elements, fastest first"),
            y: ChartAxis("factor that the wavelength is stretched by", scale: .log2),
            series: result.tables.map { table in
                ChartSeries(
                    table.name,
                    points: table.factors.enumerated().map { ChartPoint(x: Double($0.offset), y: $0.element) }
                )
            }
        ).svg()
    }

    private func searchPicture(_ stage: ExtensionStage) -> String {
        var series = stage.rungs.map { ChartSeries("\($0.name) tokens", style: .dots, points: []) }
        var best = ChartSeries("best at full length", style: .steps, points: [])
        var least = Double.infinity
        for (number, evaluation) in stage.evaluations.enumerated() where evaluation.trial.purpose == .search {
            let perplexity = exp(evaluation.nll.first ?? .nan)
            guard perplexity.isFinite else { continue }
            let x = Double(number + 1)
            series[evaluation.trial.rung].points.append(ChartPoint(x: x, y: perplexity))
            if evaluation.trial.rung == stage.rungs.count - 1 { least = min(least, perplexity) }
            if least.isFinite { best.points.append(ChartPoint(x: x, y: least)) }
        }
        let values = series.flatMap(\.points).compactMap(\.y).sorted()
        // The hopeless would press the others together.
        let upper = values.isEmpty ? nil : values[values.count * 9 / 10] * 1.1
        return LineChart(
            "The search \(stage.name)", x: ChartAxis("evaluation"),
            y: ChartAxis("perplexity", upper: upper), series: series + [best]
        ).svg()
    }

    /// Perplexity by length, a line for each method.
    public static func perplexityPicture(_ table: PerplexityEvaluation.Table) throws(EvaluationError)
        -> String
    {
        var series: [ChartSeries] = []
        for method in table.methods.indices {
            var points: [ChartPoint] = []
            for length in table.lengths.indices {
                points.append(
                    ChartPoint(
                        x: Double(table.lengths[length]),
                        y: try table.summary(method: method, length: length).perplexity))
            }
            series.append(ChartSeries(table.methods[method], points: points))
        }
        return LineChart(
            "Perplexity by length", x: .tokens("length, tokens"), y: ChartAxis("perplexity", scale: .log10),
            series: series
        ).svg()
    }

    /// Depth by length for one method.
    public static func retrievalPicture(_ table: RetrievalTable, method: Int) -> String {
        HeatMap(
            "Pass keys found: \(table.methods[method])", depths: table.depths, lengths: table.lengths,
            values: table.values[method]
        ).svg()
    }

    static func number(_ value: Double, _ decimals: Int) -> String {
        value.isFinite ? Figures.fixed(value, decimals: decimals) : "-"
    }

    private static func perplexity(_ nll: Double) -> String { number(exp(nll), 3) }
}
