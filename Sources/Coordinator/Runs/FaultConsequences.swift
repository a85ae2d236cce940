// What follows from a fault for the queue and for the workers' standing.
package import Messages

extension JobFault {
    package init(
        _ kind: Kind, accused: [String] = [], witnesses: [String] = [], detail: String = ""
    ) {
        self.init()
        self.kind = kind
        self.accused = accused
        self.witnesses = witnesses
        self.detail = detail
    }

    /// Whether the same job may run well another time: the fault is not the job's.
    package var mayPass: Bool {
        switch kind {
        case .lost, .late, .busy, .stale, .unreachable, .lostByOthers, .stopped, .missing: true
        case .unfinished, .own, .refused, .wrongBytes, .nonsense, .quiet, .coordinator, .unspecified: false
        }
    }

    /// Whether the worker lives, as far as one can tell, but is of no use for now.
    package var setsAside: Bool {
        switch kind {
        case .late, .busy, .unreachable, .lostByOthers, .unfinished: true
        case .lost, .own, .stale, .refused, .wrongBytes, .nonsense, .quiet, .stopped, .coordinator,
            .missing, .unspecified:
            false
        }
    }
}

extension JobFault.Kind {
    /// What the coordinator makes of a worker's complaint.
    package init(_ kind: FaultMessage.Kind) {
        self =
            switch kind {
            case .busy: .busy
            case .stale: .stale
            case .refused: .refused
            case .unreachable: .unreachable
            case .broken, .silent, .gaveUp: .lostByOthers
            case .wrongBytes: .wrongBytes
            case .missing: .missing
            case .own, .unspecified: .own
            }
    }
}
