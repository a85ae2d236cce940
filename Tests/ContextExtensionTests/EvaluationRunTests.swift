// Perplexity and retrieval over an evaluator: what is asked of it and how the answers are put together.
import ContextExtension
import Evaluation
import Foundation
import LongRoPE
import Synchronization
import Testing

/// Token i of a document costs i / 1000; remembers what it was asked.
private final class IndexEvaluator: Evaluator {
    let workers = 2
    let asked = Mutex<[(first: UInt32, count: Int, name: String, workers: Int)]>([])

    func score(_ tokens: [UInt32], _ positions: Positions, workers: Int) async throws -> [Float] {
        asked.withLock { $0.append((tokens[0], tokens.count, positions.name, workers)) }
        return tokens.dropFirst().map { Float($0) / 1000 }
    }
    func generate(
        after tokens: [UInt32], count: Int, _ positions: Positions, workers: Int
    ) async throws -> String { "" }
    func seconds(tokens: Int, workers: Int) async throws -> Double { 1 }
}

@Suite("Evaluations")
struct EvaluationRunTests {
    private let documents = [100, 60, 30].enumerated().map { number, count in
        Document(name: "d\(number)", tokens: (0..<UInt32(count)).map { $0 + UInt32(1000 * number) })
    }

    @Test("Whole windows: the documents that are long enough, the same for every method")
    func whole() async throws {
        let evaluator = IndexEvaluator()
        var steps = 0
        let table = try await PerplexityEvaluation(
            methods: [Positions("a", .model), Positions("b", .named("none"))], lengths: [20, 50], limit: 2
        ).run(documents, on: evaluator) { step in
            steps += 1
            #expect(step.total == 8)
        }
        #expect(steps == 8 && table.methods == ["a", "b"])
        // Tokens 1...49 of documents 0 and 1.
        let summary = try table.summary(method: 1, length: 1)
        #expect(summary.documents == 2 && summary.tokens == 98)
        #expect(abs(summary.meanNLL - (0.025 + 1.025) / 2) < 1e-6)
        #expect(evaluator.asked.withLock { $0.allSatisfy { $0.workers == 1 } })
    }

    @Test("Sliding windows count every token once")
    func sliding() async throws {
        let evaluator = IndexEvaluator()
        let table = try await PerplexityEvaluation(
            methods: [Positions("a", .model)], lengths: [30], windows: .sliding(stride: 10), limit: 100
        ).run([documents[0]], on: evaluator)
        let summary = try table.summary(method: 0, length: 0)
        #expect(summary.tokens == 99 && summary.documents == 1)
        #expect(abs(summary.meanNLL - 0.05) < 1e-6)
        #expect(evaluator.asked.withLock { $0.map(\.first).sorted() } == [0, 10, 20, 30, 40, 50, 60, 70])
    }

    @Test("A single evaluation gets all workers")
    func allWorkers() async throws {
        let evaluator = IndexEvaluator()
        _ = try await PerplexityEvaluation(methods: [Positions("a", .model)], lengths: [20], limit: 1)
            .run(documents, on: evaluator)
        #expect(evaluator.asked.withLock { $0.map(\.workers) } == [2])
    }

    @Test("Texts that are too short are refused before anything runs")
    func tooShort() async throws {
        let evaluator = IndexEvaluator()
        let evaluation = PerplexityEvaluation(
            methods: [Positions("a", .model)], lengths: [20, 101], limit: 1)
        #expect(throws: EvaluationError.self) { try evaluation.check(documents) }
        await #expect(throws: EvaluationError.self) { try await evaluation.run(documents, on: evaluator) }
        #expect(evaluator.asked.withLock { $0.isEmpty })
    }

    @Test("Pass keys by depth and length, method by method")
    func passkeys() async throws {
        let base = try RotaryBase(theta: 1e4, rotaryDimension: 16, originalContext: 64)
        let table = try await RetrievalEvaluation(
            .passkey, methods: [Positions("a", .model), Positions("b", .named("none"))],
            lengths: [1000, 2000],
            depths: [0, 0.9], samples: 2, seed: 7
        ).run(
            on: SyntheticEvaluator(base: base, workers: 3),
            encode: { $0.unicodeScalars.map { Int32($0.value) } },
            isLineEnd: { _ in false })
        // The synthetic model finds keys of the second half.
        #expect(table.values == Array(repeating: [[0, 0], [1, 1]], count: 2))
        #expect(table.byLength == Array(repeating: [0.5, 0.5], count: 2))
    }

    @Test("Needles are judged by the tokens of their number alone")
    func needles() async throws {
        let text = (0..<3000).map { UInt32($0 % 40 == 39 ? 10 : 97) }
        let evaluator = DigitEvaluator()
        let evaluation = RetrievalEvaluation(
            .needle, methods: [Positions("a", .model)], lengths: [1500], depths: [0.5], samples: 1, seed: 7)
        let encode: @Sendable (String) -> [Int32] = { $0.unicodeScalars.map { Int32($0.value) } }
        let table = try await evaluation.run(
            [Document(name: "x", tokens: text)], on: evaluator, encode: encode, isLineEnd: { $0 == 10 })
        #expect(table.values == [[[1]]])
        await #expect(throws: ExtensionError.self) {
            try await evaluation.run([], on: evaluator, encode: encode, isLineEnd: { $0 == 10 })
        }
    }
}

/// A digit at the end costs 1, anything else 100.
private struct DigitEvaluator: Evaluator {
    let workers = 1
    func score(_ tokens: [UInt32], _ positions: Positions, workers: Int) async throws -> [Float] {
        let digits = tokens.indices.suffix(7)
        return tokens.indices.dropFirst().map {
            digits.contains($0) && (48...57).contains(tokens[$0]) ? 1 : 100
        }
    }
    func generate(
        after tokens: [UInt32], count: Int, _ positions: Positions, workers: Int
    ) async throws -> String { "" }
    func seconds(tokens: Int, workers: Int) async throws -> Double { 1 }
}
