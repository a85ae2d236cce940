// Keys and values of this worker's runs: where a run begins, and what stays when it is over.
import KVCache
import Kernels
import Logging
import LongRoPE
import Messages
import Numerals
import Protobuf
import RPC
import RingAttention
import Transformer

extension RunService {
    /// What computes a number; to be raised when the same tokens, weights and kernels give other bits than before.
    private static let numbers = 1
    /// What waits to be written gets so long when the worker stops.
    private static let lastWrites: Duration = .seconds(10)

    /// The store of kept sequences, with what is on disk from earlier lives of this worker.
    static func store(
        _ configuration: WorkerConfiguration, engine: LayerEngine, logger: Logger
    ) throws(RPCStatus) -> KVStore {
        let memory = KVMemory(limit: configuration.memoryBytes)
        guard let disk = configuration.kvDisk else { return KVStore(memory: memory) }
        do throws(KVFolderError) {
            let folder = try KVFolder(
                path: KVFolder.path(of: configuration.name, below: disk.path),
                identity: "numbers \(numbers) model \(engine.model.fingerprint) precision "
                    + "\(configuration.precision.rawValue) isa \(configuration.isa.rawValue)",
                shape: engine.kvShape, quota: disk.bytes
            ) { logger.warning("kept sequences on disk", metadata: ["what": "\($0)"]) }
            return KVStore(memory: memory, folder: folder)
        } catch { throw RPCStatus(.failedPrecondition, "the folder of kept sequences: \(error)") }
    }

    /// Writes what waits, for a bounded time, and lets another process use the folder.
    package func closeStore() async {
        await onComputeThread("lariat kv") { () in self.store.close(within: Self.lastWrites) }
    }

    /// The sequence that a run works on: what it continues, and room behind it. What is on disk is read on a thread of
    /// its own, until the call is cancelled.
    /// - Throws: MISSING where the past is not here, OWN where there is no memory.
    func sequence(for run: Run) async throws(RunFault) -> KVSequence {
        let end = Flag()
        let result = await withTaskCancellationHandler {
            await onComputeThread("lariat kv") { () -> Result<KVSequence, RunFault> in
                do throws(RunFault) { return .success(try self.sequence(for: run, until: end)) } catch {
                    return .failure(error)
                }
            }
        } onCancel: {
            end.set()
        }
        return try result.get()
    }

    /// The same on this thread.
    private func sequence(for run: Run, until end: Flag) throws(RunFault) -> KVSequence {
        store.drop(run.drop)
        store.release(run.release)
        let assignment = run.assignment
        let pastRows = assignment.layout.count(of: run.rank, in: assignment.past)
        let past = try run.past.map { name throws(RunFault) in try held(name, for: run, until: end) }
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

    private func held(_ name: String, for run: Run, until end: Flag) throws(RunFault) -> SequencePart {
        func missing(_ what: String) -> RunFault {
            RunFault(.missing, accused: run.rank, RPCStatus(.failedPrecondition, what))
        }
        // Before it is read: it may be long.
        guard let part = store.description(name) else {
            throw missing("this worker does not keep the sequence \(name)")
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
        let found = store.sequence(name) { end.isSet }
        guard let found else {
            throw missing(
                "the copy of the sequence \(name) on disk cannot be used, or there is no memory for it")
        }
        return found
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
        store.sequences.sorted { $0.key < $1.key }.map { name, kept in
            .with {
                $0.sequence = name
                $0.rank = UInt32(kept.rank)
                $0.tokens = UInt64(kept.tokens)
                // Of memory: one that is on disk only takes none.
                $0.kvBytes = UInt64(kept.memoryBytes)
            }
        }
    }
}
