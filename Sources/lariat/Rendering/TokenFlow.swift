// Tokens over time, second by second, for rates and small charts. No I/O, no clock.

/// How many tokens were done in each of the last seconds. Bounded.
package struct TokenFlow: Sendable {
    /// Seconds that are kept.
    package static let span = 300

    /// When counting began, in seconds on any clock that only goes forward.
    private let start: Double
    /// Tokens of second `newest - index`.
    private var bins = [Double](repeating: 0, count: span)
    private var newest: Int

    package init(start: Double) {
        self.start = start
        newest = Int(start.rounded(.down))
    }

    /// `tokens` were done evenly between two moments.
    package mutating func add(_ tokens: Double, from: Double, to: Double) {
        guard tokens > 0, tokens.isFinite, to > from else { return }
        advance(to: Int(to.rounded(.down)))
        let rate = tokens / (to - from)
        var second = max(Int(from.rounded(.down)), newest - Self.span + 1)
        while second <= newest, Double(second) < to {
            let part = min(to, Double(second + 1)) - max(from, Double(second))
            bins[newest - second] += rate * max(0, part)
            second += 1
        }
    }

    /// Tokens per second between two moments; nil before counting began.
    package func rate(from: Double, to: Double) -> Double? {
        let from = max(from, start)
        guard to - from > 0.05 else { return nil }
        var tokens = 0.0
        var second = max(Int(from.rounded(.down)), newest - Self.span + 1)
        while second <= newest, Double(second) < to {
            // A second is whole or in part within the interval; the newest may not be over yet.
            let part = min(to, Double(second + 1)) - max(from, Double(second))
            let whole = min(max(to, Double(second)), Double(second + 1)) - Double(second)
            tokens += bins[newest - second] * min(1, part / (second == newest ? max(whole, 0.001) : 1))
            second += 1
        }
        return tokens / (to - from)
    }

    /// Rates of `count` equal intervals that end at `end`, oldest first; nil before counting began.
    package func series(count: Int, each seconds: Double, end: Double) -> [Double?] {
        (0..<max(0, count)).map { index in
            let to = end - Double(count - 1 - index) * seconds
            return rate(from: to - seconds, to: to)
        }
    }

    private mutating func advance(to second: Int) {
        guard second > newest else { return }
        let more = min(second - newest, Self.span)
        bins = Array(repeating: 0, count: more) + bins.dropLast(more)
        newest = second
    }
}
