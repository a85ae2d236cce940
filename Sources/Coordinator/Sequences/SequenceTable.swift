// The sequences that workers keep in memory beyond the runs that made them: which there are, and which continues a prompt.
package import Messages
package import RingAttention

/// What the coordinator knows of keys and values that outlive a run. A value, without clocks or sockets: times are
/// inputs.
///
/// A sequence is found by the digests of its tiles. If one has the digest of a prompt's tile, it has those of all tiles
/// before it, so that the longest common beginning is found by bisection.
package struct SequenceTable: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// A worker that holds a part, from one start of it to its end.
    package struct Holder: Sendable, Equatable {
        package var name: String
        package var instance: String

        package init(name: String, instance: String) {
            self.name = name
            self.instance = instance
        }
    }
    package struct Entry: Sendable {
        package let id: String
        /// By rank.
        package var holders: [Holder]
        package let layout: Layout
        package let chain: TokenChain
        /// Of each rank's part, as its worker said.
        package let kvBytes: [UInt64]
        /// Counts uses of the table: the larger, the later.
        package fileprivate(set) var lastUse: UInt64 = 0
        /// Runs that continue it, or that made it and are not over.
        package fileprivate(set) var runs: Set<RunID> = []
        /// Contexts whose tokens it begins with, and whose keys and values it is to have.
        package fileprivate(set) var contexts: Set<ContextName> = []
        /// It gives its memory up for no job.
        package fileprivate(set) var isPinned = false
        /// It is on its workers' disks alone.
        package fileprivate(set) var isStored = false
        /// Nobody may continue it any more; it goes when its runs are over.
        package fileprivate(set) var isCondemned = false
        /// Ranks whose workers have not said (again) that they hold their part.
        package fileprivate(set) var missing: Set<Int> = []
        /// When the first of them went missing.
        package fileprivate(set) var missingSince: Instant?

        package init(
            id: String, holders: [Holder], layout: Layout, chain: TokenChain, kvBytes: [UInt64]
        ) {
            self.id = id
            self.holders = holders
            self.layout = layout
            self.chain = chain
            self.kvBytes = kvBytes
        }

        /// That are in memory: whole tiles.
        package var tokens: Int { chain.tokens }
        package var workers: [String] { holders.map(\.name) }
        package var isComplete: Bool { missing.isEmpty }
        fileprivate var isEvictable: Bool { runs.isEmpty && !isPinned }
    }

    package static let mostSequences = 16_384
    /// Of all sequences together: 128 million tokens.
    package static let mostTiles = 1 << 20
    /// How long a context waits for a worker that holds a part of it to come back.
    package static let patience: Duration = .seconds(600)

    private var entries: [Int: Entry] = [:]
    private var handles: [String: Int] = [:]
    private var byDigest: [TileDigest: [Int]] = [:]
    private var byWorker: [String: Set<Int>] = [:]
    private var ledger = PageLedger()
    private var pinned: Set<Int> = []
    private var incomplete: Set<Int> = []
    private var nextHandle = 0
    private var uses: UInt64 = 0
    private var tiles = 0
    private let mostSequences: Int
    private let kvBytesPerToken: Int

    /// - Parameter kvBytesPerToken: of the model, in all layers. Workers take memory in pages, so that their parts may need
    ///   more than their tokens; 0: by the tokens alone.
    package init(mostSequences: Int = SequenceTable.mostSequences, kvBytesPerToken: Int = 0) {
        self.mostSequences = mostSequences
        self.kvBytesPerToken = kvBytesPerToken
    }

    package var count: Int { entries.count }
    package subscript(id: String) -> Entry? { handles[id].flatMap { entries[$0] } }

    /// All, last used first.
    package var all: [Entry] { entries.values.sorted { $0.lastUse > $1.lastUse } }

    // MARK: finding

    /// The sequence with the longest beginning in common with a prompt.
    /// - Parameters:
    ///   - most: tokens that may be used of it.
    ///   - suits: whether it can be used; asked about complete ones.
    package func longest(
        _ chain: TokenChain, most: Int, where suits: (Entry) -> Bool
    ) -> (entry: Entry, tokens: Int)? {
        func found(_ tiles: Int) -> Entry? {
            // Of several the last used one.
            var found: Entry?
            for entry in (byDigest[chain.digests[tiles - 1]] ?? []).lazy.compactMap({ entries[$0] })
            where entry.isComplete && !entry.isCondemned && entry.lastUse > found?.lastUse ?? 0
                && suits(entry)
            { found = entry }
            return found
        }
        var (low, high) = (0, min(chain.tiles, max(0, most) / Layout.tileTokens))
        var best: Entry?
        while low < high {
            let middle = (low + high + 1) / 2
            if let entry = found(middle) {
                best = entry
                low = middle
            } else {
                high = middle - 1
            }
        }
        return best.map { ($0, low * Layout.tileTokens) }
    }

    // MARK: memory

    /// Tokens of keys and values that are kept on a worker, shared ones once.
    package func tokens(on worker: String) -> Int { ledger.tokens(on: worker) }

    /// On all workers.
    package var keptTokens: Int { ledger.all }

    /// Those of pinned sequences alone, and of one more, by worker.
    package func pinnedTokens(and id: String? = nil) -> [String: Int] {
        ledger.tokens(of: id.flatMap { handles[$0] }.map { pinned.union([$0]) } ?? pinned)
    }

    /// Gives sequences up so that there is room, least recently used first. Those whose workers all have a disk for them
    /// leave memory and stay in the table, others are taken out. None that is in use or pinned is given up, so that there
    /// may be too little room still.
    /// - Parameters:
    ///   - room: for each worker, most tokens of kept sequences that there is room for.
    ///   - keepsOnDisk: whether a worker has a disk for them.
    package mutating func evict(
        toFit room: [String: Int], keepsOnDisk: (String) -> Bool = { _ in false }
    ) -> (gone: [Entry], stored: [Entry]) {
        var gone: [Entry] = []
        var stored: [Entry] = []
        func short() -> [String] { room.filter { tokens(on: $0.key) > $0.value }.map(\.key) }
        var left = short()
        guard !left.isEmpty else { return ([], []) }
        let candidates = left.reduce(into: Set<Int>()) { $0.formUnion(byWorker[$1] ?? []) }
            .compactMap { handle in entries[handle].map { (handle, $0) } }
            .filter { $0.1.isEvictable && !$0.1.isStored }.sorted { $0.1.lastUse < $1.1.lastUse }
        for (_, entry) in candidates where !left.isEmpty {
            guard entry.workers.contains(where: left.contains) else { continue }
            if entry.workers.allSatisfy(keepsOnDisk) {
                store(entry.id)
                stored.append(entry)
            } else {
                remove(entry.id)
                gone.append(entry)
            }
            left = short()
        }
        return (gone, stored)
    }

    /// A worker says that its part is on disk alone.
    package mutating func store(_ id: String) {
        guard let handle = handles[id], entries[handle]?.isStored == false else { return }
        ledger.remove(handle)
        entries[handle]?.isStored = true
    }

    /// It is read into memory: what it shares with others there is shared on disk, too, but counts twice.
    private mutating func load(_ id: String) {
        guard let handle = handles[id], let entry = entries[handle], entry.isStored else { return }
        entries[handle]?.isStored = false
        ledger.add(
            handle, past: nil, tokens: entry.tokens, layout: entry.layout, workers: entry.workers)
    }

    // MARK: coming and going

    /// A sequence is in memory.
    /// - Parameters:
    ///   - past: the sequence with which it shares the beginning, and how many tokens of it.
    ///   - run: that made it, and uses it until it is over; nil: nobody has said yet that it is there.
    /// - Returns: those that had to go for it because of the table's limits.
    package mutating func insert(
        _ entry: Entry, past: RunPast? = nil, by run: RunID?, at now: Instant
    ) -> [Entry] {
        guard handles[entry.id] == nil, entry.chain.tiles > 0, entry.chain.tiles <= Self.mostTiles else {
            return []
        }
        var gone: [Entry] = []
        while entries.count >= mostSequences || tiles + entry.chain.tiles > Self.mostTiles {
            let oldest = entries.values.filter(\.isEvictable).min { $0.lastUse < $1.lastUse }
            guard let oldest else { return gone + [entry] }
            remove(oldest.id)
            gone.append(oldest)
        }
        let handle = nextHandle
        nextHandle += 1
        uses += 1
        var entry = entry
        entry.lastUse = uses
        if let run {
            entry.runs = [run]
        } else {
            entry.missing = Set(entry.holders.indices)
            entry.missingSince = now
            incomplete.insert(handle)
        }
        entries[handle] = entry
        handles[entry.id] = handle
        tiles += entry.chain.tiles
        for digest in entry.chain.digests { byDigest[digest, default: []].append(handle) }
        for worker in entry.workers { byWorker[worker, default: []].insert(handle) }
        let shared = past.flatMap { past in
            handles[past.sequence].map { (handle: $0, tokens: Int(clamping: past.tokens)) }
        }
        ledger.add(
            handle, past: shared, tokens: entry.tokens,
            held: kvBytesPerToken > 0
                ? entry.kvBytes.map { Int(clamping: $0 / UInt64(kvBytesPerToken)) } : [],
            layout: entry.layout, workers: entry.workers)
        return gone
    }

    @discardableResult
    package mutating func remove(_ id: String) -> Entry? {
        guard let handle = handles.removeValue(forKey: id), let entry = entries.removeValue(forKey: handle)
        else { return nil }
        pinned.remove(handle)
        incomplete.remove(handle)
        tiles -= entry.chain.tiles
        for digest in entry.chain.digests {
            byDigest[digest]?.removeAll { $0 == handle }
            if byDigest[digest]?.isEmpty == true { byDigest[digest] = nil }
        }
        for worker in entry.workers {
            byWorker[worker]?.remove(handle)
            if byWorker[worker]?.isEmpty == true { byWorker[worker] = nil }
        }
        ledger.remove(handle)
        return entry
    }

    /// Takes out those without a name that this one contains wholly: where workers and layout are the same, they share
    /// its memory.
    package mutating func absorb(into id: String) -> [Entry] {
        guard let all = self[id] else { return [] }
        let inner = all.chain.digests.enumerated().flatMap { index, digest in
            (byDigest[digest] ?? []).compactMap { entries[$0] }.filter {
                $0.chain.tiles == index + 1 && $0.id != id && $0.contexts.isEmpty && $0.isEvictable
                    && $0.isComplete && $0.holders == all.holders && $0.layout == all.layout
            }
        }
        for entry in inner { remove(entry.id) }
        return inner
    }

    // MARK: use

    /// A run continues it, or keeps it from being given up.
    package mutating func use(_ id: String, by run: RunID) {
        load(id)
        uses += 1
        let last = uses
        change(id) {
            $0.lastUse = last
            $0.runs.insert(run)
        }
    }

    /// It was of use, though no run continues it itself.
    package mutating func touch(_ id: String) {
        uses += 1
        let last = uses
        change(id) { $0.lastUse = last }
    }

    /// A run is over.
    /// - Returns: the sequence, if it had to wait for that to go.
    @discardableResult
    package mutating func release(_ id: String, by run: RunID) -> Entry? {
        change(id) { $0.runs.remove(run) }
        guard let entry = self[id], entry.isCondemned, entry.runs.isEmpty else { return nil }
        return remove(id)
    }

    /// Takes out all without a name that begin with these tiles; those in use go when their runs are over.
    /// - Parameter digest: of the last of the tiles.
    /// - Returns: those that are gone.
    package mutating func condemn(beginningWith digest: TileDigest) -> [Entry] {
        let found = (byDigest[digest] ?? []).compactMap { entries[$0] }.filter(\.contexts.isEmpty)
        for entry in found { change(entry.id) { $0.isCondemned = true } }
        return found.filter(\.runs.isEmpty).compactMap { remove($0.id) }
    }

    /// A context's keys and values are this sequence's beginning.
    package mutating func name(_ id: String, _ context: ContextName, pinned isPinned: Bool) {
        change(id) {
            $0.contexts.insert(context)
            $0.isPinned = $0.isPinned || isPinned
        }
        if isPinned, let handle = handles[id] { pinned.insert(handle) }
    }

    /// - Parameter isPinned: by another context that names it.
    package mutating func unname(_ id: String, _ context: ContextName, stillPinned isPinned: Bool) {
        change(id) { $0.contexts.remove(context) }
        pin(id, isPinned)
    }

    package mutating func pin(_ id: String, _ isPinned: Bool) {
        change(id) { $0.isPinned = isPinned }
        guard let handle = handles[id] else { return }
        if isPinned { pinned.insert(handle) } else { pinned.remove(handle) }
    }

    // MARK: workers

    /// Ids of the sequences that a worker has a part of.
    package func held(by worker: String) -> [String] {
        (byWorker[worker] ?? []).compactMap { entries[$0] }.sorted { $0.lastUse < $1.lastUse }.map(\.id)
    }

    /// A worker holds its part, as it says itself.
    /// - Returns: false where this is none of its parts.
    package mutating func confirm(_ id: String, by holder: Holder, rank: Int, tokens: Int) -> Bool {
        guard let entry = self[id], entry.holders.indices.contains(rank),
            entry.holders[rank].name == holder.name, entry.tokens <= tokens
        else { return false }
        change(id) {
            $0.holders[rank].instance = holder.instance
            $0.missing.remove(rank)
            if $0.missing.isEmpty { $0.missingSince = nil }
        }
        return true
    }

    /// A worker cannot be asked, but may come back with its part.
    package mutating func lose(_ id: String, worker: String, at now: Instant) {
        change(id) {
            guard let rank = $0.holders.firstIndex(where: { $0.name == worker }) else { return }
            $0.missing.insert(rank)
            $0.missingSince = $0.missingSince ?? now
        }
    }

    /// Takes out those whose workers did not come back in time.
    package mutating func expire(at now: Instant) -> [Entry] {
        let late = incomplete.compactMap { entries[$0] }.filter { entry in
            entry.missingSince.map { now - $0 > Self.patience } ?? false
        }.sorted { $0.lastUse < $1.lastUse }
        for entry in late { remove(entry.id) }
        return late
    }

    private mutating func change(_ id: String, _ body: (inout Entry) -> Void) {
        guard let handle = handles[id], var entry = entries[handle] else { return }
        entries[handle] = nil
        body(&entry)
        entries[handle] = entry
        if entry.missing.isEmpty { incomplete.remove(handle) } else { incomplete.insert(handle) }
    }
}

/// What tells one context from all others.
package struct ContextName: Sendable, Hashable, Comparable {
    /// The name of the token that it was made with; empty: none was asked for.
    package var owner: String
    package var name: String

    package init(owner: String, name: String) {
        self.owner = owner
        self.name = name
    }

    package static func < (one: ContextName, other: ContextName) -> Bool {
        (one.owner, one.name) < (other.owner, other.name)
    }
}
