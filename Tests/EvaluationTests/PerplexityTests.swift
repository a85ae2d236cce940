// Windows cover what they should, once; summaries against values worked out by hand.
import Evaluation
import Foundation
import Sampling
import Testing

@Suite("Perplexity windows")
struct PerplexityWindowsTests {
    @Test("Sliding: every token is scored once, with enough before it", arguments: [false, true])
    func sliding(addsBeginning: Bool) throws {
        var generator = SplitMix64(seed: 1)
        for _ in 0..<500 {
            let length = Int.random(in: 2...40, using: &generator)
            let stride = Int.random(in: 1..<length, using: &generator)
            let tokens = Int.random(in: length...300, using: &generator)
            let windows = try PerplexityWindows(length: length, addsBeginning: addsBeginning)
                .sliding(tokens: tokens, stride: stride, document: 3)
            var scored = [Int](repeating: 0, count: tokens)
            for (index, window) in windows.enumerated() {
                #expect(window.document == 3)
                #expect(window.tokens.count + (addsBeginning ? 1 : 0) == length)
                #expect(window.tokens.lowerBound >= 0 && window.tokens.upperBound <= tokens)
                #expect(!window.scored.isEmpty && window.scored.upperBound == window.tokens.upperBound)
                #expect(window.scored.clamped(to: window.tokens) == window.scored)
                let before = window.scored.lowerBound - window.tokens.lowerBound + (addsBeginning ? 1 : 0)
                #expect(before >= (index == 0 ? 1 : length - stride))
                for token in window.scored { scored[token] += 1 }
            }
            #expect(scored[0] == (addsBeginning ? 1 : 0))
            #expect(scored.dropFirst().allSatisfy { $0 == 1 })
            // No more windows than needed.
            let text = addsBeginning ? length - 1 : length
            #expect(windows.count == 1 + (tokens - text + stride - 1) / stride)
        }
    }

    @Test("Side by side: offsets are multiples of the length, and the rest is left")
    func successive() throws {
        let windows = try PerplexityWindows(length: 10).successive(tokens: 35)
        #expect(windows.map(\.tokens) == [0..<10, 10..<20, 20..<30])
        #expect(windows.map(\.scored) == [1..<10, 11..<20, 21..<30])
        let begun = try PerplexityWindows(length: 10, addsBeginning: true).successive(tokens: 27)
        #expect(
            begun.map(\.tokens) == [0..<9, 9..<18, 18..<27] && begun.map(\.scored) == begun.map(\.tokens))
    }

    @Test("Prefixes: documents that are long enough, in order")
    func prefixes() throws {
        let windows = try PerplexityWindows(length: 10).prefixes(ofDocuments: [9, 10, 3, 50, 11], limit: 2)
        #expect(windows.map(\.document) == [1, 3])
        #expect(windows.allSatisfy { $0.tokens == 0..<10 && $0.scored == 1..<10 })
        #expect(
            try PerplexityWindows(length: 10, addsBeginning: true)
                .prefixes(ofDocuments: [9, 10, 3]).map(\.document) == [0, 1])
    }

    @Test("A limit keeps the first windows")
    func limits() throws {
        let windows = try PerplexityWindows(length: 10)
        #expect(try windows.successive(tokens: 100, limit: 3).map(\.tokens.lowerBound) == [0, 10, 20])
        #expect(
            try windows.sliding(tokens: 100, stride: 4, limit: 3).map(\.scored) == [1..<10, 10..<14, 14..<18])
        #expect(throws: EvaluationError.self) { try windows.successive(tokens: 100, limit: 0) }
        #expect(throws: EvaluationError.self) { try windows.prefixes(ofDocuments: [100], limit: -1) }
        // Nothing overflows near the end of the integers.
        #expect(
            try windows.sliding(tokens: .max, stride: 9, limit: 2).map(\.tokens) == [0..<10, 9..<19])
    }

    @Test("What does not fit is refused with the figures")
    func errors() throws {
        let windows = try PerplexityWindows(length: 65_536)
        func message<T>(_ body: () throws -> T) throws -> String {
            try #require(throws: EvaluationError.self) { _ = try body() }.description
        }
        #expect(
            try message { try windows.successive(tokens: 12_345) }
                == "the corpus has 12,345 tokens; a window of 65,536 needs at least 65,536; use a longer text or a shorter "
                + "window")
        #expect(
            try message { try windows.prefixes(ofDocuments: [5, 12_345, 7]) }
                == "the longest of 3 documents has 12,345 tokens; a window of 65,536 needs at least 65,536; use a longer "
                + "text or a shorter window")
        #expect(try message { try windows.prefixes(ofDocuments: []) }.contains("no documents"))
        #expect(try message { try windows.sliding(tokens: 100_000, stride: 65_536) }.contains("1 to 65,535"))
        #expect(try message { try windows.sliding(tokens: 100_000, stride: 0) }.contains("1 to 65,535"))
        let begun = try PerplexityWindows(length: 4096, addsBeginning: true)
        #expect(
            try message { try begun.successive(tokens: 9) }.contains("at least 4,095 and the beginning token")
        )
        #expect(throws: EvaluationError.self) { try PerplexityWindows(length: 1) }
    }
}

@Suite("Perplexity")
struct PerplexitySummaryTests {
    @Test("Mean, perplexity and error of hand-computed values")
    func summary() throws {
        // Means 2, 3 and 7: mean 4, squares 4 + 1 + 9 = 14, variance 7, error sqrt(7 / 3).
        var last = DocumentScore([6])
        last.add([8])
        let summary = try PerplexitySummary([DocumentScore([1, 3]), DocumentScore([3, 3, 3]), last])
        #expect(summary.documents == 3 && summary.tokens == 7)
        #expect(summary.meanNLL == 4)
        #expect(summary.perplexity == exp(4))
        let error = try #require(summary.standardError)
        #expect(abs(error - (7.0 / 3).squareRoot()) < 1e-12)
        #expect(summary.perplexityError == exp(4) * error)
    }

    @Test("A uniform model's perplexity is the number of tokens it chooses from")
    func uniform() throws {
        let summary = try PerplexitySummary([DocumentScore(Array(repeating: log(49_152), count: 65_535))])
        #expect(abs(summary.perplexity / 49_152 - 1) < 1e-9)
        #expect(summary.standardError == nil && summary.perplexityError == nil)
    }

    @Test("Differences are taken document by document")
    func paired() throws {
        // Documents differ by far more than the methods: differences -0.1, -0.2, -0.3.
        let first = [[1.0, 2], [5], [9, 9, 9]].map { DocumentScore($0) }
        let second = [[1.1, 2.1], [5.2], [9.3, 9.3, 9.3]].map { DocumentScore($0) }
        let comparison = try PairedComparison(first, second)
        #expect(comparison.documents == 3)
        #expect(abs(comparison.meanDifference + 0.2) < 1e-12)
        let error = try #require(comparison.standardError)
        #expect(abs(error - 0.1 / 3.0.squareRoot()) < 1e-12)
        #expect(abs(comparison.perplexityRatio - exp(-0.2)) < 1e-12)
        #expect(try PerplexitySummary(first).standardError ?? 0 > 20 * error)
    }

    @Test("Scores that say nothing are refused")
    func errors() throws {
        let good = DocumentScore([1.0])
        #expect(throws: EvaluationError.self) { try PerplexitySummary([]) }
        #expect(throws: EvaluationError.self) { try PerplexitySummary([good, DocumentScore()]) }
        let error = try #require(throws: EvaluationError.self) {
            try PerplexitySummary([good, DocumentScore([1, .nan])])
        }
        #expect(error.code == .invalidScores && error.description.contains("document 2"))
        #expect(throws: EvaluationError.self) { try PerplexitySummary([DocumentScore([.infinity])]) }
        #expect(throws: EvaluationError.self) { try PairedComparison([good], [good, good]) }
        #expect(throws: EvaluationError.self) { try PairedComparison([], []) }
        #expect(throws: EvaluationError.self) { try PairedComparison([good], [DocumentScore([1, 1])]) }
        #expect(throws: EvaluationError.self) { try PairedComparison([good], [DocumentScore([-.infinity])]) }
    }
}
