// Who is at fault when ranks of a run give up: what each of them says, and what that comes to.
import Messages
import RingAttention

extension RunState {
    /// A rank gives up. It may be another one's fault, which the others, or that worker's lost connection, will tell in
    /// a moment.
    mutating func complained(_ rank: Int, _ fault: FaultMessage, at now: Instant) {
        guard complaints[rank] == nil else { return }
        if fault.kind == .missing, phase == .accepting {
            // It says so before anything begins, and nobody else is to blame.
            return fail(
                JobFault(
                    .missing, accused: [ranks[rank].name], detail: String(fault.detail.prefix(1000))))
        }
        complaints[rank] = fault
        if firstComplaint == nil { firstComplaint = now }
        let accused = Int(fault.accused)
        let kind = Complaint.Kind(fault.kind)
        guard kind != .own, accused != rank, ranks.indices.contains(accused) else {
            return blame.add(Complaint(.own, accused: rank), by: rank)
        }
        blame.add(Complaint(kind, accused: accused), by: rank)
    }

    /// What all complaints come to.
    var verdict: JobFault? {
        var blame = blame
        // Who waits for a rank that has given up hears of it at once and gives up too. One that has not stands still
        // itself, in the middle of its wait.
        for (rank, other) in waits where complaints[other] == nil { blame.note(rank, waitsFor: other) }
        guard let verdict = blame.verdict, let witness = verdict.chain.first, let fault = complaints[witness]
        else { return nil }
        let culprit = ranks[verdict.culprit].name
        let detail = String(fault.detail.prefix(1000))
        guard witness != verdict.culprit else {
            return JobFault(
                Complaint.Kind(fault.kind) == .own ? JobFault.Kind(fault.kind) : .own, accused: [culprit],
                detail: detail)
        }
        return JobFault(
            JobFault.Kind(fault.kind), accused: [culprit], witnesses: verdict.chain.map { ranks[$0].name },
            detail: detail)
    }
}

extension Complaint.Kind {
    /// What a worker says about itself is its own.
    fileprivate init(_ kind: FaultMessage.Kind) {
        self =
            switch kind {
            case .unreachable: .unreachable
            case .broken: .broken
            case .silent: .silent
            case .wrongBytes: .wrongBytes
            case .gaveUp: .gaveUp
            case .own, .busy, .stale, .refused, .missing, .unspecified: .own
            }
    }
}
