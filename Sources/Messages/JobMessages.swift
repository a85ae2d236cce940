// Jobs: what clients and the coordinator say to each other.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// What a job does.
public enum JobKind: UInt32, WireEnumeration, CaseIterable {
    case unspecified = 0
    /// Continue the prompt.
    case generate = 1
    /// Negative log-likelihood of every token of the prompt.
    case score = 2
    /// Compute the prompt's keys and values and keep them as a context.
    case ingest = 3
    /// A kind that this version does not have.
    case unknown = 0xffff_ffff

    package static var unrecognised: JobKind { .unknown }
}

/// Where a job stands.
public enum JobState: UInt32, WireEnumeration, CaseIterable {
    case unspecified = 0
    case queued = 1
    case prefill = 2
    case decode = 3
    case succeeded = 4
    case failed = 5
    case cancelled = 6
}

/// How an answer ended.
public enum Finish: UInt32, WireEnumeration, CaseIterable {
    case unspecified = 0
    /// With a stop string.
    case stop = 1
    /// At the longest that was asked for.
    case length = 2
    /// With the model's end of text; a SCORE: with its last token.
    case end = 3
    case cancelled = 4
    case error = 5

    /// For people and in JSON: "stop".
    public var word: String { self == .unspecified ? "" : "\(self)" }
}

/// How a token is chosen from logits.
public struct SamplingMessage: BridgedMessage {
    /// 0: greedy.
    public var temperature: Float = 0
    /// 0: off.
    public var topK: UInt32 = 0
    /// 0: off.
    public var topP: Float = 0
    /// 0: off.
    public var minP: Float = 0
    /// 0: off.
    public var repetitionPenalty: Float = 0
    /// Tokens looked back at; 0: 64.
    public var repetitionWindow: UInt32 = 0
    /// 0: chosen by the coordinator and recorded.
    public var seed: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Sampling", in: .lariat)
    package static let fields: [WireField<SamplingMessage>] = [
        .float(1, \.temperature), .uint32(2, \.topK), .float(3, \.topP), .float(4, \.minP),
        .float(5, \.repetitionPenalty), .uint32(6, \.repetitionWindow), .uint64(7, \.seed),
    ]
}

/// What a client asks for.
public struct JobOptions: BridgedMessage {
    public var kind: JobKind = .unspecified
    public var name: String = ""
    /// Reserved for the answer; 0: 256 for GENERATE. INGEST: for the longest question and its answer; 0: 4,096.
    public var maxTokens: UInt32 = 0
    public var sampling: SamplingMessage?
    public var stop: [String] = []
    /// Wrap the text in the model's chat template as one user message.
    public var chat: Bool = false
    /// System message for the chat template.
    public var system: String = ""
    /// Allow a prompt longer than the model's trained window.
    public var beyondWindow: Bool = false
    /// Do not stop at the model's end-of-text tokens.
    public var ignoreEnd: Bool = false
    /// Do not parse special tokens in the text.
    public var literal: Bool = false
    /// Instead of what the model file says of rotary positions.
    public var rope: RotaryMethodMessage?
    /// Use so many workers at most, so that others are free for other jobs; 0: all.
    public var workers: UInt32 = 0
    /// Say how likely each token of the answer was.
    public var logProbabilities: Bool = false
    /// And which others were likeliest at its place; 0 to 20.
    public var topProbabilities: UInt32 = 0
    /// The chat template instead of the model file's: the name of one that Lariat brings along, or a Jinja program.
    public var chatTemplate: String = ""
    /// As `chat` where the model has a template; the coordinator sets `chat` if it did so.
    public var chatIfTemplate: Bool = false
    /// INGEST: the name that the prompt gets. GENERATE: the prompt is this context, and the text, a question about it,
    /// behind it.
    public var context: String = ""
    /// Compute the whole prompt, also where the keys and values of its beginning are in memory.
    public var noReuse: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.JobOptions", in: .lariat)
    package static let fields: [WireField<JobOptions>] = [
        .enumeration(1, \.kind), .string(2, \.name), .uint32(3, \.maxTokens), .message(4, \.sampling),
        .strings(5, \.stop), .bool(6, \.chat), .string(7, \.system), .bool(8, \.beyondWindow),
        .bool(9, \.ignoreEnd), .bool(10, \.literal), .message(11, \.rope), .uint32(12, \.workers),
        .bool(13, \.logProbabilities), .uint32(14, \.topProbabilities), .string(15, \.chatTemplate),
        .bool(17, \.chatIfTemplate), .string(18, \.context), .bool(19, \.noReuse),
    ]
}

/// How positions turn.
public struct RotaryMethodMessage: BridgedMessage {
    /// `yarn:8`; empty: the tables.
    public var name: String = ""
    public var tables: [RotaryTableMessage] = []
    public var gap: PositionGapMessage?

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RotaryMethod", in: .lariat)
    package static let fields: [WireField<RotaryMethodMessage>] = [
        .string(1, \.name), .messages(2, \.tables), .message(3, \.gap),
    ]
}

/// LongRoPE factors for sequences of up to `window` positions.
public struct RotaryTableMessage: BridgedMessage {
    public var name: String = ""
    public var window: UInt64 = 0
    /// One per pair.
    public var factors: [Double] = []
    /// N-hat.
    public var startTokens: UInt64 = 0
    /// 0: by formula.
    public var attentionFactor: Double = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RotaryTable", in: .lariat)
    package static let fields: [WireField<RotaryTableMessage>] = [
        .string(1, \.name), .uint64(2, \.window), .doubles(3, \.factors), .uint64(4, \.startTokens),
        .double(5, \.attentionFactor),
    ]
}

/// Positions that no token has.
public struct PositionGapMessage: BridgedMessage {
    /// Tokens from one gap to the next.
    public var every: UInt64 = 0
    public var length: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.PositionGap", in: .lariat)
    package static let fields: [WireField<PositionGapMessage>] = [
        .uint64(1, \.every), .uint64(2, \.length),
    ]
}

/// A part of a job that is being submitted.
public struct SubmitPart: BridgedMessage {
    /// First part only.
    public var options: JobOptions?
    /// UTF-8; parts are concatenated before they are decoded.
    public var text: [UInt8] = []
    /// Instead of text.
    public var tokens: [UInt32] = []
    /// What was said before, in order and without the system message; the text is what the user says now.
    public var turns: [ChatTurn] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.SubmitPart", in: .lariat)
    package static let fields: [WireField<SubmitPart>] = [
        .message(1, \.options), .bytes(2, \.text), .uint32s(3, \.tokens), .messages(4, \.turns),
    ]
}

/// A rotary profile, pinned when the job is admitted.
public struct ProfileMessage: BridgedMessage {
    /// "short", "long", "none", ...
    public var name: String = ""
    public var theta: Double = 0
    public var rotaryDimension: UInt32 = 0
    /// One per pair.
    public var factors: [Double] = []
    /// N-hat.
    public var startTokens: UInt64 = 0
    public var attentionFactor: Double = 0
    /// Positions the profile is meant for.
    public var window: UInt64 = 0
    /// Hash of all of the others.
    public var identity: String = ""
    public var gap: PositionGapMessage?

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Profile", in: .lariat)
    package static let fields: [WireField<ProfileMessage>] = [
        .string(1, \.name), .double(2, \.theta), .uint32(3, \.rotaryDimension), .doubles(4, \.factors),
        .uint64(5, \.startTokens), .double(6, \.attentionFactor), .uint64(7, \.window),
        .string(8, \.identity), .message(9, \.gap),
    ]
}

/// What one step of prefill's ring took on one worker, all layers together.
public struct RingStepRecord: BridgedMessage {
    /// 0: the worker's own block; d: the block that came from d workers before it.
    public var step: UInt32 = 0
    public var computeSeconds: Double = 0
    public var waitSeconds: Double = 0
    public var wireSeconds: Double = 0
    public var bytes: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RingStep", in: .lariat)
    package static let fields: [WireField<RingStepRecord>] = [
        .uint32(1, \.step), .double(2, \.computeSeconds), .double(3, \.waitSeconds),
        .double(4, \.wireSeconds), .uint64(5, \.bytes),
    ]
}

/// One worker's part of a job.
public struct WorkerShare: BridgedMessage {
    public var rank: UInt32 = 0
    public var worker: String = ""
    /// Prompt tokens whose KV it holds.
    public var tokens: UInt64 = 0
    /// Its KV, output included.
    public var kvBytes: UInt64 = 0
    public var ringBytesSent: UInt64 = 0
    public var ringBytesReceived: UInt64 = 0
    public var computeSeconds: Double = 0
    public var waitSeconds: Double = 0
    public var steps: [RingStepRecord] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.WorkerShare", in: .lariat)
    package static let fields: [WireField<WorkerShare>] = [
        .uint32(1, \.rank), .string(2, \.worker), .uint64(3, \.tokens), .uint64(4, \.kvBytes),
        .uint64(5, \.ringBytesSent), .uint64(6, \.ringBytesReceived), .double(7, \.computeSeconds),
        .double(8, \.waitSeconds), .messages(9, \.steps),
    ]
}

/// A job and all that is known about it.
public struct JobRecord: BridgedMessage {
    public var id: String = ""
    public var options: JobOptions?
    public var state: JobState = .unspecified
    /// Why it waits, or how it ended.
    public var reason: String = ""
    public var submittedMicroseconds: UInt64 = 0
    public var startedMicroseconds: UInt64 = 0
    public var finishedMicroseconds: UInt64 = 0
    public var promptTokens: UInt64 = 0
    /// Progress; = prompt_tokens when prefill is over.
    public var prefilledTokens: UInt64 = 0
    public var generatedTokens: UInt64 = 0
    /// The answer so far (GENERATE).
    public var text: [UInt8] = []
    public var finish: Finish = .unspecified
    public var prefillSeconds: Double = 0
    public var decodeSeconds: Double = 0
    /// From start to the first token.
    public var firstTokenSeconds: Double = 0
    public var profile: ProfileMessage?
    public var model: String = ""
    public var fingerprint: String = ""
    public var shares: [WorkerShare] = []
    /// SCORE.
    public var meanNLL: Double = 0
    /// SCORE.
    public var perplexity: Double = 0
    public var attempt: UInt64 = 0
    public var isa: String = ""
    public var precision: String = ""
    /// 1: next; 0: not queued.
    public var queuePosition: UInt32 = 0
    /// What admission has to say about the choice of the profile.
    public var note: String = ""
    /// Why it failed, for programs.
    public var fault: JobFault?
    /// What its prefill waited for, where that cost enough to matter.
    public var straggler: StragglerMessage?
    /// Of the prompt: their keys and values were in memory and were not computed.
    public var cachedTokens: UInt64 = 0
    /// The name of the token that it was submitted with; empty: none was asked for.
    public var owner: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Job", in: .lariat)
    package static let fields: [WireField<JobRecord>] = [
        .string(1, \.id), .message(2, \.options), .enumeration(3, \.state), .string(4, \.reason),
        .uint64(5, \.submittedMicroseconds), .uint64(6, \.startedMicroseconds),
        .uint64(7, \.finishedMicroseconds), .uint64(8, \.promptTokens), .uint64(9, \.prefilledTokens),
        .uint64(10, \.generatedTokens), .bytes(11, \.text),
        .double(13, \.prefillSeconds), .double(14, \.decodeSeconds), .double(15, \.firstTokenSeconds),
        .message(16, \.profile), .string(17, \.model), .string(18, \.fingerprint), .messages(19, \.shares),
        .double(20, \.meanNLL), .double(21, \.perplexity), .uint64(22, \.attempt), .string(23, \.isa),
        .string(24, \.precision), .uint32(25, \.queuePosition), .string(26, \.note),
        .message(27, \.fault), .message(28, \.straggler), .enumeration(29, \.finish),
        .uint64(30, \.cachedTokens), .string(31, \.owner),
        // After 29, which a journal of an earlier version does not have.
        .earlier(12) { job, word in
            if let known = Finish.allCases.first(where: { $0.word == word }) { job.finish = known }
        },
    ]
}

/// Names a job.
public struct JobRequest: BridgedMessage {
    public var id: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.JobRequest", in: .lariat)
    package static let fields: [WireField<JobRequest>] = [
        .string(1, \.id)
    ]
}

/// Names a job and where to begin.
public struct AttachRequest: BridgedMessage {
    public var id: String = ""
    public var fromEvent: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.AttachRequest", in: .lariat)
    package static let fields: [WireField<AttachRequest>] = [
        .string(1, \.id), .uint64(2, \.fromEvent),
    ]
}

/// A page of jobs.
public struct ListJobsRequest: BridgedMessage {
    public var pageToken: String = ""
    public var pageSize: UInt32 = 0
    public var activeOnly: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ListJobsRequest", in: .lariat)
    package static let fields: [WireField<ListJobsRequest>] = [
        .string(1, \.pageToken), .uint32(2, \.pageSize), .bool(3, \.activeOnly),
    ]
}

/// A page of jobs, newest first.
public struct ListJobsReply: BridgedMessage {
    /// Without text.
    public var jobs: [JobRecord] = []
    public var nextPageToken: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ListJobsReply", in: .lariat)
    package static let fields: [WireField<ListJobsReply>] = [
        .messages(1, \.jobs), .string(2, \.nextPageToken),
    ]
}

/// One line of a job's log.
public struct LogLine: BridgedMessage {
    public var timeMicroseconds: UInt64 = 0
    public var level: String = ""
    /// "coordinator" or the worker's name.
    public var source: String = ""
    public var text: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.LogLine", in: .lariat)
    package static let fields: [WireField<LogLine>] = [
        .uint64(1, \.timeMicroseconds), .string(2, \.level), .string(3, \.source), .string(4, \.text),
    ]
}
