// Why a run did not end as it should, in words that say what to do: nothing reads these sentences again.
package import Messages

extension JobFault {
    /// For people.
    /// - Parameters:
    ///   - layers: of the model.
    ///   - attempt: which one this was.
    package func text(layers: Int, attempt: UInt64) -> String {
        let times = attempt > 1 ? " It was tried \(attempt) times." : ""
        return sentence(layers) + times
    }

    /// The workers at fault.
    package var worker: String { accused.joined(separator: ", ") }

    /// Why the worker gets no job for a while.
    package var standing: String {
        let witness = witnesses.first.map { " (says worker \($0))" } ?? ""
        return detail + witness
    }

    private func sentence(_ layers: Int) -> String {
        let place = self.place(layers)
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
        case .own, .busy, .stale, .refused, .missing:
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
        case .coordinator, .unspecified: return detail
        }
    }

    /// Where the job was.
    private func place(_ layers: Int) -> String {
        switch phase {
        case .accepting: "before the job began"
        case .prefilling: "in prefill, at layer \(layer) of \(layers)"
        case .decoding: "in decode, after \(token) token\(token == 1 ? "" : "s") of the answer"
        case .unspecified: "at the end"
        }
    }

    /// Those between the first witness and the worker at fault.
    private var waits: [String] {
        let chain = witnesses + accused
        return zip(chain, chain.dropFirst()).dropFirst().map { "worker \($0) waits for worker \($1)" }
    }
}
