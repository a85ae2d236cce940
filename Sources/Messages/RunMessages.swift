// Runs: what the coordinator and a worker say to each other about one job.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// A worker of a run and its share.
public struct RunMember: BridgedMessage {
    public var rank: UInt32 = 0
    public var name: String = ""
    public var ringAddress: String = ""
    /// Stripes of the sequence that it gets in a cycle of the deal; 0: none.
    public var weight: UInt32 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RunMember", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunMember>] = [
        .uint32(1, \.rank), .string(2, \.name), .string(3, \.ringAddress), .uint32(5, \.weight),
    ]
}

/// All that a worker needs to know about a run, tokens excepted.
public struct RunPlan: BridgedMessage {
    public var job: String = ""
    public var attempt: UInt64 = 0
    public var epoch: UInt64 = 0
    /// The receiver's.
    public var rank: UInt32 = 0
    public var members: [RunMember] = []
    public var kind: JobKind = .unspecified
    public var promptTokens: UInt64 = 0
    public var maxTokens: UInt32 = 0
    public var sampling: SamplingMessage?
    public var ignoreEnd: Bool = false
    public var profile: ProfileMessage?
    public var fingerprint: String = ""
    /// Longest wait for a peer.
    public var stallSeconds: Double = 0
    /// Tokens that follow for this rank.
    public var tokenCount: UInt64 = 0
    /// Leader: the prompt's last tokens, for the repetition penalty.
    public var recent: [UInt32] = []
    /// Random, known to this run's members only: every ring call shows it (`RunKey.metadata`).
    public var runKey: String = ""
    public var logProbabilities: Bool = false
    public var topProbabilities: UInt32 = 0
    /// The coordinator's (`LariatProtocol`).
    public var `protocol`: UInt32 = 0
    /// Tokens of a stripe; stripes are dealt out over the members' weights.
    public var stripeTokens: UInt32 = 0
    /// What is there already; nil: nothing. Tokens are sent from its end on.
    public var past: RunPast?
    /// The name under which the prompt's whole tiles stay in memory beyond the run; empty: they do not.
    public var keep: String = ""
    /// Kept sequences to forget first: their memory is needed.
    public var drop: [String] = []
    /// Prefill takes so many tokens at a time, a multiple of the stripe and of 128; 0: all at once.
    public var slabTokens: UInt64 = 0
    /// The leader computes the tokens behind the past, all of which it is sent, and keys and values stay where they are.
    public var stationary: Bool = false
    /// Kept sequences that need not stay in memory: those that are on disk stay there and can be continued.
    public var release: [String] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RunPlan", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunPlan>] = [
        .string(1, \.job), .uint64(2, \.attempt), .uint64(3, \.epoch), .uint32(4, \.rank),
        .messages(5, \.members), .enumeration(6, \.kind), .uint64(7, \.promptTokens),
        .uint32(8, \.maxTokens), .message(9, \.sampling), .bool(10, \.ignoreEnd), .message(11, \.profile),
        .string(12, \.fingerprint),
        .double(15, \.stallSeconds), .uint64(16, \.tokenCount), .uint32s(17, \.recent),
        .string(18, \.runKey), .bool(19, \.logProbabilities), .uint32(20, \.topProbabilities),
        .uint32(21, \.protocol), .uint32(22, \.stripeTokens), .message(23, \.past), .string(24, \.keep),
        .strings(25, \.drop), .uint64(26, \.slabTokens),
        .bool(27, \.stationary), .strings(28, \.release),
    ]
}

/// The beginning of a prompt whose keys and values are in the workers' memory.
public struct RunPast: BridgedMessage {
    /// As the plan named it that kept it.
    public var sequence: String = ""
    /// That are used of it: a multiple of 128, fewer than the prompt's.
    public var tokens: UInt64 = 0

    package init() {}

    public init(sequence: String, tokens: UInt64) {
        self.sequence = sequence
        self.tokens = tokens
    }

    /// Keys and values lie in pages of so many of a rank's tokens.
    public static let pageRows = 1024

    /// Of the past's rows on a worker, those that the run shares: the rest of the last page is copied.
    public static func sharedRows(of rows: Int) -> Int { rows / pageRows * pageRows }

    package static let schema = MessageSchema("lariat.v1.RunPast", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunPast>] = [.string(1, \.sequence), .uint64(2, \.tokens)]
}

/// From the coordinator to a worker that runs a job: first the plan, then tokens, then the start.
public enum RunCommand: OneofMessage {
    case plan(RunPlan)
    case tokens(ShardTokens)
    /// Plan and tokens are complete.
    case start
    /// To the leader: end the answer here, normally.
    case stop

    package static let schema = MessageSchema("lariat.v1.RunCommand", in: .lariat)
    package static let members: [WireMember<RunCommand>] = [
        .message(1, RunCommand.plan) { if case .plan(let plan) = $0 { plan } else { nil } },
        .message(2, RunCommand.tokens) { if case .tokens(let tokens) = $0 { tokens } else { nil } },
        .flag(3, .start), .flag(4, .stop),
    ]
}

/// A part of one rank's tokens, in ascending position.
public struct ShardTokens: BridgedMessage {
    public var tokens: [UInt32] = []
    /// SCORE: the token after each of them (the last of the prompt: 0).
    public var next: [UInt32] = []

    package init() {}

    /// - Parameter next: one per token where the job is a SCORE, else none.
    public init(tokens: [UInt32], next: [UInt32]) {
        self.tokens = tokens
        self.next = next
    }

    package static let schema = MessageSchema("lariat.v1.ShardTokens", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<ShardTokens>] = [.uint32s(1, \.tokens), .uint32s(2, \.next)]
}
