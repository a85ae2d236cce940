// Choosing a layout: by the ranks' speeds, under their memory, in stripes as wide as an even share of work allows.

extension Layout {
    /// Stripes that every rank should have of a prompt, so that sending, receiving and computing overlap.
    private static let stripesOfARank = 8
    /// How much longer than with the most even shares the slowest rank may take, for the sake of wider stripes.
    private static let slack = 1.05
    /// The usual width of a stripe: two rounds of eight ranks are 64 MiB of an 8B model's keys and values.
    public static let usualStripeTokens = 1024

    /// Deals a prompt and its answer out.
    ///
    /// Each rank's number of stripes is in proportion to its speed, water-filled under the memory; they are spread evenly
    /// over the whole sequence, also those of a rank whose memory is short. Stripes are a power of two tokens wide, the
    /// widest with eight for each rank and even work within 5%.
    ///
    /// - Parameters:
    ///   - tokens: of the prompt.
    ///   - reserved: most tokens of the answer.
    ///   - speeds: of each rank, any unit, finite and not negative. A rank of speed 0 gets nothing.
    ///   - capacities: most tokens of KV each rank can hold, prompt and answer together; nil: no limit.
    ///   - widest: no stripe is wider.
    /// - Throws: `.invalidPlan`, or `.insufficientCapacity` with both figures.
    public init(
        tokens: Int, reserved: Int = 0, speeds: [Double], capacities: [Int]? = nil,
        widest: Int = usualStripeTokens
    ) throws(RingError) {
        guard (0...Self.maximumTokens).contains(tokens), (0...Self.maximumTokens - tokens).contains(reserved)
        else {
            throw .invalidPlan(
                "\(tokens) tokens and \(reserved) reserved; at most \(Self.maximumTokens) together")
        }
        guard (1...Self.maximumRanks).contains(speeds.count) else {
            throw .invalidPlan("\(speeds.count) ranks; a ring has 1 to \(Self.maximumRanks)")
        }
        guard speeds.allSatisfy({ $0.isFinite && $0 >= 0 }), let fastest = speeds.max(), fastest > 0 else {
            throw .invalidPlan("speeds must be finite, not negative, and one of them above 0")
        }
        guard (1...Self.maximumStripeTokens).contains(widest) else {
            throw .invalidPlan("stripes of \(widest) tokens; 1 to \(Self.maximumStripeTokens) are possible")
        }
        let all = tokens + reserved
        var room = [Int](repeating: all, count: speeds.count)
        if let capacities {
            guard capacities.count == speeds.count, capacities.allSatisfy({ $0 >= 0 }) else {
                throw .invalidPlan("one capacity for each rank is needed, none negative")
            }
            room = capacities.map { min($0, all) }
        }
        // The floor keeps quotients finite; nobody is really a billion times slower.
        let speeds = speeds.map { $0 == 0 ? 0 : max($0 / fastest, 1e-9) }
        let available = zip(speeds, room).reduce(0) { $1.0 > 0 ? $0 + $1.1 : $0 }
        guard available >= all else { throw .insufficientCapacity(needed: all, available: available) }

        let active = speeds.count { $0 > 0 }
        // The most even shares that there are; the prompt's part of prompt and answer.
        let even = Self.apportion(all, speeds: speeds, caps: room) ?? room
        let ideal =
            zip(even, speeds).reduce(0.0) { $1.1 > 0 ? max($0, Double($1.0) / $1.1) : $0 }
            * Double(tokens) / Double(max(all, 1))
        var best: (cost: Double, layout: Layout)?
        var width = Self.powerOfTwo(atMost: widest)
        while width >= 1 {
            defer { width /= 2 }
            let stripes = max(1, (all + width - 1) / width)
            guard stripes <= Self.maximumCycle else { break }
            // Where one stripe holds all, a rank need not have room for the rest of it.
            let caps = room.map { $0 >= all ? stripes : $0 / width }
            guard let shares = Self.apportion(stripes, speeds: speeds, caps: caps) else { continue }
            let layout = try Layout(stripeTokens: width, weights: shares)
            let cost = zip(speeds.indices, speeds).reduce(0.0) {
                $1.1 > 0 ? max($0, Double(layout.count(of: $1.0, in: tokens)) / $1.1) : $0
            }
            let suits =
                layout.stripes(in: tokens) >= Self.stripesOfARank * active && cost <= Self.slack * ideal
            // A prompt too short for what is wished: of equally even layouts the one with more stripes.
            if suits || active == 1 || cost <= best?.cost ?? .infinity { best = (cost, layout) }
            if suits || active == 1 { break }
        }
        guard let best else { throw .insufficientCapacity(needed: all, available: available) }
        self = best.layout
    }

    private static func powerOfTwo(atMost bound: Int) -> Int {
        1 << (Int.bitWidth - 1 - bound.leadingZeroBitCount)
    }

    /// `total` units over the ranks: water-filled shares rounded down, then one by one to the rank that would finish
    /// first (Jefferson's method, which keeps the largest units/speed smallest). Nil: they do not fit.
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
