// The journal of a search: every evaluation, a line each, so that an interrupted search goes on where it was.
package import FactorSearch
import Foundation

/// One line of the journal.
enum JournalLine: Codable, Sendable {
    /// The first line: what the search was asked. A search with another one may not go on from this journal.
    case search(identity: String)
    /// A stage's rungs and plan. They rest on measured times, so a search that goes on takes them from here.
    case stage(name: String, rungs: [Rung], plan: SearchPlan)
    /// Mean negative log-likelihoods, natural logarithm, one for each part; null where it was no number.
    case evaluation(stage: String, trial: Trial, nll: [Double?], seconds: Double)
}

/// An append-only file of JSON lines. Each is on the disk before the search goes on.
public final class SearchJournal {
    private struct Key: Hashable {
        let stage: String
        let trial: Trial
    }

    public let path: String
    private let handle: FileHandle
    private var results: [Key: [Double]] = [:]
    private var stages: [String: (rungs: [Rung], plan: SearchPlan)] = [:]
    private let encoder = JSONEncoder()

    /// Evaluations that were there when the journal was opened.
    public private(set) var restored = 0

    /// A journal longer than this is refused, in bytes.
    private static let largestFile = 1 << 30

    /// Opens the journal, or begins one.
    ///
    /// A last line that a crash cut short is dropped.
    /// - Parameters:
    ///   - identity: of all that the search was asked; must be that of the journal.
    ///   - isNew: Whether what the journal holds is forgotten.
    /// - Throws: `foreignJournal`, `unusableFile`.
    public init(path: String, identity: String, isNew: Bool = false) throws(ExtensionError) {
        self.path = path
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .throw
        func unusable(_ problem: String) -> ExtensionError {
            ExtensionError(.unusableFile, "the search's journal \(path): \(problem)")
        }
        let manager = FileManager.default
        if !manager.fileExists(atPath: path), !manager.createFile(atPath: path, contents: nil) {
            throw unusable("cannot be made; check the folder's permissions and free space")
        }
        guard let handle = FileHandle(forUpdatingAtPath: path) else {
            throw unusable("cannot be opened for writing")
        }
        self.handle = handle
        let data: Data
        do {
            if isNew { try handle.truncate(atOffset: 0) }
            data = try handle.read(upToCount: Self.largestFile + 1) ?? Data()
        } catch { throw unusable("cannot be read: \(error.localizedDescription)") }
        guard data.count <= Self.largestFile else {
            throw unusable("is larger than 1 GiB, no journal of a search")
        }
        let whole = data.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? data.startIndex
        let decoder = JSONDecoder()
        var isFirst = true
        var number = 0
        for text in data[..<whole].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .dropLast()
        {
            number += 1
            guard let line = try? decoder.decode(JournalLine.self, from: Data(text)) else {
                throw unusable("line \(number) is not one of a search's; move the file away to begin anew")
            }
            switch line {
            case .search(let found):
                guard isFirst, found == identity else {
                    throw ExtensionError(
                        .foreignJournal,
                        "\(path) is the journal of another search (other model, texts, lengths, budget or seed); choose "
                            + "another --output, or begin anew with --restart")
                }
            case .stage(let name, let rungs, let plan): stages[name] = (rungs, plan)
            case .evaluation(let stage, let trial, let nll, _):
                results[Key(stage: stage, trial: trial)] = nll.map { $0 ?? .infinity }
                restored += 1
            }
            isFirst = false
        }
        do {
            try handle.truncate(atOffset: UInt64(whole))
            try handle.seekToEnd()
        } catch { throw unusable("cannot be written: \(error.localizedDescription)") }
        if isFirst { try append(.search(identity: identity)) }
    }

    deinit { try? handle.close() }

    func result(_ trial: Trial, stage: String) -> [Double]? { results[Key(stage: stage, trial: trial)] }

    package func plan(of stage: String) -> (rungs: [Rung], plan: SearchPlan)? { stages[stage] }

    func record(_ plan: SearchPlan, rungs: [Rung], of stage: String) throws(ExtensionError) {
        try append(.stage(name: stage, rungs: rungs, plan: plan))
        stages[stage] = (rungs, plan)
    }

    func record(_ nll: [Double], of trial: Trial, stage: String, seconds: Double) throws(ExtensionError) {
        try append(
            .evaluation(stage: stage, trial: trial, nll: nll.map { $0.isFinite ? $0 : nil }, seconds: seconds)
        )
        results[Key(stage: stage, trial: trial)] = nll
    }

    private func append(_ line: JournalLine) throws(ExtensionError) {
        do {
            try handle.write(contentsOf: encoder.encode(line) + Data("\n".utf8))
            try handle.synchronize()
        } catch {
            throw ExtensionError(
                .unusableFile, "the search's journal \(path) cannot be written: \(error.localizedDescription)"
            )
        }
    }
}
