// An evaluator without a model: likelihoods from a formula with a known best answer.
import ContextExtension
import Foundation
import LongRoPE
import Synchronization

/// The loss of a token grows with the distance of its factors from the best ones for the window that is used, and with
/// the distance of the attention factor from the best one.
final class SyntheticEvaluator: Evaluator {
    struct Killed: Error {}

    let workers: Int
    let base: RotaryBase
    private let state: Mutex<(calls: Int, running: Int, most: Int)> = Mutex((0, 0, 0))
    /// The evaluation, counted from 1, that does not come back.
    let killedAt: Int?

    init(base: RotaryBase, workers: Int = 1, killedAt: Int? = nil) {
        self.base = base
        self.workers = workers
        self.killedAt = killedAt
    }

    var calls: Int { state.withLock { $0.calls } }
    var mostAtOnce: Int { state.withLock { $0.most } }

    /// s^(i/(d/2-1))^0.8, a bit more than s at the end.
    static func best(window: Int, _ base: RotaryBase) -> [Double] {
        let scale = max(1, Double(window) / Double(base.originalContext))
        return (0..<base.pairs).map { pow(1.1 * scale, pow(Double($0) / Double(base.pairs - 1), 0.8)) }
    }

    private func begin() throws {
        try state.withLock { state in
            state.calls += 1
            state.running += 1
            state.most = max(state.most, state.running)
            if state.calls == killedAt { throw Killed() }
        }
    }

    func score(_ tokens: [UInt32], _ positions: Positions, workers: Int) async throws -> [Float] {
        try begin()
        // Others may start meanwhile.
        if self.workers > 1 { try await Task.sleep(for: .milliseconds(1)) }
        defer { state.withLock { $0.running -= 1 } }
        let gaps = positions.gap.map { (tokens.count - 1) / $0.every * $0.length } ?? 0
        let last = tokens.count + gaps
        let method: any RotaryMethod =
            switch positions.method {
            case .model: UnscaledPositions()
            case .named(let name): try RotaryMethodName.parse(name)
            case .tables(let tables): try LongRoPETables(tables: tables)
            }
        let profile = try method.profile(total: last, of: base)
        // Factors for a window are judged by it, but the beginning of a text shows only the faster half of the pairs.
        var window = last
        var pairs = base.pairs
        if case .tables = positions.method, last < profile.window {
            window = profile.window
            pairs /= 2
        }
        var loss = 2.0
        for (factor, best) in Array(zip(profile.factors, Self.best(window: window, base))).prefix(pairs) {
            loss += pow(log(factor / best), 2) / Double(base.pairs)
        }
        loss += pow(profile.attentionFactor - 1.05, 2)
        // A cheap rung is not quite the truth.
        if let gap = positions.gap { loss += 0.001 * Double(gap.length % 7) }
        return [Float](repeating: Float(loss), count: tokens.count - 1)
    }

    func generate(
        after tokens: [UInt32], count: Int, _ positions: Positions, workers: Int
    ) async throws -> String {
        try begin()
        state.withLock { $0.running -= 1 }
        // Finds what is hidden in the second half, where tokens are the scalars of the text.
        let text = String(String.UnicodeScalarView(tokens.compactMap(Unicode.Scalar.init)))
        guard let found = text.range(of: "The pass key is "),
            text.distance(from: text.startIndex, to: found.lowerBound) > text.count / 2
        else { return "nothing" }
        return " " + text[found.upperBound...].prefix { $0.isNumber } + "."
    }

    func seconds(tokens: Int, workers: Int) async throws -> Double { Double(tokens * tokens) * 1e-6 }
}
