// Why this worker gives a run up: a value for the coordinator, and the status that ends the call.
import Messages
import Protobuf
import RPC
import RingAttention
import Transformer

/// An error that ends a run.
struct RunFault: Error {
    /// The accused is a rank of the run.
    var message: FaultMessage
    var status: RPCStatus

    init(_ kind: FaultMessage.Kind, accused: Int, _ status: RPCStatus) {
        message = .with {
            $0.kind = kind
            $0.accused = UInt32(clamping: accused)
            $0.detail = String(status.message.prefix(2048))
        }
        self.status = status
    }

    /// A fault before there was a run: the rank is the one that the plan gives this worker.
    init(_ kind: FaultMessage.Kind, of plan: RunPlan, _ status: RPCStatus) {
        self.init(kind, accused: Int(plan.rank), status)
    }

    /// Whether it may show itself by another connection that the accused cannot be reached at all.
    var isWorthACheck: Bool { message.kind == .broken || message.kind == .silent }
}

extension Run {
    /// The worker of a rank, for messages.
    func name(of rank: Int) -> String {
        members.indices.contains(rank) ? "worker \(members[rank].name)" : "rank \(rank)"
    }

    /// What this rank itself has done wrong.
    func fault(_ status: RPCStatus) -> RunFault { RunFault(.own, accused: rank, status) }

    /// An error of the engine as the coordinator should hear it.
    func fault(for error: ModelError) -> RunFault {
        guard case .ring(let ring) = error else {
            if case .memory(let why) = error { return fault(RPCStatus(.resourceExhausted, "\(why)")) }
            return fault(RPCStatus(.internal, "\(error)"))
        }
        let status =
            switch ring {
            case .peer(let rank, let what): RPCStatus(.unavailable, "lost \(name(of: rank)): \(what)")
            case .gaveUp(let rank, let what): RPCStatus(.aborted, "\(name(of: rank)) gave up: \(what)")
            case .stalled(let rank, let seconds):
                RPCStatus(.deadlineExceeded, "\(name(of: rank)) did not move for \(seconds) s")
            case .protocolViolation(let rank, let what):
                RPCStatus(.dataLoss, "\(name(of: rank)) broke the ring protocol: \(what)")
            case .cancelled: RPCStatus(.cancelled, "the run was cancelled")
            default: RPCStatus(.internal, "\(ring)")
            }
        guard let complaint = ring.complaint(by: rank) else {
            return RunFault(.unspecified, accused: rank, status)
        }
        return RunFault(FaultMessage.Kind(complaint.kind), accused: complaint.accused, status)
    }
}

extension FaultMessage.Kind {
    fileprivate init(_ kind: Complaint.Kind) {
        self =
            switch kind {
            case .gaveUp: .gaveUp
            case .broken: .broken
            case .silent: .silent
            case .unreachable: .unreachable
            case .wrongBytes: .wrongBytes
            case .own: .own
            }
    }
}
