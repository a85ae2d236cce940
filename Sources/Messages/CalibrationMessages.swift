// Calibration: what the coordinator asks a worker to measure, and what predictions are made of.
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
