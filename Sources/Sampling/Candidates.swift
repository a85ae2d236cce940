// The tokens that are still in the running, and the ways to narrow them down without sorting a whole vocabulary.
import Foundation

/// A token and its logit.
struct Candidate: Sendable {
    var token: Int32
    var logit: Float

    /// The ranking: larger logits first, lower ids first among equals.
    static func precedes(_ a: Candidate, _ b: Candidate) -> Bool {
        a.logit > b.logit || (a.logit == b.logit && a.token < b.token)
    }
}

extension [Candidate] {
    /// Replaces the contents with the `count` highest-ranking tokens: in ranking order, or, when that is the whole
    /// vocabulary, in the order of their ids. O(n) comparisons and O(count log count) moves for most logits: a heap
    /// holds the best so far, its worst at the root.
    mutating func keepLargest(_ count: Int, of logits: Span<Float>) {
        removeAll(keepingCapacity: true)
        guard count < logits.count else {
            for index in 0..<logits.count {
                append(Candidate(token: Int32(truncatingIfNeeded: index), logit: logits[index]))
            }
            return
        }
        guard count > 0 else { return }
        for index in 0..<count {
            append(Candidate(token: Int32(truncatingIfNeeded: index), logit: logits[index]))
        }
        for root in stride(from: count / 2 - 1, through: 0, by: -1) { siftDown(root) }
        for index in count..<logits.count where logits[index] > self[0].logit {
            self[0] = Candidate(token: Int32(truncatingIfNeeded: index), logit: logits[index])
            siftDown(0)
        }
        sort(by: Candidate.precedes)
    }

    /// Restores the heap order (the lowest-ranking at the root) below `start`.
    private mutating func siftDown(_ start: Int) {
        var root = start
        while true {
            var worst = root
            for child in [2 * root + 1, 2 * root + 2] where child < count {
                if Candidate.precedes(self[worst], self[child]) { worst = child }
            }
            guard worst != root else { return }
            swapAt(root, worst)
            root = worst
        }
    }

    /// The sum of e^(logit - top).
    func mass(_ top: Float) -> Double {
        var sum = 0.0
        for candidate in self { sum += exp(Double(candidate.logit) - Double(top)) }
        return sum
    }

    /// Keeps the shortest prefix whose mass reaches `share` of `total`, at least one token. The candidates are in
    /// ranking order. Returns whether the share was reached.
    @discardableResult
    mutating func keepNucleus(_ share: Float, total: Double, top: Float) -> Bool {
        var sum = 0.0
        for index in indices {
            sum += exp(Double(self[index].logit) - Double(top))
            if sum >= Double(share) * total {
                removeSubrange((index + 1)...)
                return true
            }
        }
        return false
    }

    /// Replaces the contents with the nucleus of the whole vocabulary: usually a few tokens, so a
    /// few hundred and a few thousand of the largest are tried before everything is sorted.
    mutating func fillNucleus(_ share: Float, of logits: Span<Float>, top: Float) {
        var total = 0.0
        for index in 0..<logits.count { total += exp(Double(logits[index]) - Double(top)) }
        for count in [256, 4096] where count < logits.count {
            keepLargest(count, of: logits)
            if keepNucleus(share, total: total, top: top) { return }
        }
        keepLargest(logits.count, of: logits)
        sort(by: Candidate.precedes)
        keepNucleus(share, total: total, top: top)
    }
}
