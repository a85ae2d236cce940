// Timelines: what each worker did when.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

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
