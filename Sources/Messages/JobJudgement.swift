// What the coordinator says about a job beside its figures: why it failed, and what its prefill waited for.

public import JSONText
public import Protobuf

/// Why a job failed, as far as the coordinator could find it.
public struct JobFault: BridgedMessage {
    public enum Kind: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// The connection to the worker broke, or it was not heard.
        case lost = 1
        /// It did not answer the plan.
        case late = 2
        /// It did not finish when the others did.
        case unfinished = 3
        /// It failed by itself.
        case own = 4
        /// It still runs another job.
        case busy = 5
        /// It knows a newer epoch than the plan's.
        case stale = 6
        /// It cannot carry out this plan, now or later.
        case refused = 7
        /// Other workers cannot connect to it for blocks.
        case unreachable = 8
        /// Another worker lost it: its connection broke, it went silent, or it left without a word.
        case lostByOthers = 9
        /// It sent blocks that are damaged or out of order.
        case wrongBytes = 10
        /// It does not keep to the protocol between coordinator and worker.
        case nonsense = 11
        /// No worker reported anything.
        case quiet = 12
        /// The coordinator stops.
        case stopped = 13
        /// It lies with the coordinator.
        case coordinator = 14
        /// It did not hold the keys and values that the job was to continue.
        case missing = 15
    }
    public enum Phase: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// Before the job began.
        case accepting = 1
        case prefilling = 2
        case decoding = 3
    }

    public var kind: Kind = .unspecified
    /// The workers at fault; none where it lies elsewhere.
    public var accused: [String] = []
    /// Who says so: each complains of the next, or waits for it.
    public var witnesses: [String] = []
    public var phase: Phase = .unspecified
    /// Of prefill, from 1.
    public var layer: UInt32 = 0
    /// Of the answer, that had come before.
    public var token: UInt64 = 0
    /// What was seen, for people.
    public var detail: String = ""

    public init() {}

    package static let schema = MessageSchema("lariat.v1.JobFault", in: .lariat)
    package static let fields: [WireField<JobFault>] = [
        .enumeration(1, \.kind), .strings(2, \.accused), .strings(3, \.witnesses), .enumeration(4, \.phase),
        .uint32(5, \.layer), .uint64(6, \.token), .string(7, \.detail),
    ]
}

/// A worker or a link that slowed a prefill down.
public struct StragglerMessage: BridgedMessage {
    /// That computed longest, or that a slow link leads to.
    public var worker: String = ""
    /// The other end of the slow link; empty: the worker computed for long.
    public var sender: String = ""
    /// The worker's.
    public var computeSeconds: Double = 0
    /// Of the others' computing, the median; 0 for a link.
    public var othersSeconds: Double = 0
    /// The other worker, where there is one alone.
    public var onlyOther: String = ""
    /// Of the others, on average; of the worker itself for a link.
    public var waitedSeconds: Double = 0
    public var prefillSeconds: Double = 0
    /// Over the link.
    public var bytes: UInt64 = 0
    /// That they took.
    public var wireSeconds: Double = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.Straggler", in: .lariat)
    package static let fields: [WireField<StragglerMessage>] = [
        .string(1, \.worker), .string(2, \.sender), .double(3, \.computeSeconds), .double(4, \.othersSeconds),
        .string(5, \.onlyOther), .double(6, \.waitedSeconds), .double(7, \.prefillSeconds),
        .uint64(8, \.bytes),
        .double(9, \.wireSeconds),
    ]
}

extension JobFault.Kind {
    /// As in Proto/: "LOST".
    public var name: String {
        switch self {
        case .unspecified: "KIND_UNSPECIFIED"
        case .lost: "LOST"
        case .late: "LATE"
        case .unfinished: "UNFINISHED"
        case .own: "OWN"
        case .busy: "BUSY"
        case .stale: "STALE"
        case .refused: "REFUSED"
        case .unreachable: "UNREACHABLE"
        case .lostByOthers: "LOST_BY_OTHERS"
        case .wrongBytes: "WRONG_BYTES"
        case .nonsense: "NONSENSE"
        case .quiet: "QUIET"
        case .stopped: "STOPPED"
        case .coordinator: "COORDINATOR"
        case .missing: "MISSING"
        }
    }
}

extension JobFault.Phase {
    /// As in Proto/: "PREFILLING".
    public var name: String {
        switch self {
        case .unspecified: "PHASE_UNSPECIFIED"
        case .accepting: "ACCEPTING"
        case .prefilling: "PREFILLING"
        case .decoding: "DECODING"
        }
    }
}

extension JobFault: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("kind", .string(kind.name)), ("accused", .array(accused.map { .string($0) })),
            ("witnesses", .array(witnesses.map { .string($0) })), ("phase", .string(phase.name)),
            ("layer", .unsigned(UInt64(layer))), ("token", .unsigned(token)), ("detail", .string(detail)),
        ])
    }
}

extension StragglerMessage: JSONRepresentable {
    public var json: JSONValue {
        .object([
            ("worker", .string(worker)), ("sender", .string(sender)),
            ("compute_seconds", .number(computeSeconds)), ("others_seconds", .number(othersSeconds)),
            ("only_other", .string(onlyOther)), ("waited_seconds", .number(waitedSeconds)),
            ("prefill_seconds", .number(prefillSeconds)), ("bytes", .unsigned(bytes)),
            ("wire_seconds", .number(wireSeconds)),
        ])
    }
}
