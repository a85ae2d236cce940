// The texts that candidates are judged on: windows of one length from documents, search and finals apart.
import Evaluation

/// Windows of texts for a search: the first guides it, the others decide among the finalists.
public struct Corpus: Sendable {
    /// In tokens.
    public let documents: [Document]

    /// The most further windows that finalists are judged on.
    static let mostFinals = 2

    public init(documents: [Document]) { self.documents = documents }

    /// Up to `1 + mostFinals` windows of `length` tokens: the beginnings of all documents that are long enough, then
    /// what follows these.
    /// - Throws: `EvaluationError` (`textTooShort`) with the figures when there is none.
    func windows(length: Int) throws(EvaluationError) -> [[UInt32]] {
        let cutter = try PerplexityWindows(length: length)
        _ = try cutter.prefixes(ofDocuments: documents.map(\.tokens.count))
        var windows: [[UInt32]] = []
        var start = 0
        while windows.count < 1 + Self.mostFinals {
            let long = documents.filter { $0.tokens.count >= start + length }
            guard !long.isEmpty else { break }
            windows += long.map { Array($0.tokens[start..<start + length]) }
            start += length
        }
        return Array(windows.prefix(1 + Self.mostFinals))
    }
}
