// Perplexity by length for several methods, over the same documents.
public import Evaluation

/// The question: which methods at which lengths, and how the documents are cut.
public struct PerplexityEvaluation: Sendable {
    public enum Windows: Sendable, Hashable {
        /// Each document's first tokens, as many as the length.
        case whole
        /// A window of the length that moves over the document by so many tokens.
        case sliding(stride: Int)
    }

    public var methods: [Positions]
    /// In tokens, ascending.
    public var lengths: [Int]
    public var windows: Windows
    /// The most documents (whole), or the most windows of each document (sliding).
    public var limit: Int

    public init(methods: [Positions], lengths: [Int], windows: Windows = .whole, limit: Int) {
        self.methods = methods
        self.lengths = lengths
        self.windows = windows
        self.limit = limit
    }

    /// What was measured: a row for each method, a column for each length.
    public struct Table: Sendable {
        public let methods: [String]
        public let lengths: [Int]
        /// [method][length][document].
        public let scores: [[[DocumentScore]]]

        public func summary(method: Int, length: Int) throws(EvaluationError) -> PerplexitySummary {
            try PerplexitySummary(scores[method][length])
        }
    }

    /// One finished evaluation, for progress lines.
    public struct Step: Sendable {
        public let method: String
        public let length: Int
        public let document: String
        public let done: Int
        public let total: Int
        public let score: DocumentScore
    }

    private struct Work: Sendable {
        let method: Int
        let length: Int
        let window: PerplexityWindow
    }

    /// Runs all evaluations, length by length, so that an interruption leaves whole columns.
    /// - Throws: `EvaluationError` where a document is too short, before anything runs.
    public func run(
        _ documents: [Document], on evaluator: some Evaluator, progress: (Step) -> Void = { _ in }
    ) async throws -> Table {
        var work: [Work] = []
        for (length, tokens) in lengths.enumerated() {
            let windows = try cut(documents, length: tokens)
            for method in methods.indices {
                work += windows.map { Work(method: method, length: length, window: $0) }
            }
        }
        let methods = methods
        let results = try await evaluator.all(work) { work, workers in
            let document = documents[work.window.document]
            let nlls = try await evaluator.score(
                Array(document.tokens[work.window.tokens]), methods[work.method], workers: workers)
            // Score i is that of token i + 1 of the window.
            let first = work.window.scored.lowerBound - work.window.tokens.lowerBound - 1
            return DocumentScore(nlls[first..<(first + work.window.scored.count)].lazy.map(Double.init))
        } done: { index, score in
            let item = work[index]
            progress(
                Step(
                    method: methods[item.method].name, length: lengths[item.length],
                    document: documents[item.window.document].name, done: index + 1, total: work.count,
                    score: score))
        }
        var scores = [[[Int: DocumentScore]]](
            repeating: [[Int: DocumentScore]](repeating: [:], count: lengths.count), count: methods.count)
        for (item, score) in zip(work, results) {
            scores[item.method][item.length][item.window.document, default: DocumentScore()].add(score)
        }
        return Table(
            methods: methods.map(\.name), lengths: lengths,
            scores: scores.map { $0.map { of in of.keys.sorted().compactMap { of[$0] } } })
    }

    /// Throws what `run` would, before anything is started.
    public func check(_ documents: [Document]) throws(EvaluationError) {
        for length in lengths { _ = try cut(documents, length: length) }
    }

    private func cut(_ documents: [Document], length: Int) throws(EvaluationError) -> [PerplexityWindow] {
        let cutter = try PerplexityWindows(length: length)
        switch windows {
        case .whole:
            return try cutter.prefixes(ofDocuments: documents.map(\.tokens.count), limit: limit)
        case .sliding(let stride):
            var all: [PerplexityWindow] = []
            for (index, document) in documents.enumerated() {
                all += try cutter.sliding(
                    tokens: document.tokens.count, stride: stride, document: index, limit: limit)
            }
            return all
        }
    }

}
