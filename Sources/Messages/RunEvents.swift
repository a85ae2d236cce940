// What a worker that runs a job reports: one case an event, each with all that belongs to it.
// The meaning of each field stands in Proto/lariat.proto.

public import Protobuf

/// From a worker that runs a job.
public enum RunEvent: OneofMessage {
    /// Plan and tokens are in, memory is there.
    case accepted
    case progress(PrefillProgress)
    /// From the leader.
    case token(ChosenToken)
    case scores(Scores)
    case log(RunLog)
    case finished(RunResult)
    case trace(RunTrace)
    /// The call ends.
    case fault(FaultMessage)
    /// The plan's `keep` is in memory and stays there.
    case kept(KeptSequence)

    package static let schema = MessageSchema("lariat.v1.RunEvent", in: .lariat)
    package static let members: [WireMember<RunEvent>] = [
        .flag(1, .accepted),
        .message(2, RunEvent.progress) { if case .progress(let progress) = $0 { progress } else { nil } },
        .message(3, RunEvent.token) { if case .token(let token) = $0 { token } else { nil } },
        .message(4, RunEvent.scores) { if case .scores(let scores) = $0 { scores } else { nil } },
        .message(5, RunEvent.log) { if case .log(let log) = $0 { log } else { nil } },
        .message(6, RunEvent.finished) { if case .finished(let result) = $0 { result } else { nil } },
        .message(7, RunEvent.trace) { if case .trace(let trace) = $0 { trace } else { nil } },
        .message(8, RunEvent.fault) { if case .fault(let fault) = $0 { fault } else { nil } },
        .message(9, RunEvent.kept) { if case .kept(let kept) = $0 { kept } else { nil } },
    ]
}

/// What a worker keeps of a prompt beyond the run.
public struct KeptSequence: BridgedMessage {
    /// Of the whole sequence.
    public var tokens: UInt64 = 0
    /// Of this worker's part.
    public var kvBytes: UInt64 = 0

    package init() {}

    public init(tokens: UInt64, kvBytes: UInt64) {
        self.tokens = tokens
        self.kvBytes = kvBytes
    }

    package static let schema = MessageSchema("lariat.v1.KeptSequence", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<KeptSequence>] = [.uint64(1, \.tokens), .uint64(2, \.kvBytes)]
}

/// How many layers of its prefill a worker has done.
public struct PrefillProgress: BridgedMessage {
    /// Of the model, once for each slab.
    public var layers: UInt32 = 0
    /// Of them.
    public var prefilledLayers: UInt32 = 0

    package init() {}

    public init(layers: UInt32, prefilledLayers: UInt32) {
        self.layers = layers
        self.prefilledLayers = prefilledLayers
    }

    package static let schema = MessageSchema("lariat.v1.PrefillProgress", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<PrefillProgress>] = [
        .uint32(1, \.layers), .uint32(2, \.prefilledLayers),
    ]
}

/// A token of the answer.
public struct ChosenToken: BridgedMessage {
    public var token: UInt32 = 0
    /// Natural logarithm.
    public var logProbability: Float = 0
    /// Where the job asks for them.
    public var likely: LikelyTokens?

    package init() {}

    public init(token: UInt32, logProbability: Float, likely: LikelyTokens?) {
        self.token = token
        self.logProbability = logProbability
        self.likely = likely
    }

    package static let schema = MessageSchema("lariat.v1.ChosenToken", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<ChosenToken>] = [
        .uint32(1, \.token), .float(2, \.logProbability), .message(3, \.likely),
    ]
}

/// Negative log-likelihoods of tokens that stand one after the other in the prompt.
public struct Scores: BridgedMessage {
    public var firstPosition: UInt64 = 0
    /// Of the tokens from `firstPosition` on.
    public var nll: [Float] = []

    package init() {}

    public init(firstPosition: UInt64, nll: [Float]) {
        self.firstPosition = firstPosition
        self.nll = nll
    }

    package static let schema = MessageSchema("lariat.v1.Scores", in: .lariat)
    package static let fields: [WireField<Scores>] = [.uint64(1, \.firstPosition), .floats(2, \.nll)]
}

/// A line for the job's log.
public struct RunLog: BridgedMessage {
    public var level: String = ""
    public var text: String = ""

    package init() {}

    public init(level: String, text: String) {
        self.level = level
        self.text = text
    }

    package static let schema = MessageSchema("lariat.v1.RunLog", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunLog>] = [.string(1, \.level), .string(2, \.text)]
}

/// A worker's part is done.
public struct RunResult: BridgedMessage {
    /// The leader's.
    public var finish: Finish = .unspecified
    public var share: WorkerShare?
    public var prefillSeconds: Double = 0
    public var decodeSeconds: Double = 0

    package init() {}

    public init(finish: Finish, share: WorkerShare?, prefillSeconds: Double, decodeSeconds: Double) {
        self.finish = finish
        self.share = share
        self.prefillSeconds = prefillSeconds
        self.decodeSeconds = decodeSeconds
    }

    package static let schema = MessageSchema("lariat.v1.RunResult", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunResult>] = [
        .enumeration(1, \.finish), .message(2, \.share), .double(3, \.prefillSeconds),
        .double(4, \.decodeSeconds),
    ]
}

/// A part of the worker's timeline.
public struct RunTrace: BridgedMessage {
    public var spans: [TraceSpanMessage] = []

    package init() {}

    public init(spans: [TraceSpanMessage]) { self.spans = spans }

    package static let schema = MessageSchema("lariat.v1.RunTrace", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RunTrace>] = [.messages(1, \.spans)]
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
        /// It does not hold what the plan continues.
        case missing = 10
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
