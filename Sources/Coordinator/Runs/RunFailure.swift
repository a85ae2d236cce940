// Why a run did not end as it should: a value, from which the words, the queue and the workers' standing follow.
package import Messages

/// The cause of a run's failure, as far as the coordinator could find it.
package struct RunFailure: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The connection to the worker broke, or it was not heard.
        case lost
        /// It did not answer the plan.
        case late
        /// It did not finish when the others did.
        case unfinished
        /// It failed by itself.
        case own
        /// It still runs another job.
        case busy
        /// It knows a newer epoch than the plan's.
        case stale
        /// It cannot carry out this plan, now or later.
        case refused
        /// Other workers cannot connect to it for blocks.
        case unreachable
        /// Another worker lost it: its connection broke, it went silent, or it left without a word.
        case lostByOthers
        /// It sent blocks that are damaged or out of order.
        case wrongBytes
        /// It does not keep to the protocol between coordinator and worker.
        case nonsense
        /// No worker reported anything.
        case quiet
        /// The coordinator stops.
        case stopped
        /// It lies with the coordinator.
        case coordinator
    }

    package var kind: Kind
    /// The workers at fault; none where it lies elsewhere.
    package var workers: [String]
    /// Who says so, and how: each complains of the next, or waits for it.
    package var witnesses: [String]
    /// What was seen, for people.
    package var detail: String

    package init(_ kind: Kind, workers: [String] = [], witnesses: [String] = [], detail: String = "") {
        self.kind = kind
        self.workers = workers
        self.witnesses = witnesses
        self.detail = detail
    }

    /// Whether the same job may run well another time: the fault is not the job's.
    package var mayPass: Bool {
        switch kind {
        case .lost, .late, .busy, .stale, .unreachable, .lostByOthers, .stopped: true
        case .unfinished, .own, .refused, .wrongBytes, .nonsense, .quiet, .coordinator: false
        }
    }

    /// Whether the worker lives, as far as one can tell, but is of no use for now.
    package var setsAside: Bool {
        switch kind {
        case .late, .busy, .unreachable, .lostByOthers, .unfinished: true
        case .lost, .own, .stale, .refused, .wrongBytes, .nonsense, .quiet, .stopped, .coordinator: false
        }
    }
}

extension RunFailure {
    /// In words that say what to do.
    /// - Parameters:
    ///   - place: where the job was, as "in prefill, at layer 1 of 10".
    ///   - attempt: which one this was.
    package func text(place: String, attempt: UInt64) -> String {
        let times = attempt > 1 ? " It was tried \(attempt) times." : ""
        return text(place: place) + times
    }

    /// For people.
    package var worker: String { workers.joined(separator: ", ") }

    private func text(place: String) -> String {
        let seen = ([detail] + waits).filter { !$0.isEmpty }.joined(separator: "; ")
        let said = witnesses.first.map { "worker \($0) says: \(seen)" } ?? seen
        switch kind {
        case .lost, .late, .unfinished, .lostByOthers:
            return
                "worker \(worker) was lost \(place) (\(said)). Start it again with `lariat worker --name \(worker)` "
                + "and the options it had, then submit the job again."
        case .unreachable:
            return
                "worker \(worker) was lost \(place) (\(said)). Check that the other workers reach its port for "
                + "blocks, start it again if it is gone, then submit the job again."
        case .wrongBytes:
            return
                "worker \(worker) sent wrong blocks \(place) (\(said)). Look at its log and at its host's memory and "
                + "network, start it again, then submit the job again."
        case .own, .busy, .stale, .refused:
            return
                "worker \(worker) failed \(place): \(said). Look at its log, start it again if it is gone, then submit "
                + "the job again."
        case .nonsense:
            return
                "worker \(worker) \(detail) \(place): it does not keep to the protocol. Check that it runs the same "
                + "version of Lariat."
        case .quiet:
            return "\(detail) \(place). Look at the workers' logs, then submit the job again."
        case .stopped: return "the coordinator was stopped \(place); submit the job again"
        case .coordinator: return detail
        }
    }

    /// Those between the first witness and the worker at fault.
    private var waits: [String] {
        let chain = witnesses + workers
        return zip(chain, chain.dropFirst()).dropFirst().map { "worker \($0) waits for worker \($1)" }
    }

    /// Why the worker gets no job for a while.
    package var standing: String {
        let witness = witnesses.first.map { " (says worker \($0))" } ?? ""
        return detail + witness
    }
}

extension RunFailure.Kind {
    package init(_ kind: FaultMessage.Kind) {
        self =
            switch kind {
            case .busy: .busy
            case .stale: .stale
            case .refused: .refused
            case .unreachable: .unreachable
            case .broken, .silent, .gaveUp: .lostByOthers
            case .wrongBytes: .wrongBytes
            case .own, .unspecified: .own
            }
    }
}
