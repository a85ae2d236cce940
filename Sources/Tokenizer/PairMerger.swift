// Joining neighbours until nothing can be joined: the heart of both byte-level BPE and SentencePiece-style vocabularies.

/// Which two neighbouring symbols join, how soon, and to what. Symbols are token ids, or negative for what is no token.
struct PairTable {
    /// A rank that no pair has.
    static let none = UInt32.max

    // Open addressing with linear probing; at most half of the slots are used.
    private var keys: [UInt64]
    private var ranks: [UInt32]
    private var joined: [Int32]
    private let mask: Int
    private let shift: UInt64
    private static let empty = UInt64.max

    /// A table for at most `capacity` pairs.
    init(capacity: Int) {
        var bits = 4
        while 1 << bits < capacity * 2 { bits += 1 }
        keys = Array(repeating: Self.empty, count: 1 << bits)
        ranks = Array(repeating: Self.none, count: 1 << bits)
        joined = Array(repeating: -1, count: 1 << bits)
        mask = (1 << bits) - 1
        shift = UInt64(64 - bits)
    }

    @inline(__always)
    private func slot(_ left: Int32, _ right: Int32) -> (slot: Int, key: UInt64) {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var slot = Int((key &* 0x9E37_79B9_7F4A_7C15) >> shift)
        while keys[slot] != key && keys[slot] != Self.empty { slot = (slot + 1) & mask }
        return (slot, key)
    }

    /// Adds a pair, unless it is there already: the first one counts.
    mutating func add(_ left: Int32, _ right: Int32, rank: UInt32, joined id: Int32) {
        let (slot, key) = slot(left, right)
        guard keys[slot] == Self.empty else { return }
        keys[slot] = key
        ranks[slot] = rank
        joined[slot] = id
    }

    /// The rank of a pair, `none` if the two do not join.
    @inline(__always)
    func rank(_ left: Int32, _ right: Int32) -> UInt32 { ranks[slot(left, right).slot] }

    /// What a pair that has a rank becomes.
    @inline(__always)
    func joined(_ left: Int32, _ right: Int32) -> Int32 { joined[slot(left, right).slot] }
}

/// Joins the symbols of one word: always the pair of the lowest rank, the leftmost of equals. Working memory is kept
/// from word to word.
struct PairMerger {
    /// The symbols of the word, and after `merge` what became of them.
    private(set) var symbols: [Int32] = []
    /// Where in the word each symbol begins, in bytes.
    private(set) var starts: [Int32] = []

    /// Joining stops where it is when this is over.
    var patience = Patience()

    private var ranks: [UInt32] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var queue = RankQueue()

    /// Up to this many symbols, looking at all pairs each time is quicker than a queue.
    private static let shortWord = 24

    mutating func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
    }

    mutating func append(_ symbol: Int32, start: Int) {
        symbols.append(symbol)
        starts.append(Int32(truncatingIfNeeded: start))  // words are shorter than 2^28 bytes
    }

    /// Joins until no neighbours are in the table. Time n log n, memory in proportion to n.
    mutating func merge(_ table: PairTable) {
        guard symbols.count > 1 else { return }
        ranks.removeAll(keepingCapacity: true)
        for index in 1..<symbols.count { ranks.append(table.rank(symbols[index - 1], symbols[index])) }
        if symbols.count <= Self.shortWord { mergeShort(table) } else { mergeLong(table) }
    }

    private mutating func mergeShort(_ table: PairTable) {
        while true {
            var best = PairTable.none
            var place = -1
            for index in ranks.indices where ranks[index] < best {
                best = ranks[index]
                place = index
            }
            guard place >= 0 else { return }
            symbols[place] = table.joined(symbols[place], symbols[place + 1])
            symbols.remove(at: place + 1)
            starts.remove(at: place + 1)
            ranks.remove(at: place)
            if place < ranks.count { ranks[place] = table.rank(symbols[place], symbols[place + 1]) }
            if place > 0 { ranks[place - 1] = table.rank(symbols[place - 1], symbols[place]) }
        }
    }

    private mutating func mergeLong(_ table: PairTable) {
        let count = symbols.count
        next = (0..<count).map { Int32($0 + 1) }  // `count` is behind the end
        previous = (0..<count).map { Int32($0 - 1) }  // -1 is before the start
        ranks.append(PairTable.none)
        queue.removeAll()
        for index in 0..<count where ranks[index] != PairTable.none { queue.push(ranks[index], index) }
        while let (rank, place) = queue.pop(), !patience.isOver() {
            // The pair may have changed since; if its rank is the same, it is as good.
            guard ranks[place] == rank else { continue }
            let right = Int(next[place])
            symbols[place] = table.joined(symbols[place], symbols[right])
            ranks[right] = PairTable.none
            next[place] = next[right]
            if Int(next[place]) < count { previous[Int(next[place])] = Int32(place) }
            update(place, table, count)
            if previous[place] >= 0 { update(Int(previous[place]), table, count) }
        }
        var kept = 0
        var place = 0
        while place < count {
            symbols[kept] = symbols[place]
            starts[kept] = starts[place]
            kept += 1
            place = Int(next[place])
        }
        symbols.removeSubrange(kept...)
        starts.removeSubrange(kept...)
        // A single huge word must not hold its memory for the rest of the text.
        if count > 1 << 16 {
            next = []
            previous = []
            ranks = []
            queue = RankQueue()
        }
    }

    /// Looks up the pair that begins at `place` again and queues it.
    private mutating func update(_ place: Int, _ table: PairTable, _ count: Int) {
        let right = Int(next[place])
        ranks[place] = right < count ? table.rank(symbols[place], symbols[right]) : PairTable.none
        if ranks[place] != PairTable.none { queue.push(ranks[place], place) }
    }
}

/// A priority queue of places: the lowest rank first, then the lowest place. A binary heap of rank and place in one word.
private struct RankQueue {
    private var heap: [UInt64] = []

    mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

    mutating func push(_ rank: UInt32, _ place: Int) {
        let entry = UInt64(rank) << 32 | UInt64(UInt32(truncatingIfNeeded: place))
        var at = heap.count
        heap.append(entry)
        while at > 0, heap[(at - 1) / 2] > entry {
            heap[at] = heap[(at - 1) / 2]
            at = (at - 1) / 2
        }
        heap[at] = entry
    }

    mutating func pop() -> (rank: UInt32, place: Int)? {
        guard let top = heap.first, let entry = heap.popLast() else { return nil }
        if !heap.isEmpty {
            var at = 0
            while true {
                var child = 2 * at + 1
                guard child < heap.count else { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                guard heap[child] < entry else { break }
                heap[at] = heap[child]
                at = child
            }
            heap[at] = entry
        }
        return (UInt32(top >> 32), Int(top & 0xFFFF_FFFF))
    }
}
