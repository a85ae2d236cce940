// Decode: keys and values stay where they are, the query travels, partials come back.

/// The leader's side. For each token and layer it sends the query to every follower, attends over its own KV while
/// they do the same, receives the partials, and merges all in rank order, so that the result does not depend on who
/// answers first. A token's new key and value ride on the query to the rank that keeps them.
///
/// Works on the caller's thread, which must be an ordinary OS thread. After an error the ring is over.
public struct StationaryLeader: Sendable {
    /// Ranks asked for partials, ascending, without the leader.
    public let followers: [Int]
    private let peer: any RingPeer
    private let rank: Int
    private let stall: Duration
    private let meter: RingMeter

    /// - Parameters:
    ///   - followers: every other rank that holds KV or will: `Layout.holders(in:)` for the longest answer.
    ///     All of them are asked for every token; one without KV answers (0, -inf).
    ///   - stall: longest wait for one follower.
    public init(
        peer: any RingPeer, rank: Int, followers: [Int], stall: Duration, meter: RingMeter = RingMeter()
    )
        throws(RingError)
    {
        let others = Set(followers).subtracting([rank])
        guard stall > .zero, others.allSatisfy({ $0 >= 0 }), others.count < Layout.maximumRanks else {
            throw .invalidPlan("followers \(followers) with a stall limit of \(stall)")
        }
        self.peer = peer
        self.rank = rank
        self.followers = others.sorted()
        self.stall = stall
        self.meter = meter
    }

    /// One layer of one token.
    ///
    /// - Parameters:
    ///   - heads: query heads; `headSize`: values of each.
    ///   - query: what to send to a rank: the query, and for the owner of the token its key and value as well.
    ///   - own: attention over the leader's own KV (after appending the token's, if the leader is the owner).
    /// - Returns: attention over everything, merged in ascending rank order.
    public func attend(
        layer: Int, position: Int, heads: Int, headSize: Int, query: (_ rank: Int) throws -> any RingPayload,
        own: () throws -> AttentionPartial
    ) throws(RingError) -> AttentionPartial {
        do {
            for follower in followers {
                let message = RingMessage.query(
                    layer: layer, position: position, payload: try query(follower))
                try peer.send(message, to: follower, deadline: .now + stall)
            }
            let mine = try own()
            var result = AttentionPartial(heads: heads, headSize: headSize)
            var merged = false
            for follower in followers {
                if follower > rank, !merged {
                    try result.merge(mine)
                    merged = true
                }
                let message = try meter.waiting(for: follower) { () throws(RingError) in
                    try peer.receive(from: follower, deadline: .now + stall)
                }
                guard case .partial(layer, follower, let payload) = message else {
                    throw RingError.protocolViolation(
                        rank: follower,
                        what: "its partial of layer \(layer) was due; it sent \(message.summary)")
                }
                try result.merge(
                    AttentionPartial(payload, from: follower, heads: heads, headSize: headSize))
            }
            if !merged { try result.merge(mine) }
            return result
        } catch {
            throw peer.end(error)
        }
    }

    /// Ends decoding: the followers' `run` returns. Tries every follower, then throws the first error.
    public func end() throws(RingError) {
        var first: RingError?
        for follower in followers {
            do {
                try peer.send(.end, to: follower, deadline: .now + stall)
            } catch {
                first = first ?? error
            }
        }
        if let first { throw peer.end(first) }
    }
}

/// A follower's side: answers queries until the leader ends decoding.
public struct StationaryFollower: Sendable {
    private let peer: any RingPeer
    private let rank: Int
    private let leader: Int
    private let layers: Int
    private let stall: Duration
    private let meter: RingMeter

    /// - Parameters:
    ///   - layers: attention layers of the model; queries must come for layers 0..<layers of one position after
    ///     another.
    ///   - stall: longest wait for the next query.
    public init(
        peer: any RingPeer, rank: Int, leader: Int, layers: Int, stall: Duration,
        meter: RingMeter = RingMeter()
    )
        throws(RingError)
    {
        guard rank != leader, rank >= 0, leader >= 0, layers > 0, stall > .zero else {
            throw .invalidPlan("follower \(rank) of leader \(leader), \(layers) layers, stall limit \(stall)")
        }
        self.peer = peer
        self.rank = rank
        self.leader = leader
        self.layers = layers
        self.stall = stall
        self.meter = meter
    }

    /// Answers queries of one position after another until the leader ends decoding.
    ///
    /// - Parameters:
    ///   - firstPosition: position of the first query, if known.
    ///   - answer: appends the key and value if they are there, attends, and returns the partial.
    /// - Returns: the number of queries answered.
    @discardableResult
    public func run(
        firstPosition: Int? = nil,
        answer: (_ layer: Int, _ position: Int, _ query: any RingPayload) throws -> AttentionPartial
    ) throws(RingError) -> Int {
        var passes = 0
        var due = firstPosition
        while let position = try pass(at: due, answer: answer) {
            passes += 1
            due = position + 1
        }
        return passes * layers
    }

    /// Answers the queries of all layers for one position, or for rows that begin there.
    ///
    /// - Parameter position: of the queries; nil: whichever the first one has.
    /// - Returns: the position; nil where the leader ended instead.
    @discardableResult
    public func pass(
        at position: Int?,
        answer: (_ layer: Int, _ position: Int, _ query: any RingPayload) throws -> AttentionPartial
    ) throws(RingError) -> Int? {
        var known = position
        do {
            for due in 0..<layers {
                let message = try meter.waiting(for: leader) { () throws(RingError) in
                    try peer.receive(from: leader, deadline: .now + stall)
                }
                switch message {
                case .end where due == 0:
                    return nil
                case .query(due, let position, let payload)
                where position == known ?? position && (0...Layout.maximumTokens).contains(position):
                    known = position
                    let partial = try answer(due, position, payload)
                    try peer.send(
                        .partial(layer: due, from: rank, payload: partial.payload), to: leader,
                        deadline: .now + stall)
                default:
                    let position = known.map { "position \($0)" } ?? "any position"
                    throw RingError.protocolViolation(
                        rank: leader,
                        what: "a query of layer \(due), \(position), was due; it sent \(message.summary)")
                }
            }
            return known
        } catch {
            throw peer.end(error)
        }
    }
}

extension RingPeer {
    /// Ends the ring on this rank: the error to throw.
    fileprivate func end(_ error: any Error) -> RingError {
        abandon()
        return error as? RingError ?? .attention("\(error)")
    }
}
