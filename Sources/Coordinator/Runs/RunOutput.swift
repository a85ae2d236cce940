// What a run produces on its way to the journal: text in whole characters up to a stop string, scores in order.
import Foundation
import Messages
import Protobuf
import Sampling

/// Tokens, text and scores of one run.
struct RunOutput: Sendable {
    private var text: any TokenTextStream
    private var matcher: StopMatcher
    private var pendingText: [UInt8] = []
    private var pendingTokens: [UInt32] = []
    private var pendingProbabilities: [Float] = []
    private var pendingLikely: [LikelyTokens] = []
    private var scores: [(position: UInt64, count: Int, sum: Double)] = []

    init(text: any TokenTextStream, stops: [String]) {
        self.text = text
        matcher = StopMatcher(stops: stops)
    }

    /// Whether tokens wait to be written.
    var hasTokens: Bool { !pendingTokens.isEmpty }

    /// Scores that have come.
    var scoreCount: Int { scores.reduce(0) { $0 + $1.count } }

    /// Adds a token of the answer.
    /// - Parameter likely: nil unless the job asks which others were likely.
    /// - Returns: whether a stop string ends the answer here.
    mutating func add(_ token: UInt32, logProbability: Float?, likely: LikelyTokens?) -> Bool {
        pendingTokens.append(token)
        if let logProbability { pendingProbabilities.append(logProbability) }
        if let likely { pendingLikely.append(likely) }
        let (emit, found) = matcher.push(text.push(token))
        pendingText += Array(emit.utf8)
        return found
    }

    mutating func add(scores nll: [Float], at position: UInt64) {
        scores.append((position, nll.count, nll.reduce(0) { $0 + Double($1) }))
    }

    /// The mean of all scores.
    mutating func meanScore() -> Double {
        // In order of position, so that the sum does not depend on who was faster.
        scores.sort { $0.position < $1.position }
        return scores.reduce(0) { $0 + $1.sum } / Double(max(1, scoreCount))
    }

    /// The answer is complete.
    mutating func endText() {
        pendingText += Array(matcher.push(text.finish()).emit.utf8)
        releaseText()
    }

    /// What was held back as a possible stop string belongs to the answer so far.
    mutating func releaseText() { pendingText += Array(matcher.finish().utf8) }

    /// All that waits; nil when nothing does.
    mutating func take() -> JobEvent? {
        guard !pendingTokens.isEmpty || !pendingText.isEmpty else { return nil }
        defer {
            pendingText = []
            pendingTokens = []
            pendingProbabilities = []
            pendingLikely = []
        }
        return JobEvent(
            .tokens(
                AnswerPart(
                    text: pendingText, tokens: pendingTokens, logProbabilities: pendingProbabilities,
                    likely: pendingLikely)))
    }
}
