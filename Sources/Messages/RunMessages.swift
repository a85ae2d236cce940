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
        .uint32(21, \.protocol), .uint32(22, \.stripeTokens),
    ]
}

/// From the coordinator to a worker that runs a job.
public struct RunCommand: BridgedMessage {
    public var plan: RunPlan?
    /// This rank's, in ascending position.
    public var tokens: [UInt32] = []
    /// SCORE: the token after each of them (the last of the prompt: 0).
    public var next: [UInt32] = []
    public var start: Bool = false
    /// Leader: end the answer here, normally.
    public var stop: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RunCommand", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunCommand>] = [
        .message(1, \.plan), .uint32s(2, \.tokens), .uint32s(3, \.next), .bool(4, \.start), .bool(5, \.stop),
    ]
}

/// From a worker that runs a job.
public struct RunEvent: BridgedMessage {
    /// Which fields are set.
    public enum Kind: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// Plan and tokens are in, memory is there.
        case accepted = 1
        /// Prefilled_layers of layers.
        case progress = 2
        /// Token, from the leader.
        case token = 3
        /// First_position, nll.
        case scores = 4
        /// Level, text.
        case log = 5
        /// Finish, share, prefill_seconds, decode_seconds.
        case finished = 6
        /// Spans.
        case trace = 7
        /// Fault; the call ends.
        case fault = 8
    }

    public var kind: Kind = .unspecified
    public var layers: UInt32 = 0
    public var prefilledLayers: UInt32 = 0
    public var token: UInt32 = 0
    public var logProbability: Float = 0
    public var firstPosition: UInt64 = 0
    public var nll: [Float] = []
    public var level: String = ""
    public var text: String = ""
    public var finish: String = ""
    public var share: WorkerShare?
    public var prefillSeconds: Double = 0
    public var decodeSeconds: Double = 0
    /// TOKEN.
    public var likely: LikelyTokens?
    /// TRACE.
    public var spans: [TraceSpanMessage] = []
    /// FAULT.
    public var fault: FaultMessage?

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RunEvent", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunEvent>] = [
        .enumeration(1, \.kind), .uint32(2, \.layers), .uint32(3, \.prefilledLayers), .uint32(4, \.token),
        .float(5, \.logProbability), .uint64(6, \.firstPosition), .floats(7, \.nll), .string(8, \.level),
        .string(9, \.text), .string(10, \.finish), .message(11, \.share), .double(12, \.prefillSeconds),
        .double(13, \.decodeSeconds), .message(14, \.likely), .messages(15, \.spans),
        .message(16, \.fault),
    ]
}

/// Why a worker gives its part of a run up, as it sees it.
public struct FaultMessage: BridgedMessage {
    public enum Kind: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// It failed by itself.
        case own = 1
        /// Another job still runs on it.
        case busy = 2
        /// The plan is of an older epoch than it knows.
        case stale = 3
        /// It cannot carry out this plan, now or later.
        case refused = 4
        /// It cannot connect to the accused for blocks.
        case unreachable = 5
        /// Its connection for blocks with the accused broke.
        case broken = 6
        /// The accused sent or took no blocks for the stall limit.
        case silent = 7
        /// The accused sent what the schedule does not say, or it arrived damaged.
        case wrongBytes = 8
        /// The accused ended its part first, for a reason that it tells itself.
        case gaveUp = 9
    }

    public var kind: Kind = .unspecified
    /// A rank; the sender's own where it accuses nobody else.
    public var accused: UInt32 = 0
    /// For people; not read by programs.
    public var detail: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Fault", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<FaultMessage>] = [
        .enumeration(1, \.kind), .uint32(2, \.accused), .string(3, \.detail),
    ]
}

/// What a worker did for a while. Times count from its start of the job.
public struct TraceSpanMessage: BridgedMessage {
    public enum Kind: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// A layer's products before or after attention.
        case dense = 1
        /// Over the blocks of one step.
        case attention = 2
        /// For blocks of one step, or for its own to be sent.
        case wait = 3
        /// A block's way in, from its first to its last byte.
        case transfer = 4
        /// One token.
        case decode = 5
    }

    public var kind: Kind = .unspecified
    /// DECODE: which token of the answer.
    public var layer: UInt32 = 0
    public var step: UInt32 = 0
    public var startMicroseconds: UInt64 = 0
    public var durationMicroseconds: UInt64 = 0
    public var bytes: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.TraceSpan", in: .lariat)
    package static let fields: [WireField<TraceSpanMessage>] = [
        .enumeration(1, \.kind), .uint32(2, \.layer), .uint32(3, \.step), .uint64(4, \.startMicroseconds),
        .uint64(5, \.durationMicroseconds), .uint64(6, \.bytes),
    ]
}

/// A part of a job's timeline.
public struct TracePart: BridgedMessage {
    public var rank: UInt32 = 0
    public var worker: String = ""
    public var spans: [TraceSpanMessage] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.TracePart", in: .lariat)
    package static let fields: [WireField<TracePart>] = [
        .uint32(1, \.rank), .string(2, \.worker), .messages(3, \.spans),
    ]
}
