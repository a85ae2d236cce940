// Membership: what workers, clients and the coordinator say about who is in the cluster.
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// The number that coordinator and workers compare before they work together.
public enum LariatProtocol {
    /// Counts changes after which an older process would refuse, or misunderstand, what a newer one says.
    public static let current: UInt32 = 3

    /// What to do about two processes that speak differently; nil when they speak alike.
    /// - Parameters:
    ///   - own: of the process that asks, `name`d for people; `theirs`: of the other one.
    public static func mismatch(
        of name: String, _ own: UInt32 = current, with other: String, _ theirs: UInt32
    )
        -> String?
    {
        guard own != theirs else { return nil }
        let older = own < theirs ? name : other
        return "\(name) speaks protocol \(own), \(other) protocol \(theirs): upgrade Lariat on \(older)"
    }
}

/// What the coordinator thinks of a worker.
public enum MemberState: UInt32, WireEnumeration, CaseIterable {
    case unspecified = 0
    case ready = 1
    case busy = 2
    /// Takes no more jobs and leaves when it has none.
    case draining = 3
    /// Takes no jobs for a while, after faults.
    case aside = 4
    case lost = 5
    case refused = 6

    /// For people, in JSON and in metrics: "ready".
    public var word: String { self == .unspecified ? "" : "\(self)" }

    /// It computes, or would.
    public var isAble: Bool { self == .ready || self == .busy }

    /// It is in the cluster.
    public var isThere: Bool {
        switch self {
        case .ready, .busy, .draining, .aside: true
        case .lost, .refused, .unspecified: false
        }
    }
}

/// A worker as the coordinator knows it.
public struct MemberRecord: BridgedMessage {
    public var name: String = ""
    /// Host:port of its control connections (lariat.v1.Worker).
    public var address: String = ""
    /// Host:port of its block connections (lariat.v1.Ring).
    public var ringAddress: String = ""
    public var threads: UInt32 = 0
    /// What its KV may use.
    public var memoryBytes: UInt64 = 0
    public var isa: String = ""
    public var precision: String = ""
    public var fingerprint: String = ""
    /// As the coordinator sees it.
    public var state: MemberState = .unspecified
    /// Age.
    public var lastHeartbeatSeconds: Double = 0
    /// File name.
    public var model: String = ""
    public var version: String = ""
    /// Why refused, lost, draining or set aside.
    public var reason: String = ""
    /// Processor cores that it may use, shared or not.
    public var hostCores: UInt32 = 0
    public var kvBytesUsed: UInt64 = 0
    /// What it runs, or empty.
    public var job: String = ""
    /// Of that job.
    public var progress: RunProgress?
    /// Its place in the specification, from 1, which is its place in the ring; 0: by name.
    public var order: UInt32 = 0
    /// What it speaks (`LariatProtocol`).
    public var `protocol`: UInt32 = 0
    /// Of `kvBytesUsed`: sequences that no run uses.
    public var keptBytes: UInt64 = 0
    /// What kept sequences may use on its disk; 0: they are in memory alone.
    public var kvDiskBytes: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Member", in: .lariat)
    package static let fields: [WireField<MemberRecord>] = [
        .string(1, \.name), .string(2, \.address), .string(3, \.ringAddress), .uint32(4, \.threads),
        .uint64(5, \.memoryBytes), .string(6, \.isa), .string(7, \.precision), .string(8, \.fingerprint),
        .double(10, \.lastHeartbeatSeconds), .string(11, \.model),
        .string(12, \.version), .string(14, \.reason), .uint32(15, \.hostCores),
        .uint64(16, \.kvBytesUsed), .string(17, \.job), .message(18, \.progress), .uint32(19, \.order),
        .uint32(20, \.protocol), .enumeration(21, \.state), .uint64(22, \.keptBytes),
        .uint64(23, \.kvDiskBytes),
    ]
}

/// Where a worker stands in a job. Sums are from the job's start on.
public struct RunProgress: BridgedMessage {
    /// Of prefill: layers that are done.
    public var layer: UInt32 = 0
    public var layers: UInt32 = 0
    /// Of the ring, in the layer under way.
    public var step: UInt32 = 0
    public var steps: UInt32 = 0
    public var ringBytesSent: UInt64 = 0
    public var ringBytesReceived: UInt64 = 0
    public var computeSeconds: Double = 0
    public var waitSeconds: Double = 0
    public var wireSeconds: Double = 0
    /// 1 + the rank whose message it waits for; 0: it computes.
    public var waitsFor: UInt32 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RunProgress", in: .lariat)
    package static let fields: [WireField<RunProgress>] = [
        .uint32(1, \.layer), .uint32(2, \.layers), .uint32(3, \.step), .uint32(4, \.steps),
        .uint64(5, \.ringBytesSent), .uint64(6, \.ringBytesReceived), .double(7, \.computeSeconds),
        .double(8, \.waitSeconds), .double(9, \.wireSeconds), .uint32(10, \.waitsFor),
    ]
}

/// Asks for the cluster's state.
public struct ClusterRequest: BridgedMessage {
    public init() {}

    package static let schema = MessageSchema("lariat.v1.ClusterRequest", in: .lariat)
    package static let fields: [WireField<ClusterRequest>] = []
}

/// Who is in the cluster and what it does.
public struct ClusterState: BridgedMessage {
    public var epoch: UInt64 = 0
    public var model: String = ""
    public var fingerprint: String = ""
    public var members: [MemberRecord] = []
    public var queued: UInt32 = 0
    public var running: UInt32 = 0
    public var window: UInt64 = 0
    public var version: String = ""
    /// What its workers must speak (`LariatProtocol`).
    public var `protocol`: UInt32 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ClusterState", in: .lariat)
    package static let fields: [WireField<ClusterState>] = [
        .uint64(1, \.epoch), .string(2, \.model), .string(3, \.fingerprint), .messages(4, \.members),
        .uint32(5, \.queued), .uint32(6, \.running), .uint64(7, \.window), .string(8, \.version),
        .uint32(9, \.protocol),
    ]
}

/// A worker's wish to join.
public struct RegisterRequest: BridgedMessage {
    public var member: MemberRecord?
    /// Random per process start.
    public var instance: String = ""
    public var held: [HeldSequence] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RegisterRequest", in: .lariat)
    // Fields that this version does not know are the other's newer protocol, whose number says so.
    package static let acceptsUnknownFields = true
    package static let fields: [WireField<RegisterRequest>] = [
        .message(1, \.member), .string(2, \.instance), .messages(3, \.held),
    ]
}

/// Keys and values in a worker's memory that a run may continue.
public struct HeldSequence: BridgedMessage {
    /// As the plan named it that kept it.
    public var sequence: String = ""
    public var rank: UInt32 = 0
    /// Of the whole sequence, from position 0: the worker has those that its layout gives its rank.
    public var tokens: UInt64 = 0
    public var kvBytes: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.HeldSequence", in: .lariat)
    package static let acceptsUnknownFields = true
    package static let fields: [WireField<HeldSequence>] = [
        .string(1, \.sequence), .uint32(2, \.rank), .uint64(3, \.tokens), .uint64(4, \.kvBytes),
    ]
}

/// The worker is a member.
public struct RegisterReply: BridgedMessage {
    public var epoch: UInt64 = 0
    public var heartbeatSeconds: Double = 0
    /// What the coordinator speaks (`LariatProtocol`).
    public var `protocol`: UInt32 = 0
    /// Held sequences that nobody will ask for.
    public var drop: [String] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RegisterReply", in: .lariat)
    package static let acceptsUnknownFields = true
    package static let fields: [WireField<RegisterReply>] = [
        .uint64(1, \.epoch), .double(2, \.heartbeatSeconds), .uint32(3, \.protocol), .strings(4, \.drop),
    ]
}

/// A worker lives, or leaves.
public struct HeartbeatRequest: BridgedMessage {
    public var name: String = ""
    public var instance: String = ""
    public var epoch: UInt64 = 0
    public var kvBytesUsed: UInt64 = 0
    /// What it is running, or empty.
    public var job: String = ""
    /// Give it no more jobs: it will leave.
    public var draining: Bool = false
    public var progress: RunProgress?
    /// Of `kvBytesUsed`: sequences that no run uses.
    public var keptBytes: UInt64 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.HeartbeatRequest", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<HeartbeatRequest>] = [
        .string(1, \.name), .string(2, \.instance), .uint64(3, \.epoch), .uint64(4, \.kvBytesUsed),
        .string(5, \.job), .bool(6, \.draining), .message(7, \.progress), .uint64(8, \.keptBytes),
    ]
}

/// The present epoch, and what the coordinator wishes.
public struct HeartbeatReply: BridgedMessage {
    public var epoch: UInt64 = 0
    /// The worker is draining and no job needs it: it may go.
    public var leave: Bool = false
    /// Held sequences that nobody will ask for.
    public var drop: [String] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.HeartbeatReply", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<HeartbeatReply>] = [
        .uint64(1, \.epoch), .bool(2, \.leave), .strings(3, \.drop),
    ]
}

/// Asks that workers take no more jobs, finish what they run, and leave.
public struct DrainRequest: BridgedMessage {
    /// A worker's name, or a host: all of its workers.
    public var target: String = ""
    /// While it has not left yet.
    public var undo: Bool = false

    public init() {}

    package static let schema = MessageSchema("lariat.v1.DrainRequest", in: .lariat)
    package static let fields: [WireField<DrainRequest>] = [
        .string(1, \.target), .bool(2, \.undo),
    ]
}

/// Whom it concerns.
public struct DrainReply: BridgedMessage {
    public var workers: [String] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.DrainReply", in: .lariat)
    package static let fields: [WireField<DrainReply>] = [.strings(1, \.workers)]
}
