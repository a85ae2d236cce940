// What one run needs on the compute thread, on its way there.
import KVCache
import Messages
import RingAttention
import RingTransport
import Transformer

/// A run's passes and the sequence that they work on. Made on one thread and used by exactly one other afterwards; only
/// `cancel` and `meter` are for others. That is why it may cross threads unchecked.
struct RunWork: @unchecked Sendable {
    let run: Run
    let sequence: KVSequence
    let prefill: PrefillPass
    let decode: StationaryPass
    let recorder: PassRecorder
    let meter: RingMeter
    let cancel: @Sendable () -> Void

    init(_ run: Run, _ sequence: KVSequence, engine: LayerEngine, links: RingLinks) {
        self.run = run
        self.sequence = sequence
        recorder = PassRecorder()
        meter = recorder.meter
        prefill = PrefillPass(
            engine: engine, assignment: run.assignment, profile: run.profile, sequence: sequence,
            peer: links, stall: run.stall, recorder: recorder)
        decode = StationaryPass(
            engine: engine, assignment: run.assignment, profile: run.profile, sequence: sequence,
            peer: links, stall: run.stall, recorder: recorder)
        cancel = prefill.cancel
    }
}

extension Run {
    /// The ranks that this one sends to: the next one, and for decode the leader or its followers.
    var peersSentTo: Set<Int> {
        var peers: Set<Int> = [(rank + 1) % members.count]
        if kind == .generate {
            if assignment.isLeader {
                peers.formUnion(assignment.followers)
            } else if assignment.followers.contains(rank) {
                peers.insert(assignment.leader)
            }
        }
        peers.remove(rank)
        return peers
    }
}
