// What runs evaluations, and how positions turn in one: the border between this target and the cluster.
import Evaluation
public import LongRoPE

/// How a sequence's positions turn in one evaluation.
public struct Positions: Sendable, Hashable {
    public enum Method: Sendable, Hashable {
        /// As the model file says.
        case model
        /// `yarn:8`, see `RotaryMethodName`.
        case named(String)
        /// LongRoPE factors.
        case tables([RotaryTable])
    }

    /// For tables and pictures: "YaRN", "searched".
    public let name: String
    public let method: Method
    /// Positions left out.
    public let gap: PositionGap?

    public init(_ name: String, _ method: Method, gap: PositionGap? = nil) {
        self.name = name
        self.method = method
        self.gap = gap
    }
}

/// Runs evaluations on a cluster: each is one job. Calls may come at the same time; how many is the caller's to bound.
public protocol Evaluator: Sendable {
    /// How many workers there are.
    var workers: Int { get }

    /// The negative log-likelihood, natural logarithm, of every token but the first.
    /// - Parameter workers: use so many, more only where memory needs them.
    func score(_ tokens: [UInt32], _ positions: Positions, workers: Int) async throws -> [Float]

    /// The text of the `count` likeliest next tokens, one after another.
    func generate(
        after tokens: [UInt32], count: Int, _ positions: Positions, workers: Int
    ) async throws -> String

    /// How long scoring so many tokens takes.
    func seconds(tokens: Int, workers: Int) async throws -> Double
}

extension Evaluator {
    /// Results in the order of `work`, with as many evaluations at the same time as there are workers. Where there
    /// are fewer evaluations than workers, each takes its part of them.
    func all<Work: Sendable, Result: Sendable>(
        _ work: [Work], _ evaluate: @escaping @Sendable (_ work: Work, _ workers: Int) async throws -> Result,
        done: (_ index: Int, _ result: Result) throws -> Void
    ) async throws -> [Result] {
        guard !work.isEmpty else { return [] }
        let each = Swift.max(1, workers / work.count)
        return try await withThrowingTaskGroup(of: (Int, Result).self) { group in
            var results = [Result?](repeating: nil, count: work.count)
            var next = 0
            func start() {
                let index = next
                next += 1
                group.addTask { (index, try await evaluate(work[index], each)) }
            }
            while next < Swift.min(work.count, workers) { start() }
            while let (index, result) = try await group.next() {
                results[index] = result
                try done(index, result)
                if next < work.count { start() }
            }
            return results.compactMap(\.self)
        }
    }
}

/// A text of a corpus as the model's tokens.
public struct Document: Sendable {
    public let name: String
    public let tokens: [UInt32]

    public init(name: String, tokens: [UInt32]) {
        self.name = name
        self.tokens = tokens
    }
}

/// A request that cannot be served, with the figures that say why.
public struct ExtensionError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// Lengths, methods or texts do not fit each other.
        case invalidRequest
        /// The journal of an interrupted search is not of this search.
        case foreignJournal
        /// A file cannot be read or written.
        case unusableFile
    }

    public let code: Code
    /// For people: the thing, the limit and the remedy.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

extension Evaluator {
    /// The mean negative log-likelihood of some tokens of a sequence, each after all before it.
    /// - Parameter part: not empty, and not from the first token on, which follows nothing.
    func loss(
        of part: Range<Int>, in tokens: [UInt32], _ positions: Positions, workers: Int
    ) async throws -> Double {
        let nlls = try await score(tokens, positions, workers: workers)
        return DocumentScore(nlls[part.lowerBound - 1..<part.upperBound - 1].lazy.map(Double.init)).mean
    }
}
