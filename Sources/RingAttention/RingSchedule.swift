// The fixed order in which stripes cross every link of the ring: who sends, receives and attends what, and when.

/// One rank's part of a layer's ring: the same for every layer. A pure value; no time, no I/O.
///
/// **Attention goes in canonical order**: every rank attends every stripe of the sequence in ascending position, so the
/// keys and values of a prompt are the same bits for any layout.
///
/// **The wire goes round by round.** A round is as many stripes, in position order, as there are ranks. In a round every
/// rank sends its own stripes to the next rank, then forwards those of rank r-1, r-2, ..., r-P+2 as they arrive. (Sent
/// in ascending order, stripes would cross one link at a time.) A stripe makes P-1 hops.
///
/// **It cannot deadlock** when the inbox and the forward queue of every rank have room for the stripes that arrive in
/// one round. Order all receipts, over all ranks, by (round, hops, stripe), and take the smallest that is still
/// missing, at rank r. Rank r-1 has the stripe: it is its own, or it received it with one hop less, which is smaller.
/// What r-1 sends before it is smaller too, so has been received, and the link is free for it. Rank r attends stripes of
/// this round or of an earlier one: of an earlier one everything has arrived, so it will go on by itself; of this one at
/// most the round's other stripes are in the inbox. In the forward queue of r there is no stripe of an earlier round,
/// because at r+1 that would be a smaller receipt, and so there are at most this round's.
public struct RingSchedule: Sendable, Equatable {
    public let rank: Int
    public let layout: Layout
    /// Tokens of the prefill: positions 0..<tokens.
    public let tokens: Int
    /// This rank's own stripes, ascending.
    public let own: [Int]
    /// Stripes to the next rank, in order: own ones and forwarded ones.
    public let sends: [Int]
    /// Stripes from the previous rank, in order.
    public let receives: [Int]

    /// - Throws: `.invalidPlan` for a rank outside the ring or more stripes than a schedule may have.
    public init(rank: Int, layout: Layout, tokens: Int) throws(RingError) {
        guard (0..<layout.ranks).contains(rank) else {
            throw .invalidPlan("rank \(rank) of a layout for \(layout.ranks)")
        }
        guard (0...Layout.maximumTokens).contains(tokens),
            layout.stripes(in: tokens) <= Self.maximumStripes
        else {
            throw .invalidPlan(
                "a prefill of \(tokens) tokens in stripes of \(layout.stripeTokens); at most "
                    + "\(Self.maximumStripes) stripes are possible: make them wider")
        }
        self.rank = rank
        self.layout = layout
        self.tokens = tokens
        let ranks = layout.ranks
        let stripes = layout.stripes(in: tokens)
        var sends: [Int] = []
        var receives: [Int] = []
        for start in stride(from: 0, to: ranks > 1 ? stripes : 0, by: ranks) {
            let round = start..<min(start + ranks, stripes)
            let byHops = Dictionary(grouping: round) { (rank + ranks - layout.owner(ofStripe: $0)) % ranks }
            for hops in 0..<ranks {
                guard let mine = byHops[hops] else { continue }
                if hops > 0 { receives += mine }
                if hops < ranks - 1 { sends += mine }
            }
        }
        own = layout.stripes(of: rank, in: tokens)
        self.sends = sends
        self.receives = receives
    }

    /// Most stripes of one prefill: each costs an entry in the schedule of every rank.
    public static let maximumStripes = 1 << 18

    /// Number of stripes of the prefill.
    public var stripes: Int { layout.stripes(in: tokens) }
    /// Number of ranks, P.
    public var ranks: Int { layout.ranks }
    /// Stripes that may wait to be attended, and as many to be forwarded: those of two rounds.
    public var inboxStripes: Int { Self.inboxStripes(ranks: ranks) }
    /// The same for a ring of so many ranks.
    public static func inboxStripes(ranks: Int) -> Int { 2 * ranks }
    /// The rank that this one sends to.
    public var next: Int { (rank + 1) % ranks }
    /// The rank that this one receives from.
    public var previous: Int { (rank + ranks - 1) % ranks }

    /// How far a stripe has come when it is here: 0 for this rank's own.
    public func hops(_ stripe: Int) -> Int { (rank + ranks - layout.owner(ofStripe: stripe)) % ranks }

    /// Whether a received stripe must go on to the next rank: not once it has made P-1 hops.
    public func forwards(_ stripe: Int) -> Bool {
        let owner = layout.owner(ofStripe: stripe)
        return owner != rank && owner != next
    }

    /// The positions of a stripe.
    public func positions(_ stripe: Int) -> Range<Int> { layout.positions(ofStripe: stripe, in: tokens) }
}
