// Keys and values of this worker's runs: where a run begins, and what stays when it is over.
import KVCache
import Kernels
import LongRoPE
import Messages
import Numerals
import Protobuf
import RPC
import RingAttention
import Transformer

extension RunService {
    /// The sequence that a run works on: what it continues, and room behind it.
    /// - Throws: MISSING where the past is not here, OWN where there is no memory.
    func sequence(for run: Run) throws(RunFault) -> KVSequence {
        store.drop(run.drop)
        let assignment = run.assignment
        let pastRows = assignment.layout.count(of: run.rank, in: assignment.past)
        let past = try run.past.map { name throws(RunFault) in try held(name, for: run) }
        store.makeRoom(
            KVSequence.pageBytes(engine.kvShape, capacity: assignment.capacity, continuing: pastRows))
        do throws(KVError) {
            guard let past else {
                return try KVSequence(
                    shape: engine.kvShape, capacity: assignment.capacity, memory: store.memory)
            }
            return try KVSequence(
                continuing: past.rows, rows: pastRows, capacity: assignment.capacity, memory: store.memory)
        } catch { throw run.fault(for: .memory(error)) }
    }

    private func held(_ name: String, for run: Run) throws(RunFault) -> SequencePart {
        func missing(_ what: String) -> RunFault {
            RunFault(.missing, accused: run.rank, RPCStatus(.failedPrecondition, what))
        }
        guard let part = store.sequence(name) else {
            throw missing("the sequence \(name) is not in this worker's memory")
        }
        guard part.rank == run.rank, part.layout == run.assignment.layout,
            part.profile == run.profile.identity
        else {
            throw missing("the sequence \(name) is here as another rank, layout or rotary profile has it")
        }
        guard part.tokens >= run.assignment.past else {
            throw missing(
                "the sequence \(name) has \(part.tokens.grouped) tokens here, and \(run.assignment.past.grouped) are "
                    + "to be continued")
        }
        return part
    }

    /// Keeps the whole tiles of a prompt whose prefill is over; nil where the plan does not want it.
    func keep(_ work: RunWork) -> KeptSequence? {
        let (run, assignment) = (work.run, work.run.assignment)
        guard let name = run.keep, assignment.keepable > 0 else { return nil }
        let rows = assignment.layout.count(of: run.rank, in: assignment.keepable)
        let part = SequencePart(
            rank: run.rank, layout: assignment.layout, tokens: assignment.keepable,
            profile: run.profile.identity, rows: KVSequence(beginning: work.sequence, rows: rows))
        store.keep(part, as: name)
        return KeptSequence(
            tokens: UInt64(assignment.keepable), kvBytes: UInt64(KVStore.bytes(of: part)))
    }

    /// What the coordinator is told when this worker registers.
    var held: [HeldSequence] {
        store.sequences.sorted { $0.key < $1.key }.map { name, part in
            .with {
                $0.sequence = name
                $0.rank = UInt32(part.rank)
                $0.tokens = UInt64(part.tokens)
                $0.kvBytes = UInt64(KVStore.bytes(of: part))
            }
        }
    }
}
