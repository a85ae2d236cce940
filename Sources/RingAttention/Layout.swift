// Which rank holds which tokens of a sequence: stripes, dealt out in position order.

/// Who holds which tokens of a sequence. A pure value: everybody who has it finds the same owners.
///
/// The sequence is cut into stripes of `stripeTokens` tokens from position 0 on. They are dealt to the ranks in
/// position order by smooth weighted round robin: each rank gains its weight at every stripe, the richest one takes the
/// stripe (of equals the lowest rank) and pays the sum of all weights. After one cycle, as many stripes as the weights
/// add up to, every rank has exactly its weight of them, and the deal begins again. Prompt and answer are one deal.
///
/// Behind every key each rank has its share of the queries to within about one stripe, so causal work is even at every
/// moment of a prefill and not only in sum. (Striped Attention, arXiv 2311.09431, deals single tokens.) How tokens are
/// laid out does not show in their keys and values: see `RingSchedule`.
public struct Layout: Sendable, Equatable {
    /// Most tokens of a sequence: positions are below 2^31 (LongRoPE's angle tables end there).
    public static let maximumTokens = Int(Int32.max)
    /// Most ranks of a ring.
    public static let maximumRanks = 1024
    /// Widest stripe, in tokens.
    public static let maximumStripeTokens = 1 << 20
    /// Most stripes of one cycle.
    public static let maximumCycle = 1 << 18

    /// Keys are attended in tiles of so many from position 0 on, and only whole tiles can be kept beyond a run: the state of
    /// attention between two keys of a tile is nobody's.
    public static let tileTokens = 128

    /// The tokens of a prompt that lie in whole tiles.
    public static func inWholeTiles(_ tokens: Int) -> Int { tokens / tileTokens * tileTokens }

    /// Positions cut at multiples of `size`, so that with a multiple of stripe and tile no slab but the last one ends
    /// within either. One empty slab where there are no positions.
    public static func slabs(of positions: Range<Int>, tokens size: Int) -> [Range<Int>] {
        guard !positions.isEmpty else { return [positions] }
        var slabs: [Range<Int>] = []
        var start = positions.lowerBound
        while start < positions.upperBound {
            let end = min((start / size + 1) * size, positions.upperBound)
            slabs.append(start..<end)
            start = end
        }
        return slabs
    }

    /// Tokens of a stripe.
    public let stripeTokens: Int
    /// Stripes that each rank gets in a cycle; 0: it holds nothing.
    public let weights: [Int]

    /// The owner of each stripe of a cycle.
    private let owners: [Int]
    /// For each rank the places of its stripes in a cycle, ascending.
    private let places: [[Int]]

    /// - Throws: `.invalidPlan` for a layout that nobody could have made.
    public init(stripeTokens: Int, weights: [Int]) throws(RingError) {
        guard (1...Self.maximumStripeTokens).contains(stripeTokens) else {
            throw .invalidPlan(
                "stripes of \(stripeTokens) tokens; 1 to \(Self.maximumStripeTokens) are possible")
        }
        guard (1...Self.maximumRanks).contains(weights.count) else {
            throw .invalidPlan("\(weights.count) ranks; a ring has 1 to \(Self.maximumRanks)")
        }
        guard weights.allSatisfy({ (0...Self.maximumCycle).contains($0) }) else {
            throw .invalidPlan("weights of 0 to \(Self.maximumCycle) stripes are possible, not \(weights)")
        }
        let cycle = weights.reduce(0, +)
        guard (1...Self.maximumCycle).contains(cycle) else {
            throw .invalidPlan(
                "a cycle of \(cycle) stripes; 1 to \(Self.maximumCycle) are possible")
        }
        let divisor = weights.reduce(0, Self.commonDivisor)
        let shares = weights.map { $0 / divisor }
        let sum = cycle / divisor
        var credit = [Int](repeating: 0, count: weights.count)
        var owners: [Int] = []
        owners.reserveCapacity(sum)
        var places = [[Int]](repeating: [], count: weights.count)
        for place in 0..<sum {
            var richest = 0
            for rank in shares.indices {
                credit[rank] += shares[rank]
                if credit[rank] > credit[richest] { richest = rank }
            }
            credit[richest] -= sum
            owners.append(richest)
            places[richest].append(place)
        }
        self.stripeTokens = stripeTokens
        self.weights = weights
        self.owners = owners
        self.places = places
    }

    private static func commonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : commonDivisor(b, a % b) }

    /// Number of ranks, P.
    public var ranks: Int { weights.count }

    /// How many stripes the first `tokens` tokens lie in.
    public func stripes(in tokens: Int) -> Int { (tokens + stripeTokens - 1) / stripeTokens }

    /// The positions of a stripe among the first `tokens` tokens; the last one may be shorter.
    public func positions(ofStripe stripe: Int, in tokens: Int) -> Range<Int> {
        let start = min(stripe * stripeTokens, tokens)
        return start..<min(start + stripeTokens, tokens)
    }

    /// The rank that holds a stripe.
    public func owner(ofStripe stripe: Int) -> Int { owners[stripe % owners.count] }

    /// The rank that holds a position, from 0.
    public func owner(of position: Int) -> Int { owner(ofStripe: position / stripeTokens) }

    /// How many of the first `tokens` tokens a rank holds. Also the row, among all that the rank holds, of the token at
    /// position `tokens` if it is the rank's.
    public func count(of rank: Int, in tokens: Int) -> Int {
        let (stripe, rest) = tokens.quotientAndRemainder(dividingBy: stripeTokens)
        let (cycles, place) = stripe.quotientAndRemainder(dividingBy: owners.count)
        let mine = places[rank]
        let whole = cycles * mine.count + Self.firstIndex(in: mine, atLeast: place)
        return whole * stripeTokens + (rest > 0 && owners[place] == rank ? rest : 0)
    }

    /// How many elements of an ascending list are below a bound.
    private static func firstIndex(in list: [Int], atLeast bound: Int) -> Int {
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The stripes that a rank holds of the first `tokens` tokens, ascending.
    public func stripes(of rank: Int, in tokens: Int) -> [Int] {
        let (all, cycle) = (stripes(in: tokens), owners.count)
        return stride(from: 0, to: all, by: cycle).flatMap { first in
            places[rank].lazy.map { first + $0 }.filter { $0 < all }
        }
    }

    /// The positions that a rank holds of the first `tokens` tokens, ascending; neighbours are joined.
    public func positions(of rank: Int, in tokens: Int) -> [Range<Int>] {
        var result: [Range<Int>] = []
        for stripe in stripes(of: rank, in: tokens) {
            let more = positions(ofStripe: stripe, in: tokens)
            if let last = result.last, last.upperBound == more.lowerBound {
                result[result.count - 1] = last.lowerBound..<more.upperBound
            } else {
                result.append(more)
            }
        }
        return result
    }

    /// The positions that a rank holds among these, ascending; neighbours are joined.
    public func positions(of rank: Int, in positions: Range<Int>) -> [Range<Int>] {
        self.positions(of: rank, in: positions.upperBound)
            .map { $0.clamped(to: positions) }.filter { !$0.isEmpty }
    }

    /// Ranks that hold any of the first `tokens` tokens, ascending.
    public func holders(in tokens: Int) -> [Int] { (0..<ranks).filter { count(of: $0, in: tokens) > 0 } }

    /// Pairs (query, key) with key <= query that a rank's queries have over the first `tokens` tokens.
    public func causalArea(of rank: Int, in tokens: Int) -> Int {
        positions(of: rank, in: tokens).reduce(0) { sum, run in
            sum + (run.upperBound * (run.upperBound + 1) - run.lowerBound * (run.lowerBound + 1)) / 2
        }
    }
}
