// A run that only moves blocks between workers, without a model: what the ring's transport is measured with.
package import Cluster
package import LongRoPE
import Messages
package import RPC
import RingAttention
import Sampling
package import Transformer

extension Run {
    /// What members of such runs show each other: they hold no one's data.
    package static let transportKey = "a run of no job's blocks"

    /// A run whose members pass blocks on and compute nothing.
    /// - Parameters:
    ///   - rank: this worker's, in 0..<members.count.
    ///   - members: every worker, with the address at which it takes blocks.
    ///   - assignment: who holds which tokens.
    ///   - stall: the longest wait for another worker.
    package init(
        job: String, members: [Member], assignment: ShardAssignment, profile: RotaryProfile,
        stall: Duration
    ) throws(RPCStatus) {
        do throws(SamplingError) { sampling = try SamplingOptions() } catch {
            throw RPCStatus(.internal, "\(error)")
        }
        self.job = job
        self.members = members
        self.assignment = assignment
        self.profile = profile
        self.stall = stall
        attempt = 1
        epoch = 1
        kind = .score
        ignoreEnd = false
        promptTokens = assignment.promptTokens
        maxTokens = 0
        recent = []
        key = Self.transportKey
        logProbabilities = false
        topProbabilities = 0
        past = nil
        keep = nil
        drop = []
    }
}

extension Run.Member {
    package init(name: String, at ringAddress: HostPort) {
        self.init(name: name, ringAddress: ringAddress)
    }
}
