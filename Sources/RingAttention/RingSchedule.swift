// The fixed order in which pieces cross every link of the ring: who sends, receives and attends what, and when.

/// One rank's part of a layer's ring: three fixed lists, the same for every layer. A pure value; no time, no I/O.
///
/// The ring is not in lock step. In round p every rank sends its own piece p to the next rank, then forwards piece p
/// of ranks r-1, r-2, ..., r-P+2 as they arrive. So it receives, for each p, piece p of ranks r-1, r-2, ..., r-P+1.
/// Ranks without a piece p are passed over. A piece makes P-1 hops. A rank attends its own piece p at the start of
/// round p and then round p's received pieces in order of receipt: attending all its own pieces first would let the
/// link fall idle once the inbox is full.
///
/// **It cannot deadlock**, however small the buffers. Order all receipts, over all ranks, by (round p, hops d), and
/// take the smallest (p, d) that is still missing, at rank r. Rank r-1 has the piece: it is its own (d = 1), or it
/// received it as (p, d-1), which is smaller. Everything r-1 sends before it is smaller too, so has been received,
/// and the link is free for it. Rank r must have room in its inbox: attending empties that in exactly the order of
/// receipt and waits for nobody while it holds a piece. And rank r must have room in its forward queue: all that was
/// received at r before is smaller than (p, d), and is one hop larger at r+1, so it was received there too, except
/// perhaps (p, d-1), which the sender has taken out of the queue to send it. So the missing receipt can happen, at
/// once, with an inbox and a forward queue of one piece each and links that hold nothing.
public struct RingSchedule: Sendable, Equatable {
    /// Piece number `piece` of rank `origin`.
    public struct Slot: Sendable, Hashable {
        public let origin: Int
        public let piece: Int
        public init(origin: Int, piece: Int) {
            self.origin = origin
            self.piece = piece
        }
    }

    public let rank: Int
    /// Pieces of each rank.
    public let pieceCounts: [Int]
    /// To the next rank, in order: own pieces and forwarded ones.
    public let sends: [Slot]
    /// From the previous rank, in order.
    public let receives: [Slot]
    /// In order; the received ones among them are in the order of `receives`.
    public let attends: [Slot]

    /// - Throws: `.invalidPlan` for a rank outside the ring or a piece count that no `PiecePlan` makes.
    public init(rank: Int, pieceCounts: [Int]) throws(RingError) {
        guard pieceCounts.indices.contains(rank), pieceCounts.count <= ShardPlan.maximumRanks else {
            throw .invalidPlan(
                "rank \(rank) of \(pieceCounts.count); at most \(ShardPlan.maximumRanks) are possible")
        }
        guard pieceCounts.allSatisfy({ (0...PiecePlan.maximumPieces).contains($0) }),
            pieceCounts.reduce(0, +) <= PiecePlan.maximumPiecesInAll
        else {
            throw .invalidPlan("pieces per rank \(pieceCounts); 0 to \(PiecePlan.maximumPieces) are possible")
        }
        let ranks = pieceCounts.count
        var sends: [Slot] = []
        var receives: [Slot] = []
        var attends: [Slot] = []
        for piece in 0..<(pieceCounts.max() ?? 0) {
            for hops in 0..<ranks {
                let slot = Slot(origin: (rank + ranks - hops) % ranks, piece: piece)
                guard piece < pieceCounts[slot.origin] else { continue }
                attends.append(slot)
                if hops > 0 { receives.append(slot) }
                if hops < ranks - 1 { sends.append(slot) }
            }
        }
        self.rank = rank
        self.pieceCounts = pieceCounts
        self.sends = sends
        self.receives = receives
        self.attends = attends
    }

    /// Number of ranks, P.
    public var ranks: Int { pieceCounts.count }
    /// The rank that this one sends to.
    public var next: Int { (rank + 1) % ranks }
    /// The rank that this one receives from.
    public var previous: Int { (rank + ranks - 1) % ranks }

    /// How far a piece has come when it is here: 0 for this rank's own.
    public func hops(_ slot: Slot) -> Int { (rank + ranks - slot.origin) % ranks }

    /// Whether a received piece must go on to the next rank: not once it has made P-1 hops.
    public func forwards(_ slot: Slot) -> Bool { slot.origin != rank && slot.origin != next }
}
