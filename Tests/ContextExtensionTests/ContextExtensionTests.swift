// The pipeline on a synthetic model: what it finds, what it survives, what it refuses.
import ContextExtension
import Evaluation
import FactorSearch
import Foundation
import LongRoPE
import Testing

@Suite("Extension pipeline", .timeLimit(.minutes(10)))
struct ContextExtensionTests {
    static func base() throws -> RotaryBase {
        try RotaryBase(theta: 1e4, rotaryDimension: 16, originalContext: 8192)
    }

    /// Three texts of the length, of distinct tokens.
    static func corpus(_ tokens: Int, count: Int = 3) -> Corpus {
        Corpus(
            documents: (0..<count).map { number in
                Document(name: "text \(number)", tokens: (0..<tokens).map { UInt32($0 % 251 + number) })
            })
    }

    static func request(
        to target: Int = 32768, budget: Double = 40_000, seed: UInt64 = 1,
        method: ExtensionRequest.Method = .longrope, checkpoint: ExtensionRequest.Checkpoint? = nil
    ) throws -> ExtensionRequest {
        ExtensionRequest(
            base: try base(), target: target, method: method, budget: budget, seed: seed, startTokens: [0],
            checkpoint: checkpoint, fingerprint: "synthetic")
    }

    private func journal(_ folder: Folder, _ request: ExtensionRequest) throws -> SearchJournal {
        try SearchJournal(path: folder.file("search.jsonl"), identity: request.identity)
    }

    private func distance(_ table: RotaryTable) throws -> Double {
        zip(table.factors, SyntheticEvaluator.best(window: table.window, try Self.base()))
            .reduce(0) { $0 + pow(log($1.0 / $1.1), 2) / 8 }
    }

    @Test("Every length up to the target gets factors better than all that are known")
    func finds() async throws {
        let folder = try Folder()
        let request = try Self.request()
        let evaluator = SyntheticEvaluator(base: try Self.base(), workers: 3)
        let journal = try journal(folder, request)
        var progress: [ExtensionProgress] = []
        let result = try await ContextExtension(request, corpus: Self.corpus(32768)).run(
            on: evaluator, journal: journal
        ) { progress.append($0) }
        #expect(result.tables.map(\.window) == [8192, 16384, 32768])
        // Most of the budget, no more than that, and for the short search more than its evaluations' part of it.
        let costs = zip(result.stages, [3, 4]).compactMap { stage, seeds in
            journal.plan(of: stage.name).map { $0.plan.cost(rungs: $0.rungs, seedCount: seeds) }
        }
        #expect((0.9 * request.budget...request.budget).contains(costs.reduce(0, +)))
        let full = result.stages.compactMap(\.rungs.last?.cost)
        #expect(costs[0] / costs[1] > 1.3 * full[0] / full[1])
        #expect(
            result.tables[0].factors == Array(repeating: 1, count: 8) && result.tables[0].attentionFactor == 1
        )
        for (stage, table) in zip(result.stages, result.tables.dropFirst()) {
            #expect(zip(table.factors, table.factors.dropFirst()).allSatisfy { $0 <= $1 })
            let seeds = stage.outcome.seeds.map(\.searchScore)
            #expect(seeds.count >= 3)
            #expect(seeds.allSatisfy { stage.outcome.best.searchScore < $0 })
            // Less than a third of the excess loss of the best known scaling.
            #expect(stage.outcome.best.searchScore - 2 < 0.34 * ((seeds.prefix(3).min() ?? 0) - 2))
            #expect(stage.outcome.fullLengthEvaluationsSaved > 0)
            #expect(try distance(table) < 0.01)
        }
        #expect(result.remarks.first?.contains("--checkpoint") == true)
        #expect(evaluator.mostAtOnce == 3, "as many at once as there are workers")
        #expect(
            progress.contains { $0.progress.phase == .shapes } && progress.last?.progress.phase == .finals)
    }

    @Test("Same seed, same result, however many workers; another seed, another search")
    func deterministic() async throws {
        func run(_ seed: UInt64, workers: Int) async throws -> [RotaryTable] {
            let request = try Self.request(to: 16384, budget: 8_000, seed: seed)
            let folder = try Folder()
            return try await ContextExtension(request, corpus: Self.corpus(16384)).run(
                on: SyntheticEvaluator(base: Self.base(), workers: workers), journal: journal(folder, request)
            ).tables
        }
        let first = try await run(1, workers: 1)
        #expect(try await run(1, workers: 4) == first)
        #expect(try await run(2, workers: 1) != first)
    }

    @Test("Killed at any evaluation, a search goes on from its journal to the same result")
    func resumes() async throws {
        let request = try Self.request(to: 16384, budget: 4_500)
        let whole = SyntheticEvaluator(base: try Self.base())
        let expected = try await ContextExtension(request, corpus: Self.corpus(16384)).run(
            on: whole, journal: journal(try Folder(), request)
        ).tables
        #expect(whole.calls > 20)
        for killedAt in 1...whole.calls {
            let folder = try Folder()
            let pipeline = try ContextExtension(request, corpus: Self.corpus(16384))
            await #expect(throws: SyntheticEvaluator.Killed.self) {
                _ = try await pipeline.run(
                    on: SyntheticEvaluator(base: Self.base(), killedAt: killedAt),
                    journal: journal(folder, request))
            }
            // A crash in the middle of a line.
            let path = folder.file("search.jsonl")
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data(#"{"evaluation":{"nll":2."#.utf8))
            try handle.close()
            let rest = SyntheticEvaluator(base: try Self.base())
            let again = try journal(folder, request)
            #expect(again.restored > 0 || killedAt <= 3)
            let tables = try await pipeline.run(on: rest, journal: again).tables
            #expect(tables == expected, "killed at \(killedAt)")
            #expect(rest.calls < whole.calls || killedAt <= 2)
        }
    }

    @Test("LongRoPE2: needles guide, the closed form holds below the critical pair")
    func criticalPairs() async throws {
        let request = try Self.request(to: 16384, budget: 30_000, method: .longrope2)
        let needles = ContextExtension.NeedleText(
            encode: { $0.unicodeScalars.map { Int32($0.value) } }, isLineEnd: { $0 == 10 })
        let result = try await ContextExtension(request, corpus: Self.corpus(16384), needles: needles).run(
            on: SyntheticEvaluator(base: Self.base()), journal: journal(try Folder(), request))
        let factors = result.tables[1].factors
        let closed = (1..<8).contains { critical in
            (0..<critical).allSatisfy {
                abs(log(factors[$0]) - log(factors[critical]) * Double($0) / Double(critical)) < 1e-6
            } && factors[critical] >= 2
        }
        #expect(
            closed
                || result.stages[0].outcome.seeds.map(\.candidate).contains(
                    result.stages[0].outcome.best.candidate)
        )
        #expect(throws: ExtensionError.self) { try ContextExtension(request, corpus: Self.corpus(16384)) }
    }

    @Test("On a checkpoint: the second stage multiplies its factors, short contexts are recovered")
    func checkpoint() async throws {
        let tuned = RotaryTable(
            window: 65536, factors: [1, 1.2, 1.5, 2, 3, 5, 7, 9], attentionFactor: 1.1)
        let request = try Self.request(to: 131072, budget: 500_000, checkpoint: .init(table: tuned))
        let result = try await ContextExtension(request, corpus: Self.corpus(131072)).run(
            on: SyntheticEvaluator(base: Self.base()), journal: journal(try Folder(), request))
        #expect(result.tables.map(\.window) == [8192, 16384, 65536, 131072])
        #expect(result.tables[2] == tuned && result.remarks.isEmpty)
        let multipliers = zip(result.tables[3].factors, tuned.factors).map { $0 / $1 }
        #expect(multipliers.allSatisfy { $0 > 0.999 && $0 <= 2.5001 })
        #expect(zip(multipliers, multipliers.dropFirst()).allSatisfy { $0 <= $1 + 1e-9 })
        #expect(
            result.tables[0].factors.allSatisfy { $0 <= 4.0001 } || result.tables[0].factors == tuned.factors)
    }

    @Test("What cannot be done is refused with the figures")
    func refusals() async throws {
        func refuses(_ words: String, _ body: () async throws -> Void) async {
            do {
                try await body()
                Issue.record("not refused: \(words)")
            } catch { #expect("\(error)".contains(words), "\(error)") }
        }
        await refuses("trained for 8,192") {
            _ = try ContextExtension(Self.request(to: 8192), corpus: Self.corpus(8192))
        }
        await refuses("12,000 tokens") {
            _ = try ContextExtension(Self.request(), corpus: Self.corpus(12000))
        }
        await refuses("budget of -1") {
            _ = try ContextExtension(Self.request(budget: -1), corpus: Self.corpus(32768))
        }
        await refuses("has 8") {
            _ = try ContextExtension(
                Self.request(checkpoint: .init(table: RotaryTable(window: 16384, factors: [1, 2]))),
                corpus: Self.corpus(32768))
        }
        let request = try Self.request(budget: 100)
        let folder = try Folder()
        await refuses("not enough: the least that the searches take") {
            _ = try await ContextExtension(request, corpus: Self.corpus(32768)).run(
                on: SyntheticEvaluator(base: Self.base()), journal: journal(folder, request))
        }
        #expect(
            try String(contentsOfFile: folder.file("search.jsonl"), encoding: .utf8).split(separator: "\n")
                .count == 1,
            "nothing is kept of a search that was not begun")
        await refuses("another search") {
            _ = try journal(folder, Self.request(budget: 101))
        }
        try Data("nonsense\n".utf8).write(to: URL(filePath: folder.file("search.jsonl")))
        await refuses("line 1") { _ = try journal(folder, request) }
        await refuses("cannot be made") { _ = try SearchJournal(path: folder.file("none/x"), identity: "") }
    }

    @Test("One text is enough: then the search's own scores decide")
    func oneText() async throws {
        let request = try Self.request(to: 16384, budget: 8_000)
        let result = try await ContextExtension(request, corpus: Self.corpus(16384, count: 1)).run(
            on: SyntheticEvaluator(base: Self.base()), journal: journal(try Folder(), request))
        #expect(result.stages[0].outcome.finalEvaluations == 0)
        #expect(result.stages[0].outcome.best.finalScore == nil)
    }

    @Test("The report names every table, every search and its texts, and its pictures are there")
    func report() async throws {
        let request = try Self.request(to: 16384, budget: 8_000)
        let evaluator = SyntheticEvaluator(base: try Self.base())
        let result = try await ContextExtension(request, corpus: Self.corpus(16384)).run(
            on: evaluator, journal: journal(try Folder(), request))
        let documents = Self.corpus(16384, count: 2).documents
        let table = try await PerplexityEvaluation(
            methods: [Positions("none", .named("none")), Positions("searched", .tables(result.tables))],
            lengths: [8192, 16384], limit: 2
        ).run(documents, on: evaluator)
        let files = try ExtensionReport(
            model: "Synthetic", request: request, result: result, texts: ["a.txt"],
            evaluation: (table, ["b.txt"])
        ).files()
        #expect(files.map(\.name) == ["factors.svg", "search-16384.svg", "perplexity.svg", "report.md"])
        for file in files.dropLast() { #expect(file.text.hasPrefix("<svg") || file.text.contains("<svg ")) }
        let text = try #require(files.last).text
        for words in [
            "a.txt", "b.txt", "PI", "NTK", "YaRN", "searched", "16384", "saved", "--checkpoint",
        ] { #expect(text.contains(words), "\(words)") }
    }
}

/// A folder of its own, gone with the value.
final class Folder {
    private let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(
            component: "lariat-extension-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func file(_ name: String) -> String { url.appending(component: name).path }
}
