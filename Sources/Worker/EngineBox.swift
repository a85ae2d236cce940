// The engine of one run, on its way to the thread that uses it.
import Kernels
import Messages
import RingAttention
import Transformer

/// Carries an engine to its thread. The engine is made on one thread and used by exactly one other afterwards.
struct EngineBox: @unchecked Sendable {
    let engine: ShardEngine
    let meter: RingMeter
    let peersSentTo: Set<Int>
    let cancel: @Sendable () -> Void

    init(
        model: Model, compute: Compute, weights: UnpackedWeights, run: Run, links: RingLinks
    ) throws(RunFault) {
        do throws(ModelError) {
            engine = try ShardEngine(
                model: model, compute: compute, weights: weights, profile: run.profile,
                assignment: run.assignment, peer: links, stall: run.stall)
        } catch { throw run.fault(for: error) }
        cancel = engine.cancel
        meter = engine.meter
        var peers: Set<Int> = [(run.rank + 1) % run.members.count]
        if run.kind == .generate {
            if run.assignment.isLeader {
                peers.formUnion(run.assignment.followers)
            } else if run.assignment.followers.contains(run.rank) {
                peers.insert(run.assignment.leader)
            }
        }
        peers.remove(run.rank)
        peersSentTo = peers
    }
}
