// Retrieval by depth and length: pass keys found in filler, needles' likelihood in real text.
import Evaluation
import Numerals

/// Where in how long a prompt something is hidden.
private struct Place: Sendable {
    let method: Int
    let length: Int
    let depth: Int
    let sample: Int
}

/// What retrieval gave: a value for each method, depth and length.
public struct RetrievalTable: Sendable {
    public let methods: [String]
    /// In tokens.
    public let lengths: [Int]
    /// 0 (start) to 1 (end).
    public let depths: [Double]
    /// [method][depth][length]: the mean over samples.
    public let values: [[[Double]]]

    /// The mean over depths, [method][length].
    public var byLength: [[Double]] {
        values.map { rows in
            lengths.indices.map { length in rows.map { $0[length] }.reduce(0, +) / Double(depths.count) }
        }
    }
}

/// The question of both tasks.
public struct RetrievalEvaluation: Sendable {
    public enum Task: Sendable, Hashable {
        /// LongRoPE's pass key: the share of prompts whose number was found.
        case passkey
        /// LongRoPE2's needle in a document: the mean negative log-likelihood of its digits.
        case needle
    }

    public var task: Task
    public var methods: [Positions]
    public var lengths: [Int]
    public var depths: [Double]
    /// Prompts for each depth and length.
    public var samples: Int
    public var seed: UInt64

    public init(
        _ task: Task, methods: [Positions], lengths: [Int], depths: [Double], samples: Int, seed: UInt64
    ) {
        self.task = task
        self.methods = methods
        self.lengths = lengths
        self.depths = depths
        self.samples = samples
        self.seed = seed
    }

    /// One finished evaluation.
    public struct Step: Sendable {
        public let method: String
        public let length: Int
        public let depth: Double
        public let done: Int
        public let total: Int
        /// Pass key: 1 found, 0 not; needle: mean negative log-likelihood.
        public let value: Double
        /// What the model said.
        public let answer: String
    }

    /// The longest answer to the question for a pass key, in tokens (the released code's).
    private static let answerTokens = 10

    /// - Parameters:
    ///   - documents: the haystacks of needles; not used for pass keys.
    ///   - encode: a text's tokens, as the model takes a prompt.
    ///   - isLineEnd: whether a token ends a line.
    /// - Throws: `EvaluationError` where a length does not hold the task or a document is too short, before anything
    ///   runs.
    public func run(
        _ documents: [Document] = [], on evaluator: some Evaluator, encode: @Sendable (String) -> [Int32],
        isLineEnd: (UInt32) -> Bool, progress: (Step) -> Void = { _ in }
    ) async throws -> RetrievalTable {
        var prompts: [[Prompt]] = []
        for length in lengths { prompts.append(try self.prompts(length, documents, encode, isLineEnd)) }
        var work: [Place] = []
        for length in lengths.indices {
            for method in methods.indices {
                for depth in depths.indices {
                    for sample in 0..<samples {
                        work.append(Place(method: method, length: length, depth: depth, sample: sample))
                    }
                }
            }
        }
        let (methods, samples, all) = (methods, samples, prompts)
        let results = try await evaluator.all(work) { place, workers in
            try await all[place.length][place.depth * samples + place.sample].evaluate(
                methods[place.method], on: evaluator, workers: workers)
        } done: { index, result in
            let place = work[index]
            progress(
                Step(
                    method: methods[place.method].name, length: lengths[place.length],
                    depth: depths[place.depth],
                    done: index + 1, total: work.count, value: result.value, answer: result.answer))
        }
        var values = [[[Double]]](
            repeating: [[Double]](
                repeating: [Double](repeating: 0, count: lengths.count), count: depths.count),
            count: methods.count)
        for (place, result) in zip(work, results) {
            values[place.method][place.depth][place.length] += result.value / Double(samples)
        }
        return RetrievalTable(methods: methods.map(\.name), lengths: lengths, depths: depths, values: values)
    }

    /// Throws what `run` would, before anything is started: lengths or texts that are too short.
    public func check(
        _ documents: [Document] = [], encode: (String) -> [Int32], isLineEnd: (UInt32) -> Bool
    ) throws {
        var one = self
        one.depths = Array(depths.prefix(1))
        one.samples = 1
        for length in lengths {
            do { _ = try one.prompts(length, documents, encode, isLineEnd) } catch let error
                as EvaluationError
            {
                throw ExtensionError(.invalidRequest, "a length of \(length.grouped) tokens: \(error)")
            }
        }
    }

    private enum Prompt: Sendable {
        case passkey(PasskeyTask, [UInt32])
        case needle([UInt32], answer: Range<Int>)

        func evaluate(
            _ positions: Positions, on evaluator: some Evaluator, workers: Int
        ) async throws -> (value: Double, answer: String) {
            switch self {
            case .passkey(let task, let tokens):
                let answer = try await evaluator.generate(
                    after: tokens, count: RetrievalEvaluation.answerTokens, positions, workers: workers)
                return (task.isFound(in: answer) ? 1 : 0, answer)
            case .needle(let tokens, let answer):
                return (try await evaluator.loss(of: answer, in: tokens, positions, workers: workers), "")
            }
        }
    }

    /// The prompts of one length, depth by depth: the same for every method.
    private func prompts(
        _ length: Int, _ documents: [Document], _ encode: (String) -> [Int32], _ isLineEnd: (UInt32) -> Bool
    ) throws -> [Prompt] {
        var prompts: [Prompt] = []
        for (index, depth) in depths.enumerated() {
            for sample in 0..<samples {
                let number = UInt64(index * samples + sample)
                switch task {
                case .passkey:
                    let task = PasskeyTask(seed: seed &+ number)
                    // Room for the answer, so that the whole sequence has the length.
                    let prompt = try task.prompt(
                        length: length - Self.answerTokens, depth: depth, encode: encode)
                    prompts.append(.passkey(task, prompt.tokens.map { UInt32(bitPattern: $0) }))
                case .needle:
                    guard !documents.isEmpty else {
                        throw ExtensionError(
                            .invalidRequest, "needles need texts to hide in; give --corpus FILE")
                    }
                    let text = documents[(index + sample) % documents.count].tokens
                    let prompt = try NeedleTask(seed: seed &+ number).prompt(
                        haystack: text.map { Int32(bitPattern: $0) },
                        newlines: text.indices.filter { isLineEnd(text[$0]) }, length: length, depth: depth,
                        encode: encode)
                    prompts.append(
                        .needle(prompt.tokens.map { UInt32(bitPattern: $0) }, answer: prompt.answer))
                }
            }
        }
        return prompts
    }
}
