// Which tokens of a sequence one worker has, and how all workers share them.
public import RingAttention

/// One rank's part of a job: the same layout on every worker, and the rank of this one.
public struct ShardAssignment: Sendable {
    public let rank: Int
    public let layout: Layout
    /// Tokens of the prompt: positions 0..<promptTokens.
    public let promptTokens: Int
    /// Tokens that may be generated.
    public let maxTokens: Int
    let schedule: RingSchedule
    /// Positions of this rank's prompt tokens, in buffer order.
    public let runs: [Range<Int>]
    /// The rank that holds the prompt's last token, and so computes the answer's; 0 without a prompt.
    public let leader: Int
    /// The ranks other than the leader that hold keys and values, or will: they follow in decode.
    public let followers: [Int]

    public init(
        rank: Int, layout: Layout, promptTokens: Int, maxTokens: Int
    ) throws(RingError) {
        schedule = try RingSchedule(rank: rank, layout: layout, tokens: promptTokens)
        guard (0...Layout.maximumTokens - promptTokens).contains(maxTokens) else {
            throw .invalidPlan("\(maxTokens) tokens to generate after \(promptTokens)")
        }
        self.rank = rank
        self.layout = layout
        self.promptTokens = promptTokens
        self.maxTokens = maxTokens
        runs = layout.positions(of: rank, in: promptTokens)
        let leader = promptTokens > 0 ? layout.owner(of: promptTokens - 1) : 0
        self.leader = leader
        followers = layout.holders(in: promptTokens + maxTokens).filter { $0 != leader }
    }

    /// Prompt tokens of this rank.
    public var tokens: Int { layout.count(of: rank, in: promptTokens) }

    /// Tokens whose KV this rank may come to hold: its part of the prompt and of the answer.
    public var capacity: Int { layout.count(of: rank, in: promptTokens + maxTokens) }

    public var isLeader: Bool { rank == leader }
}
