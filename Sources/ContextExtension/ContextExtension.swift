// The pipeline: from a model and texts to factors for every length up to the target, by searches whose every
// evaluation is a job on the cluster.
import Evaluation
import FactorSearch
import Foundation
import LongRoPE
import Numerals

/// Searches the factors for every length up to a target.
public struct ContextExtension: Sendable {
    private let request: ExtensionRequest
    private let corpus: Corpus
    private let needles: NeedleText?
    private let jobs: [Job]
    private let remarks: [String]

    /// One search to be made.
    private struct Job: Sendable {
        let name: String
        let window: Int
        let space: SearchSpace

        func table(_ candidate: Candidate) -> RotaryTable {
            RotaryTable(
                window: window, factors: candidate.factors, startTokens: candidate.startTokens,
                attentionFactor: candidate.attentionFactor)
        }
    }

    /// What needles need of the model: LongRoPE2's search only.
    public struct NeedleText: Sendable {
        let encode: @Sendable (String) -> [Int32]
        let isLineEnd: @Sendable (UInt32) -> Bool

        public init(
            encode: @escaping @Sendable (String) -> [Int32], isLineEnd: @escaping @Sendable (UInt32) -> Bool
        ) {
            self.encode = encode
            self.isLineEnd = isLineEnd
        }
    }

    /// The first rung's tokens, and each next one's in multiples of it, until the window.
    private static let leastRung = 2048
    private static let rungGrowth = 4
    /// Factors of tables up to twice the trained length stay below this on a tuned model (the published ones do).
    private static let recoveryCeiling = 4.0
    /// A cheap rung's tokens are spread over the window in so many pieces.
    private static let pieces = 8
    /// Needle prompts of one evaluation.
    private static let needlesPerEvaluation = 3

    /// Checks the request against the texts; nothing runs.
    /// - Throws: `ExtensionError`, `EvaluationError` (a text that is too short) or `FactorSearchError`, with figures.
    public init(_ request: ExtensionRequest, corpus: Corpus, needles: NeedleText? = nil) throws {
        let original = request.base.originalContext
        guard request.target > original else {
            throw ExtensionError(
                .invalidRequest,
                "a target of \(request.target.grouped) tokens: the model was trained for \(original.grouped); ask for more than that"
            )
        }
        guard request.target <= Int(Int32.max) else {
            throw ExtensionError(
                .invalidRequest,
                "a target of \(request.target.grouped) tokens; positions end at \(Int32.max.grouped)")
        }
        guard request.budget > 0, request.budget.isFinite else {
            throw ExtensionError(.invalidRequest, "a budget of \(request.budget) seconds; it must be above 0")
        }
        guard request.method == .longrope || needles != nil else {
            throw ExtensionError(
                .invalidRequest, "LongRoPE2's search needs the model's tokenizer for its needles")
        }
        _ = try corpus.windows(length: request.target)
        self.request = request
        self.corpus = corpus
        self.needles = needles
        (jobs, remarks) = try Self.jobs(request)
    }

    private static func jobs(_ request: ExtensionRequest) throws -> ([Job], [String]) {
        let base = request.base
        let original = base.originalContext
        func space(
            _ scale: Double, ceiling: Double? = nil, multiplying factors: [Double]? = nil
        ) throws -> SearchSpace {
            let least = base.criticalPair(periods: 10)
            let critical =
                request.method == .longrope2 && factors == nil && ceiling == nil && base.pairs > 2
                ? min(least, base.pairs - 2)...(base.pairs - 1) : nil
            return try SearchSpace(
                pairs: base.pairs, scale: scale, theta: base.theta, originalContext: original,
                ceiling: ceiling,
                startTokens: request.startTokens, criticalPairs: critical, base: factors)
        }
        if let tuned = request.checkpoint?.table {
            guard tuned.factors.count == base.pairs else {
                throw ExtensionError(
                    .invalidRequest,
                    "the checkpoint's factors are \(tuned.factors.count); the model has \(base.pairs) rotating pairs"
                )
            }
            var jobs: [Job] = []
            if request.target > tuned.window {
                jobs.append(
                    Job(
                        name: "second stage to \(request.target)", window: request.target,
                        space: try space(
                            Double(request.target) / Double(tuned.window), multiplying: tuned.factors)))
            }
            for window in [original, 2 * original] where window < min(tuned.window, request.target) {
                jobs.append(
                    Job(
                        name: "recovery at \(window)", window: window,
                        space: try space(
                            max(1, Double(window) / Double(original)), ceiling: recoveryCeiling)))
            }
            return (jobs, [])
        }
        var windows: [Int] = []
        var window = original
        while window < request.target {
            window = min(window * 2, request.target)
            windows.append(window)
        }
        let jobs = try windows.map { window in
            Job(
                name: "to \(window)", window: window, space: try space(Double(window) / Double(original)))
        }
        return (
            jobs,
            [
                "No model fine-tuned with these factors was given (--checkpoint): the second stage and the recovery of "
                    + "short contexts, which search on such a model, were left out. Up to \(original.grouped) tokens the model "
                    + "stays as it is."
            ]
        )
    }

    /// Runs the searches, smallest window first. Call it again with the same request and journal after an
    /// interruption: what the journal holds is not evaluated again, and the result is the same.
    public func run(
        on evaluator: some Evaluator, journal: SearchJournal,
        progress: (ExtensionProgress) -> Void = { _ in }
    ) async throws -> ExtensionResult {
        let plans = try await plans(on: evaluator, journal: journal)
        var stages: [ExtensionStage] = []
        for (job, (rungs, plan)) in zip(jobs, plans) {
            let windows = try corpus.windows(length: job.window)
            let previous = request.checkpoint == nil ? stages.last : nil
            var search = try FactorSearch(
                space: job.space, plan: plan, rungs: rungs, seeds: seeds(job, after: previous),
                randomSeed: request.seed)
            var evaluations: [(trial: Trial, nll: [Double])] = []
            var outcome: SearchOutcome?
            while outcome == nil {
                switch search.next() {
                case .finished(let found): outcome = found
                case .evaluate(let trials):
                    let results = try await evaluate(
                        trials, job, windows, on: evaluator, journal: journal
                    ) { done, total in
                        progress(
                            ExtensionProgress(
                                stage: job.name, progress: search.progress,
                                rung: rungs[trials[min(done, trials.count - 1)].rung].name, done: done,
                                total: total))
                    }
                    evaluations += zip(trials, results).map { ($0, $1) }
                    try search.record(results)
                }
            }
            if let outcome {
                stages.append(
                    ExtensionStage(
                        name: job.name, window: job.window, rungs: rungs, outcome: outcome,
                        evaluations: evaluations))
            }
        }
        return ExtensionResult(tables: tables(stages), stages: stages, remarks: remarks)
    }

    /// Rungs and plan of every search: those of the journal, or fitted to what evaluations are predicted to take. Each
    /// search gets the least that it needs, and of what is left a part by the root of what an evaluation at its length
    /// takes: the next search begins where a shorter one ended, and in the shorter one the same step costs a fraction.
    /// All are there before the first evaluation, so that a budget that is too small is told at once.
    private func plans(
        on evaluator: some Evaluator, journal: SearchJournal
    ) async throws -> [(rungs: [Rung], plan: SearchPlan)] {
        let known = jobs.compactMap { journal.plan(of: $0.name) }
        if known.count == jobs.count { return known }
        var rungs: [[Rung]] = []
        for job in jobs {
            var own: [Rung] = []
            for (rung, tokens) in Self.rungTokens(job.window).enumerated() {
                let parts = Self.gaps(rung, job).count
                let evaluations = parts * (request.method == .longrope2 ? Self.needlesPerEvaluation : 1)
                let cost = try await evaluator.seconds(tokens: tokens, workers: evaluator.workers)
                own.append(Rung(name: "\(tokens)", cost: cost * Double(evaluations), parts: parts))
            }
            rungs.append(own)
        }
        let finals = try jobs.map { try corpus.windows(length: $0.window).count - 1 }
        let seeds = jobs.indices.map { seedCount(jobs[$0], isFirst: $0 == 0) }
        let least = try jobs.indices.map {
            try SearchPlan.leastBudget(
                rungs: rungs[$0], seedCount: seeds[$0], finalDocuments: max(1, finals[$0]))
        }
        let needed = least.reduce(0, +)
        let rest = request.budget - needed
        guard rest >= 0 else {
            let each = zip(jobs, least).map { "\($0.name): \(Int($1.rounded(.up)))" }.joined(separator: ", ")
            throw ExtensionError(
                .invalidRequest,
                "a budget of \(Int(request.budget)) seconds (--budget) is not enough: the least that the searches take "
                    + "on this cluster is \(Int(needed.rounded(.up))) seconds (\(each))")
        }
        let roots = rungs.map { ($0.last?.cost ?? 0).squareRoot() }
        let sum = roots.reduce(0, +)
        var plans: [(rungs: [Rung], plan: SearchPlan)] = []
        for index in jobs.indices {
            var plan = try SearchPlan.fitting(
                budget: least[index] + rest * roots[index] / sum, rungs: rungs[index],
                seedCount: seeds[index], finalists: finals[index] > 0 ? 4 : 1,
                finalDocuments: max(1, finals[index]))
            if finals[index] == 0 { plan.finalists = 0 }
            plans.append((rungs[index], plan))
        }
        for (job, (rungs, plan)) in zip(jobs, plans) { try journal.record(plan, rungs: rungs, of: job.name) }
        return plans
    }

    /// 2,048 tokens, four times that, ..., the window.
    static func rungTokens(_ window: Int) -> [Int] {
        var tokens: [Int] = []
        var next = window
        while next >= leastRung || tokens.isEmpty {
            tokens.append(next)
            next /= rungGrowth
        }
        return tokens.prefix(3).reversed()
    }

    // MARK: Seeds

    private func seedCount(_ job: Job, isFirst: Bool) -> Int {
        seeds(job, after: nil).count + (isFirst || request.checkpoint != nil ? 0 : 1)
    }

    /// PI, NTK and YaRN; then what the last search found, stretched to this one's scale, or on a tuned model its own
    /// factors.
    private func seeds(_ job: Job, after previous: ExtensionStage?) -> [Candidate] {
        let space = job.space
        var seeds = [space.linear, space.ntk, space.yarn()]
        if let tuned = request.checkpoint?.table, space.base == nil {
            let ones = [Double](repeating: 1, count: space.pairs)
            seeds = [
                Candidate(factors: tuned.factors, attentionFactor: tuned.attentionFactor ?? 1),
                Candidate(factors: ones),
            ]
        }
        if let previous {
            let found = previous.outcome.best.candidate
            let before = Double(previous.window) / Double(request.base.originalContext)
            let growth = (space.scale - 1) / max(before - 1, 1e-9)
            let warmth = log(space.scale) / max(log(before), 1e-9)
            seeds.append(
                Candidate(
                    factors: found.factors.map { 1 + ($0 - 1) * growth }, startTokens: found.startTokens,
                    attentionFactor: 1 + (found.attentionFactor - 1) * warmth, origin: .stretched))
        }
        return seeds
    }

    // MARK: Evaluation

    private func evaluate(
        _ trials: [Trial], _ job: Job, _ windows: [[UInt32]], on evaluator: some Evaluator,
        journal: SearchJournal, progress: (_ done: Int, _ total: Int) -> Void
    ) async throws -> [[Double]] {
        let missing = trials.filter { journal.result($0, stage: job.name) == nil }
        var done = trials.count - missing.count
        progress(done, trials.count)
        let clock = ContinuousClock()
        _ = try await evaluator.all(missing) { trial, workers in
            let start = clock.now
            let measured = trial.purpose == .final ? Array(windows.dropFirst()) : [windows[0]]
            var sums = [Double](repeating: 0, count: Self.gaps(trial.rung, job).count)
            for window in measured {
                for (part, gap) in Self.gaps(trial.rung, job).enumerated() {
                    sums[part] += try await score(trial, job, window, gap, on: evaluator, workers: workers)
                }
            }
            return (
                nll: sums.map { $0 / Double(measured.count) }, seconds: (clock.now - start) / .seconds(1)
            )
        } done: { index, result in
            try journal.record(result.nll, of: missing[index], stage: job.name, seconds: result.seconds)
            done += 1
            progress(done, trials.count)
        }
        return trials.map { journal.result($0, stage: job.name) ?? [] }
    }

    /// The parts of an evaluation on a rung. At full length there is one; a cheap rung's tokens are evaluated as they
    /// stand, which shows what the factors do to the text nearby, and spread over the window, which shows what they do
    /// far off.
    private static func gaps(_ rung: Int, _ job: Job) -> [PositionGap?] {
        guard let gap = PositionGap(spreading: rungTokens(job.window)[rung], over: job.window, pieces: pieces)
        else {
            return [nil]
        }
        return [nil, gap]
    }

    /// The mean negative log-likelihood of a window's first tokens, as many as the rung has, or of the needles in them.
    private func score(
        _ trial: Trial, _ job: Job, _ window: [UInt32], _ gap: PositionGap?, on evaluator: some Evaluator,
        workers: Int
    ) async throws -> Double {
        let tokens = Self.rungTokens(job.window)[trial.rung]
        let positions = Positions("candidate", .tables([job.table(trial.candidate)]), gap: gap)
        guard request.method == .longrope2, let needles else {
            let nlls = try await evaluator.score(Array(window.prefix(tokens)), positions, workers: workers)
            return DocumentScore(nlls.lazy.map(Double.init)).mean
        }
        var sum = 0.0
        let haystack = window.prefix(tokens)
        let newlines = haystack.indices.filter { needles.isLineEnd(haystack[$0]) }
        for number in 0..<Self.needlesPerEvaluation {
            let prompt = try NeedleTask(seed: request.seed &+ UInt64(number)).prompt(
                haystack: haystack.map { Int32(bitPattern: $0) }, newlines: newlines, length: tokens,
                // All in the first half, so that the question is far off.
                depth: 0.05 + 0.2 * Double(number), encode: needles.encode)
            sum += try await evaluator.loss(
                of: prompt.answer, in: prompt.tokens.map { UInt32(bitPattern: $0) }, positions,
                workers: workers)
        }
        return sum / Double(Self.needlesPerEvaluation)
    }

    // MARK: Result

    private func tables(_ stages: [ExtensionStage]) -> [RotaryTable] {
        var tables = stages.map { stage in
            let found = stage.outcome.best.candidate
            return RotaryTable(
                window: stage.window, factors: found.factors, startTokens: found.startTokens,
                attentionFactor: found.attentionFactor)
        }
        if let tuned = request.checkpoint?.table {
            tables.append(tuned)
        } else {
            tables.append(
                RotaryTable(
                    window: request.base.originalContext,
                    factors: Array(repeating: 1, count: request.base.pairs),
                    attentionFactor: 1))
        }
        return tables.sorted { $0.window < $1.window }
    }
}
