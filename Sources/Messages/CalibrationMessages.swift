// Calibration and forecasts: what a worker measures, and what the coordinator predicts from it.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// Asks a worker to measure itself.
public struct CalibrateRequest: BridgedMessage {
    public var epoch: UInt64 = 0
    /// Where it would send blocks; empty: nowhere, it is alone.
    public var nextRingAddress: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.CalibrateRequest", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<CalibrateRequest>] = [
        .uint64(1, \.epoch), .string(2, \.nextRingAddress),
    ]
}

/// What a worker can do, all of its threads together.
public struct WorkerRates: BridgedMessage {
    /// The layers' products and what lies between them.
    public var denseOperationsPerSecond: Double = 0
    /// Prefill attention over keys that are all visible.
    public var attentionOperationsPerSecond: Double = 0
    /// One layer's weights.
    public var unpackSeconds: Double = 0
    /// Keys and values to the next worker; 0: it is alone.
    public var linkBytesPerSecond: Double = 0
    /// Processor cores that it may use, shared or not.
    public var hostCores: UInt32 = 0
    /// Attention over a piece of n keys takes as long as over n + `pieceKeys` keys of a longer one.
    public var pieceKeys: Double = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.WorkerRates", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<WorkerRates>] = [
        .double(1, \.denseOperationsPerSecond), .double(2, \.attentionOperationsPerSecond),
        .double(3, \.unpackSeconds), .double(4, \.linkBytesPerSecond),
        .uint32(5, \.hostCores), .double(6, \.pieceKeys),
    ]
}

/// One worker's part of a predicted prefill.
public struct WorkerCost: BridgedMessage {
    public var worker: String = ""
    public var computeSeconds: Double = 0
    /// Its blocks on their way to the next worker.
    public var wireSeconds: Double = 0
    public var rates: WorkerRates?

    public init() {}

    package static let schema = MessageSchema("lariat.v1.WorkerCost", in: .lariat)
    package static let fields: [WireField<WorkerCost>] = [
        .string(1, \.worker), .double(2, \.computeSeconds), .double(3, \.wireSeconds), .message(4, \.rates),
    ]
}

/// What a job would cost.
public struct Forecast: BridgedMessage {
    public var admissible: Bool = false
    /// Why not.
    public var reason: String = ""
    public var promptTokens: UInt64 = 0
    public var reservedTokens: UInt64 = 0
    public var profile: ProfileMessage?
    public var kvBytes: UInt64 = 0
    public var ringBytes: UInt64 = 0
    /// 0: not known, for `unmeasuredReason`.
    public var prefillSeconds: Double = 0
    public var shares: [WorkerShare] = []
    public var slabs: UInt32 = 0
    /// By rank; empty when `prefillSeconds` is 0.
    public var costs: [WorkerCost] = []
    public var unmeasuredReason: String = ""
    /// Of the answer that is reserved; 0: not known, or there is none.
    public var decodeSeconds: Double = 0
    /// Prefill and decode, without waiting for other jobs; 0: not known.
    public var totalSeconds: Double = 0
    /// Of the prompt: their keys and values are in memory now.
    public var cachedTokens: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Forecast", in: .lariat)
    package static let fields: [WireField<Forecast>] = [
        .bool(1, \.admissible), .string(2, \.reason), .uint64(3, \.promptTokens),
        .uint64(4, \.reservedTokens), .message(5, \.profile), .uint64(6, \.kvBytes), .uint64(7, \.ringBytes),
        .double(8, \.prefillSeconds), .messages(9, \.shares), .uint32(10, \.slabs),
        .messages(11, \.costs), .string(12, \.unmeasuredReason), .double(13, \.decodeSeconds),
        .double(14, \.totalSeconds), .uint64(15, \.cachedTokens),
    ]
}
