// Which rank computes which tokens of a slab: the zigzag plan, by speed and under memory caps.

/// The tokens of one slab, dealt out over ranks 0..<P.
///
/// The slab is cut into 2P chunks; rank i takes chunks i and 2P-1-i (zigzag). Both have width w_i, in proportion to
/// the rank's speed and water-filled under the memory caps. The causal area of rank i's queries on rank j's keys is
/// then 2 w_i w_j for every j, so that area / speed is even (design, section 4). Chunks are whole tokens and, when
/// that costs less than 5% of balance, start at multiples of `alignment`; otherwise of the largest power-of-two
/// fraction of it that does. Shards may be empty.
public struct ShardPlan: Sendable, Equatable {
    /// Positions per rank in buffer order: ascending, none empty, adjacent ones joined.
    public let runs: [[Range<Int>]]
    /// The owner of the last token, which starts decoding: rank 0 unless its shard is empty. 0 when there is none.
    public let leader: Int
    /// Length of the slab: positions 0..<tokens.
    public let tokens: Int

    /// Start of every run in ascending order, and its owner.
    private let starts: [Int]
    private let owners: [Int]

    /// Most tokens of a slab: positions are below 2^31 (LongRoPE's angle tables end there).
    public static let maximumTokens = Int(Int32.max)
    /// Most ranks of a ring.
    public static let maximumRanks = 1024

    /// Plans `tokens` tokens over `weights.count` ranks.
    ///
    /// - Parameters:
    ///   - weights: speed of each rank, any unit, finite and not negative. A rank of speed 0 gets nothing.
    ///   - capacities: most tokens of KV each rank can hold, prompt and answer together; nil: no limit.
    ///   - reserved: tokens of the answer that must fit besides the prompt. Every rank is left its even part of
    ///     them if possible, so that `AppendPlan` without capacities fits too; otherwise only the sum is kept free.
    /// - Throws: `.invalidPlan`, or `.insufficientCapacity` with both figures.
    public init(
        tokens: Int, weights: [Double], capacities: [Int]?, alignment: Int = 128, reserved: Int = 0
    ) throws(RingError) {
        guard (0...Self.maximumTokens).contains(tokens), (0...Self.maximumTokens).contains(reserved) else {
            throw .invalidPlan(
                "\(tokens) tokens and \(reserved) reserved; at most \(Self.maximumTokens) each")
        }
        guard (1...Self.maximumRanks).contains(weights.count) else {
            throw .invalidPlan("\(weights.count) ranks; a ring has 1 to \(Self.maximumRanks)")
        }
        guard weights.allSatisfy({ $0.isFinite && $0 >= 0 }), let fastest = weights.max(), fastest > 0 else {
            throw .invalidPlan("speeds must be finite, not negative, and one of them above 0")
        }
        guard (1...(1 << 20)).contains(alignment) else {
            throw .invalidPlan("an alignment of \(alignment) tokens; 1 to 1048576 are possible")
        }
        // The floor keeps quotients finite; nobody is really a billion times slower.
        let speeds = weights.map { $0 == 0 ? 0 : max($0 / fastest, 1e-9) }
        var caps = [Int](repeating: tokens + reserved, count: weights.count)
        if let capacities {
            guard capacities.count == weights.count, capacities.allSatisfy({ $0 >= 0 }) else {
                throw .invalidPlan("one capacity for each rank is needed, none negative")
            }
            caps = capacities.map { min($0, tokens + reserved) }
        }
        let room = zip(speeds, caps).reduce(0) { $1.0 > 0 ? $0 + $1.1 : $0 }
        guard room >= tokens + reserved else {
            throw .insufficientCapacity(needed: tokens + reserved, available: room)
        }
        if capacities != nil, reserved > 0 {
            let part = AppendPlan.evenShare(ranks: weights.count, appended: reserved)
            let less = caps.map { max(0, $0 - part) }
            let fits = caps.allSatisfy { $0 >= part }
            if fits, zip(speeds, less).reduce(0, { $1.0 > 0 ? $0 + $1.1 : $0 }) >= tokens { caps = less }
        }

        let exact = Self.chunks(tokens: tokens, speeds: speeds, caps: caps, unit: 1)
        let limit = exact.map { 1.05 * Self.cost($0, speeds) } ?? 0
        var best = exact
        var unit = alignment
        while unit > 1 {
            if let coarse = Self.chunks(tokens: tokens, speeds: speeds, caps: caps, unit: unit),
                Self.cost(coarse, speeds) <= limit
            {
                best = coarse
                break
            }
            unit /= 2
        }
        guard let best else { throw .insufficientCapacity(needed: tokens, available: room) }
        try self.init(runs: best)
    }

    /// A plan received from elsewhere: positions for each rank in buffer order.
    /// - Throws: `.invalidPlan` unless the runs of each rank ascend and all runs cover 0..<S exactly once.
    public init(runs: [[Range<Int>]]) throws(RingError) {
        guard (1...Self.maximumRanks).contains(runs.count) else {
            throw .invalidPlan("\(runs.count) ranks; a ring has 1 to \(Self.maximumRanks)")
        }
        var joined: [[Range<Int>]] = []
        var all: [(run: Range<Int>, rank: Int)] = []
        for (rank, mine) in runs.enumerated() {
            var list: [Range<Int>] = []
            for run in mine where !run.isEmpty {
                guard run.lowerBound >= 0, run.upperBound <= Self.maximumTokens,
                    run.lowerBound >= list.last?.upperBound ?? 0
                else { throw .invalidPlan("the runs of rank \(rank) do not ascend from 0: \(run)") }
                if let last = list.last, last.upperBound == run.lowerBound {
                    list[list.count - 1] = last.lowerBound..<run.upperBound
                } else {
                    list.append(run)
                }
            }
            joined.append(list)
            all += list.map { ($0, rank) }
        }
        all.sort { $0.run.lowerBound < $1.run.lowerBound }
        var next = 0
        for (run, rank) in all {
            guard run.lowerBound == next else {
                throw .invalidPlan(
                    "position \(min(next, run.lowerBound)) belongs to no rank or to two, near rank \(rank)")
            }
            next = run.upperBound
        }
        self.runs = joined
        tokens = next
        leader = all.last?.rank ?? 0
        starts = all.map(\.run.lowerBound)
        owners = all.map(\.rank)
    }

    /// Number of ranks, P.
    public var ranks: Int { runs.count }

    /// Tokens of this rank's shard.
    public func count(of rank: Int) -> Int { runs[rank].reduce(0) { $0 + $1.count } }

    /// Pairs (query, key) with key <= query that this rank's queries have over the whole slab.
    public func causalArea(of rank: Int) -> Int { Self.area(runs[rank]) }

    /// The rank that holds a position; the position must be in 0..<tokens.
    public func owner(of position: Int) -> Int {
        precondition((0..<tokens).contains(position), "position \(position) is not in 0..<\(tokens)")
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= position { low = middle } else { high = middle }
        }
        return owners[low]
    }

    private static func area(_ runs: [Range<Int>]) -> Int {
        runs.reduce(0) { sum, run in
            sum + (run.upperBound * (run.upperBound + 1) - run.lowerBound * (run.lowerBound + 1)) / 2
        }
    }

    /// Time of the rank that finishes last, in causal pairs per unit of speed.
    private static func cost(_ runs: [[Range<Int>]], _ speeds: [Double]) -> Double {
        zip(runs, speeds).reduce(0) { $1.0.isEmpty ? $0 : max($0, Double(area($1.0)) / $1.1) }
    }

    /// The zigzag plan in whole units; what is left over (tokens % unit) goes to the very end. Nil when the caps,
    /// rounded down to units, have no room.
    private static func chunks(tokens: Int, speeds: [Double], caps: [Int], unit: Int) -> [[Range<Int>]]? {
        let rest = tokens % unit
        var tail = 0
        var unitCaps = caps
        if rest > 0 {
            // The lowest rank that takes anything owns the end. Ranks below `first` have less than a unit of room.
            guard let first = speeds.indices.first(where: { speeds[$0] > 0 && caps[$0] >= rest }) else {
                return nil
            }
            tail = first
            unitCaps[first] -= rest
        }
        unitCaps = unitCaps.map { $0 / unit }
        guard let units = apportion(tokens / unit, speeds: speeds, caps: unitCaps) else { return nil }

        var first = [Int](repeating: 0, count: speeds.count)
        var second = first
        var extraIsLate = true  // an odd unit goes to the late chunk first, so that the leader owns the end
        for rank in speeds.indices {
            let half = units[rank] / 2
            let odd = units[rank] % 2
            first[rank] = (half + (extraIsLate ? 0 : odd)) * unit
            second[rank] = (half + (extraIsLate ? odd : 0)) * unit
            if odd == 1 { extraIsLate.toggle() }
        }
        second[tail] += rest

        var runs = [[Range<Int>]](repeating: [], count: speeds.count)
        var next = 0
        for rank in speeds.indices where first[rank] > 0 {
            runs[rank].append(next..<next + first[rank])
            next += first[rank]
        }
        for rank in speeds.indices.reversed() where second[rank] > 0 {
            runs[rank].append(next..<next + second[rank])
            next += second[rank]
        }
        return runs
    }

    /// `total` units over the ranks: water-filled shares rounded down, then one by one to the rank that would finish
    /// first (Jefferson's method, which keeps the largest units/speed smallest).
    private static func apportion(_ total: Int, speeds: [Double], caps: [Int]) -> [Int]? {
        var count = [Int](repeating: 0, count: speeds.count)
        var open = speeds.indices.filter { speeds[$0] > 0 && caps[$0] > 0 }
        guard open.reduce(0, { $0 + caps[$1] }) >= total else { return nil }
        var left = total
        while !open.isEmpty {
            let level = Double(left) / open.reduce(0) { $0 + speeds[$1] }
            let full = open.filter { Double(caps[$0]) <= level * speeds[$0] }
            if full.isEmpty {
                for rank in open { count[rank] = min(caps[rank], Int(level * speeds[rank])) }
                break
            }
            for rank in full {
                count[rank] = caps[rank]
                left -= caps[rank]
            }
            open.removeAll { full.contains($0) }
        }
        var rest = total - count.reduce(0, +)
        func time(_ rank: Int, _ more: Int) -> Double { Double(count[rank] + more) / speeds[rank] }
        while rest > 0 {
            let able = speeds.indices.filter { speeds[$0] > 0 && count[$0] < caps[$0] }
            guard let rank = able.min(by: { time($0, 1) < time($1, 1) }) else { return nil }
            count[rank] += 1
            rest -= 1
        }
        while rest < 0 {  // only by rounding of Double
            let able = speeds.indices.filter { count[$0] > 0 }
            guard let rank = able.max(by: { time($0, 0) < time($1, 0) }) else { return nil }
            count[rank] -= 1
            rest += 1
        }
        return count
    }
}
