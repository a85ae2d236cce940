// Contexts: named sequences that were ingested once, to be asked about often.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// Where a context stands.
public enum ContextState: UInt32, WireEnumeration, CaseIterable {
    case unspecified = 0
    /// Its first job waits or runs.
    case ingesting = 1
    /// Its keys and values are in memory.
    case ready = 2
    /// They are not: the next question computes them again.
    case gone = 3
    /// They are on disk: the next question reads them.
    case stored = 4

    /// For people, in JSON and in metrics: "ready".
    public var word: String { self == .unspecified ? "" : "\(self)" }
}

/// A sequence with a name that somebody wants kept.
public struct ContextRecord: BridgedMessage {
    /// Unique among its owner's.
    public var name: String = ""
    /// The name of the token that it was made with; empty: none was asked for.
    public var owner: String = ""
    public var state: ContextState = .unspecified
    public var tokens: UInt64 = 0
    /// Of them, in memory: whole tiles of 128.
    public var keptTokens: UInt64 = 0
    /// Of those, on all workers.
    public var kvBytes: UInt64 = 0
    /// Where: worker, tokens, bytes of KV.
    public var shares: [WorkerShare] = []
    public var createdMicroseconds: UInt64 = 0
    /// By the last question, or when it was made.
    public var usedMicroseconds: UInt64 = 0
    /// That were asked about it.
    public var questions: UInt64 = 0
    /// It gives its memory up for no job.
    public var pinned: Bool = false
    /// That ingests it, or did.
    public var job: String = ""
    /// Of all questions, too.
    public var profile: ProfileMessage?
    /// For the longest question and its answer.
    public var reservedTokens: UInt64 = 0
    public var model: String = ""
    public var fingerprint: String = ""
    /// Its text is in the chat template, and questions will be.
    public var chat: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Context", in: .lariat)
    package static let fields: [WireField<ContextRecord>] = [
        .string(1, \.name), .string(2, \.owner), .enumeration(3, \.state), .uint64(4, \.tokens),
        .uint64(5, \.keptTokens), .uint64(6, \.kvBytes), .messages(7, \.shares),
        .uint64(8, \.createdMicroseconds), .uint64(9, \.usedMicroseconds), .uint64(10, \.questions),
        .bool(11, \.pinned), .string(12, \.job), .message(13, \.profile), .uint64(14, \.reservedTokens),
        .string(15, \.model), .string(16, \.fingerprint), .bool(17, \.chat),
    ]
}

/// A page of contexts.
public struct ListContextsRequest: BridgedMessage {
    public var pageToken: String = ""
    public var pageSize: UInt32 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ListContextsRequest", in: .lariat)
    package static let fields: [WireField<ListContextsRequest>] = [
        .string(1, \.pageToken), .uint32(2, \.pageSize),
    ]
}

/// A page of contexts, last used first.
public struct ListContextsReply: BridgedMessage {
    public var contexts: [ContextRecord] = []
    public var nextPageToken: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ListContextsReply", in: .lariat)
    package static let fields: [WireField<ListContextsReply>] = [
        .messages(1, \.contexts), .string(2, \.nextPageToken),
    ]
}

/// Names a context.
public struct ContextRequest: BridgedMessage {
    public var name: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ContextRequest", in: .lariat)
    package static let fields: [WireField<ContextRequest>] = [.string(1, \.name)]
}

/// Pins a context, so that it gives its memory up for no job, or lets it go.
public struct PinContextRequest: BridgedMessage {
    public var name: String = ""
    public var undo: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.PinContextRequest", in: .lariat)
    package static let fields: [WireField<PinContextRequest>] = [.string(1, \.name), .bool(2, \.undo)]
}
