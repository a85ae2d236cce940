// Where the KV of generated tokens goes: runs of 16, dealt out over the ranks that have room.

/// The owner of every appended token (design, section 4: "decode appends are dealt out in runs of 16").
///
/// Runs go round the ranks in order, starting with the leader. A rank whose room is used up is passed over; its last
/// run may be shorter. Pure arithmetic: every worker that has the same plan finds the same owners.
public struct AppendPlan: Sendable, Equatable {
    /// Tokens dealt to one rank before the next, unless a plan says otherwise.
    public static let appendRun = 16

    /// `cycles` times the same round: `widths[k]` tokens to `ranks[k]`, for each k.
    private struct Stretch: Sendable, Equatable {
        var start: Int
        var cycles: Int
        var ranks: [Int]
        var widths: [Int]
        var cycle: Int  // sum of widths
    }
    private let stretches: [Stretch]
    private let prompt: [Int]
    /// Appended tokens that fit at all.
    public let room: Int

    /// - Parameters:
    ///   - capacities: most tokens each rank can hold, prompt and answer together; nil: no limit.
    ///   - run: tokens dealt to one rank before the next.
    /// - Throws: `.invalidPlan` when capacities or run make no sense, or a shard exceeds its capacity already.
    public init(plan: ShardPlan, capacities: [Int]? = nil, run: Int = appendRun) throws(RingError) {
        guard (1...(1 << 20)).contains(run) else {
            throw .invalidPlan("append runs of \(run) tokens; 1 to 1048576 are possible")
        }
        prompt = plan.runs.indices.map { plan.count(of: $0) }
        var room = [Int](repeating: ShardPlan.maximumTokens, count: plan.ranks)
        if let capacities {
            guard capacities.count == plan.ranks, zip(capacities, prompt).allSatisfy({ $0 >= $1 }) else {
                throw .invalidPlan("one capacity for each rank is needed, none below the rank's shard")
            }
            room = zip(capacities, prompt).map { min($0 - $1, ShardPlan.maximumTokens) }
        }
        let order = (0..<plan.ranks).map { (plan.leader + $0) % plan.ranks }
        var stretches: [Stretch] = []
        var next = 0
        while true {  // at most 2P+1 rounds: a short cycle uses up at least one rank's room
            let open = order.filter { room[$0] > 0 }
            guard let least = open.map({ room[$0] }).min() else { break }
            let cycles = max(1, least / run)
            let widths = open.map { min(run, room[$0]) }
            let cycle = widths.reduce(0, +)
            stretches.append(Stretch(start: next, cycles: cycles, ranks: open, widths: widths, cycle: cycle))
            for (rank, width) in zip(open, widths) { room[rank] -= cycles * width }
            next += cycles * cycle
        }
        self.stretches = stretches
        self.room = next
    }

    /// The rank that keeps the KV of the `index`-th appended token, from 0.
    /// - Throws: `.insufficientCapacity` when no rank has room for it.
    public func owner(ofAppended index: Int) throws(RingError) -> Int {
        guard index >= 0, index < room, let stretch = stretches.last(where: { $0.start <= index }) else {
            throw .insufficientCapacity(needed: index &+ 1, available: room)
        }
        var offset = (index - stretch.start) % stretch.cycle
        for (rank, width) in zip(stretch.ranks, stretch.widths) {
            if offset < width { return rank }
            offset -= width
        }
        throw .insufficientCapacity(needed: index &+ 1, available: room)
    }

    /// How many of the first `appended` appended tokens this rank keeps.
    public func count(of rank: Int, appended: Int) -> Int {
        var sum = 0
        for stretch in stretches where appended > stretch.start {
            guard let place = stretch.ranks.firstIndex(of: rank) else { continue }
            let done = min(appended - stretch.start, stretch.cycles * stretch.cycle)
            let before = stretch.widths[..<place].reduce(0, +)
            sum += done / stretch.cycle * stretch.widths[place]
            sum += min(max(0, done % stretch.cycle - before), stretch.widths[place])
        }
        return sum
    }

    /// Ranks that hold KV of the prompt or of the first `appended` appended tokens, ascending.
    public func holders(appended: Int) -> [Int] {
        prompt.indices.filter { prompt[$0] > 0 || count(of: $0, appended: appended) > 0 }
    }

    /// Most tokens any rank keeps of `appended` ones when no capacity is short.
    public static func evenShare(ranks: Int, appended: Int, run: Int = appendRun) -> Int {
        guard ranks > 0, run > 0, appended > 0 else { return 0 }
        let cycle = ranks * run
        return appended / cycle * run + min(run, appended % cycle)
    }
}
