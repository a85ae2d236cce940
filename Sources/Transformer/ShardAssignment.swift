// Which tokens of a sequence one worker has, and how all workers share them.
public import RingAttention

/// One rank's part of a job: the same plan on every worker, and the rank of this one.
public struct ShardAssignment: Sendable {
    public let rank: Int
    public let plan: ShardPlan
    /// Tokens that may be generated.
    public let maxTokens: Int
    let pieces: PiecePlan
    let appends: AppendPlan
    /// The ranks other than the leader that hold keys and values, or will: they follow in decode.
    public let followers: [Int]

    /// - Parameters:
    ///   - pieceTokens: tokens of a block that travel together.
    ///   - appendRun: generated tokens whose KV one worker keeps before the next one's turn.
    public init(
        rank: Int, plan: ShardPlan, maxTokens: Int, pieceTokens: Int, appendRun: Int = AppendPlan.appendRun
    ) throws(RingError) {
        guard plan.runs.indices.contains(rank) else {
            throw .invalidPlan("rank \(rank) of a plan for \(plan.ranks)")
        }
        guard (0...ShardPlan.maximumTokens - plan.tokens).contains(maxTokens) else {
            throw .invalidPlan("\(maxTokens) tokens to generate after \(plan.tokens)")
        }
        self.rank = rank
        self.plan = plan
        self.maxTokens = maxTokens
        pieces = try PiecePlan(plan: plan, pieceTokens: pieceTokens)
        appends = try AppendPlan(plan: plan, run: appendRun)
        followers = appends.holders(appended: maxTokens).filter { $0 != plan.leader }
    }

    /// Positions of this rank's tokens, in buffer order.
    public var runs: [Range<Int>] { plan.runs[rank] }

    /// Prompt tokens of this rank.
    public var tokens: Int { plan.count(of: rank) }

    /// Tokens whose KV this rank may come to hold: its part of the prompt and of the answer.
    public var capacity: Int { tokens + appends.count(of: rank, appended: maxTokens) }

    public var isLeader: Bool { rank == plan.leader }
}
