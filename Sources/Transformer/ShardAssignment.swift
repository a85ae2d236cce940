// Which tokens of a sequence one worker computes and keeps in a run, and how all workers share them.
public import RingAttention

/// One rank's part of a run over a sequence: the same layout on every worker, and the rank of this one.
///
/// A run computes the prompt's positions from `past` on: those before it are in memory since an earlier run in the same
/// layout. It does so slab by slab, so that activations fit whatever the prompt's length; all that came before a slab is
/// its past.
public struct ShardAssignment: Sendable {
    public let rank: Int
    public let layout: Layout
    /// Positions 0..<past are in memory: a multiple of `Layout.tileTokens`.
    public let past: Int
    /// Tokens of the prompt: positions 0..<promptTokens.
    public let promptTokens: Int
    /// Tokens that may be generated.
    public let maxTokens: Int
    /// The leader computes everything behind `past` alone, and keys and values stay where they are: for a short question
    /// over a long past. The answer is exact to rounding, and not the same bits for every layout.
    public let isStationary: Bool
    /// Positions that are prefilled together, one after another: from `past` to the prompt's end; none where that is
    /// stationary.
    public let slabs: [Range<Int>]
    /// The rank that holds the prompt's last token, and so computes the answer's; 0 without a prompt.
    public let leader: Int
    /// The ranks other than the leader that hold keys and values, or will: they follow in decode.
    public let followers: [Int]

    /// - Parameter slabTokens: a multiple of the stripe and of `Layout.tileTokens`; nil: all at once.
    /// - Throws: `.invalidPlan`.
    public init(
        rank: Int, layout: Layout, past: Int = 0, promptTokens: Int, maxTokens: Int,
        slabTokens: Int? = nil, isStationary: Bool = false
    ) throws(RingError) {
        // Says what is wrong with rank and length.
        _ = try RingSchedule(rank: rank, layout: layout, tokens: promptTokens)
        guard (0...Layout.maximumTokens - promptTokens).contains(maxTokens) else {
            throw .invalidPlan("\(maxTokens) tokens to generate after \(promptTokens)")
        }
        guard past >= 0, past.isMultiple(of: Layout.tileTokens), past < max(promptTokens, 1) else {
            throw .invalidPlan(
                "a prompt of \(promptTokens) tokens cannot continue \(past): whole tiles of \(Layout.tileTokens) are needed, "
                    + "and at least one token behind them")
        }
        if let slabTokens {
            guard slabTokens > 0, slabTokens.isMultiple(of: Layout.tileTokens),
                slabTokens.isMultiple(of: layout.stripeTokens)
            else {
                throw .invalidPlan(
                    "slabs of \(slabTokens) tokens; multiples of \(Layout.tileTokens) and of a stripe's "
                        + "\(layout.stripeTokens) are possible")
            }
        }
        self.rank = rank
        self.layout = layout
        self.past = past
        self.promptTokens = promptTokens
        self.maxTokens = maxTokens
        self.isStationary = isStationary
        slabs =
            isStationary
            ? []
            : Layout.slabs(of: past..<max(promptTokens, past), tokens: slabTokens ?? max(promptTokens, 1))
        let leader = promptTokens > 0 ? layout.owner(of: promptTokens - 1) : 0
        self.leader = leader
        followers = layout.holders(in: promptTokens + maxTokens).filter { $0 != leader }
    }

    /// Positions of the prompt's tokens that this rank computes, in buffer order.
    public var runs: [Range<Int>] {
        if isStationary { return isLeader ? [past..<promptTokens] : [] }
        return runs(in: past..<promptTokens)
    }

    /// Positions of this rank's tokens among these, in buffer order.
    public func runs(in positions: Range<Int>) -> [Range<Int>] {
        layout.positions(of: rank, in: positions)
    }

    /// This rank's rows of some positions: row i is its i-th token.
    public func rows(of positions: Range<Int>) -> Range<Int> {
        layout.count(of: rank, in: positions.lowerBound)..<layout.count(of: rank, in: positions.upperBound)
    }

    /// Prompt tokens that this rank computes.
    public var tokens: Int { runs.reduce(0) { $0 + $1.count } }

    /// Tokens whose KV this rank may come to hold: its part of the prompt and of the answer.
    public var capacity: Int { layout.count(of: rank, in: promptTokens + maxTokens) }

    /// Positions of the prompt that can be kept beyond the run: whole tiles, computed in canonical order.
    public var keepable: Int { isStationary ? past : Layout.inWholeTiles(promptTokens) }

    public var isLeader: Bool { rank == leader }
}
