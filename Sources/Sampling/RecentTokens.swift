// The last few tokens of a sequence and how often each is among them: what a repetition penalty looks at.

/// The last `limit` tokens.
struct RecentTokens: Sendable {
    private let limit: Int
    private var ring: [Int32] = []
    private var oldest = 0
    private var counts: [Int32: Int] = [:]

    init(limit: Int) { self.limit = limit }

    /// Each token that is among them, once, in no particular order.
    var distinct: Dictionary<Int32, Int>.Keys { counts.keys }

    mutating func append(_ token: Int32) {
        guard limit > 0 else { return }
        if ring.count < limit {
            ring.append(token)
        } else {
            let gone = ring[oldest]
            counts[gone] = counts[gone].flatMap { $0 > 1 ? $0 - 1 : nil }
            ring[oldest] = token
            oldest = (oldest + 1) % limit
        }
        counts[token, default: 0] += 1
    }
}
