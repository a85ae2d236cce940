// Model files that differ from a small one of Tests/Golden in a key or a tensor.
import Foundation
import GGUF
import TestSupport
import Transformer

/// Runs `body` with the path of a copy of a golden file that is edited so, and removes the copy.
func withCopy<R>(
    of golden: String, _ edit: (inout GGUFEdit) -> Void, _ body: (String) async throws -> R
) async throws -> R {
    let folder = FileManager.default.temporaryDirectory.appending(component: "lariat-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appending(component: golden).path
    var changes = GGUFEdit()
    edit(&changes)
    try GGUFFile(path: Golden.path(golden)).writeCopy(to: path, edit: changes)
    return try await body(path)
}

/// Why such a copy is refused; nil when it is not.
func refusal(of golden: String, _ edit: (inout GGUFEdit) -> Void) async throws -> String? {
    try await withCopy(of: golden, edit) { path in
        do throws(ModelError) {
            _ = try Model(path: path)
            return nil
        } catch { return error.description }
    }
}

/// The mean negative log-likelihood of the tokens in rope-ids.json.
func meanNLL(_ path: String, workers: Int = 1) async throws -> Double {
    let tokens: [Int32] = try Golden.json("rope-ids.json")
    let nll = try await ShardedModel(model: Model(path: path), workers: workers)
        .negativeLogLikelihood(tokens)
    return nll.reduce(0) { $0 + Double($1) } / Double(nll.count)
}
