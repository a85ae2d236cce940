// One run's ring, as its transport needs it: who takes part, and what a block must say to belong to it.
package import RPC
package import RingAttention

/// The members of one attempt at a job, and what they pass on. Every member has the same, but for its rank.
package struct RingSession: Sendable {
    package let job: String
    package let attempt: UInt64
    package let epoch: UInt64
    /// This worker's.
    package let rank: Int
    /// By rank.
    package let peers: [Peer]
    /// What a caller must show to send blocks.
    package let key: String
    /// Of the rotary profile that keys are turned with.
    package let profileIdentity: String
    package let layout: Layout
    /// Tokens of the prompt: stripes beyond them are nobody's.
    package let tokens: Int
    /// The longest wait for another worker.
    package let stall: Duration

    /// A worker of the ring, and where it takes blocks.
    package struct Peer: Sendable {
        package let name: String
        package let address: RPCAddress

        package init(name: String, address: RPCAddress) {
            self.name = name
            self.address = address
        }
    }

    package init(
        job: String, attempt: UInt64, epoch: UInt64, rank: Int, peers: [Peer], key: String,
        profileIdentity: String, layout: Layout, tokens: Int, stall: Duration
    ) {
        self.job = job
        self.attempt = attempt
        self.epoch = epoch
        self.rank = rank
        self.peers = peers
        self.key = key
        self.profileIdentity = profileIdentity
        self.layout = layout
        self.tokens = tokens
        self.stall = stall
    }

    /// The worker of a rank, for messages.
    package func name(of rank: Int) -> String {
        peers.indices.contains(rank) ? "worker \(peers[rank].name)" : "rank \(rank)"
    }
}
