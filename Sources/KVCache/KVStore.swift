// The sequences that a worker keeps beyond the runs that computed them, in memory and on disk.
import Synchronization

/// Kept sequences by name, in two tiers: memory, and, where there is a folder, disk behind it. Who keeps what, and for
/// how long, is the coordinator's decision; only when a run that the coordinator has admitted finds no memory, the
/// sequences that were used longest ago leave memory by themselves, those that are on disk first; and those on disk go
/// when others need the room. The coordinator hears of it when it asks for one.
public final class KVStore: Sendable {
    private struct State: Sendable {
        var kept: [String: SequencePart] = [:]
        /// Counts uses; by name the last one.
        var uses: UInt64 = 0
        var used: [String: UInt64] = [:]

        mutating func use(_ name: String) {
            uses += 1
            used[name] = uses
        }

        mutating func forget(_ name: String) {
            kept[name] = nil
            used[name] = nil
        }

        /// The one used longest ago of those that `isGood` says.
        func oldest(where isGood: (String) -> Bool) -> String? {
            used.filter { isGood($0.key) }.min { $0.value < $1.value }?.key
        }
    }

    /// A kept sequence as it is listed.
    public struct Kept: Sendable, Equatable {
        /// This rank's place in the sequence's layout.
        public var rank: Int
        /// Of the whole sequence.
        public var tokens: Int
        /// Bytes of its pages in memory, shared or not; 0: it is on disk only, or this rank has no rows.
        public var memoryBytes: Int
        /// Bytes of its files, shared or not; 0: it is in memory only.
        public var diskBytes: Int
    }

    /// Most sequences in each tier: each costs an entry here and with the coordinator, whatever its length.
    public static let mostSequences = 65_536
    /// Most sequences that wait to be written; each holds its pages.
    public static let mostWaiting = 16
    /// What a copy that is being written may take to let go of its pages, when memory is needed.
    private static let letGo: Duration = .seconds(2)

    public let memory: KVMemory
    private let disk: (folder: KVFolder, writer: DiskWriter)?
    private let state = Mutex(State())

    /// - Parameter folder: the second tier; nil: there is none.
    public init(memory: KVMemory, folder: KVFolder? = nil, mostWaiting: Int = KVStore.mostWaiting) {
        self.memory = memory
        disk = folder.map { ($0, DiskWriter(folder: $0, capacity: mostWaiting)) }
    }

    deinit { disk?.writer.close(within: .zero) }

    // MARK: use

    /// A kept sequence; nil: it is not here. One that is on disk only is read into memory first, for which others
    /// make room: that blocks, for seconds where it is long, so it is not for a task thread.
    /// - Parameters:
    ///   - limit: the longest wait for the disk; nil: 10 s, and a second for each 50 MB.
    ///   - isCancelled: asked while it is read, on another thread; then nil is returned soon, and the copy stays.
    public func sequence(
        _ name: String, within limit: Duration? = nil,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) -> SequencePart? {
        let found = state.withLock { state -> SequencePart? in
            guard let found = state.kept[name] else { return nil }
            state.use(name)
            return found
        }
        guard let disk else { return found }
        disk.folder.use(name)
        if let found {
            // One whose copy was given up gets another chance.
            if disk.folder.entry(name) == nil, !disk.writer.isPending(name) {
                disk.writer.add(found, as: name)
            }
            return found
        }
        guard disk.folder.entry(name) != nil else { return nil }
        let bytes = disk.folder.memoryNeeded(for: name)
        guard bytes <= memory.limit else { return nil }
        makeRoom(bytes)
        let loaded = disk.folder.load(
            name, memory: memory, within: limit ?? KVFolder.patience(bytes: bytes),
            isCancelled: isCancelled)
        guard let loaded else {
            disk.writer.sweepSoon()
            return nil
        }
        return state.withLock { state in
            // It was dropped while it was read.
            guard disk.folder.entry(name) != nil else { return nil }
            state.kept[name] = loaded
            state.use(name)
            return loaded
        }
    }

    /// What a kept sequence is; nil: it is not here. Reads nothing.
    public func description(_ name: String) -> SequenceDescription? {
        if let found = state.withLock({ $0.kept[name] }) { return found.description }
        return try? disk?.folder.entry(name)?.manifest.description()
    }

    /// Keeps a sequence in memory under a name, in place of what had that name, and writes it to disk behind.
    public func keep(_ sequence: SequencePart, as name: String) {
        disk?.writer.cancel(name)
        disk?.folder.remove(name)
        let isFull = state.withLock { $0.kept[name] == nil && $0.kept.count >= Self.mostSequences }
        if isFull, !forgetOldest(needingCopy: true) { forgetOldest(needingCopy: false) }
        state.withLock { state in
            state.kept[name] = sequence
            state.use(name)
        }
        disk?.writer.add(sequence, as: name)
    }

    // MARK: what goes

    /// Forgets sequences, in memory and on disk; runs that use them go on.
    public func drop(_ names: [String]) {
        guard !names.isEmpty else { return }
        var isRemoved = false
        for name in names {
            disk?.writer.cancel(name)
            // The pages go when the lock is free again.
            _ = state.withLock { state in
                defer { state.forget(name) }
                return state.kept[name]
            }
            isRemoved = disk?.folder.remove(name) ?? false || isRemoved
        }
        if isRemoved { disk?.writer.sweepSoon() }
    }

    /// Lets sequences leave memory. Those of which there is no copy on disk, and will be none, are forgotten.
    public func release(_ names: [String]) {
        for name in names {
            _ = state.withLock { state in
                defer { state.forget(name) }
                return state.kept[name]
            }
        }
    }

    /// Lets sequences leave memory, one after another, until so many bytes are free or none is left: first those that
    /// are on disk, then those that are not, then those that are about to be; of each, those used longest ago first.
    public func makeRoom(_ bytes: Int) {
        while memory.free < bytes {
            if forgetOldest(needingCopy: true) || forgetOldest(needingCopy: false) { continue }
            // What still waits to be written holds its pages, though nobody has them in memory any more.
            guard let writer = disk?.writer, writer.cancelOldest(within: Self.letGo) else { return }
        }
    }

    /// - Returns: whether there was one.
    @discardableResult
    private func forgetOldest(needingCopy: Bool) -> Bool {
        let pending = disk?.writer.pending ?? []
        // The pages go when the lock is free again.
        let (name, part) = state.withLock { state -> (String?, SequencePart?) in
            let oldest =
                needingCopy
                ? state.oldest { disk?.folder.entry($0) != nil }
                : state.oldest { !pending.contains($0) } ?? state.oldest { _ in true }
            guard let oldest else { return (nil, nil) }
            defer { state.forget(oldest) }
            return (oldest, state.kept[oldest])
        }
        guard let name, part != nil else { return false }
        if pending.contains(name) { disk?.writer.cancel(name) }
        return true
    }

    /// Ends writing, after what waits has been written if that is soon, and lets another process use the folder.
    public func close(within limit: Duration) {
        guard let disk else { return }
        _ = disk.writer.settle(within: limit)
        disk.writer.close(within: Self.letGo)
        disk.folder.close()
    }

    /// Waits until all copies have been written or given up.
    /// - Returns: whether that was so in time.
    public func settle(within limit: Duration) -> Bool { disk?.writer.settle(within: limit) ?? true }

    // MARK: what there is

    /// All that is kept, in either tier, by name. Reads no file.
    public var sequences: [String: Kept] {
        var all: [String: Kept] = [:]
        for (name, entry) in disk?.folder.entries ?? [:] {
            all[name] = Kept(
                rank: entry.manifest.rank, tokens: entry.manifest.tokens, memoryBytes: 0,
                diskBytes: DiskCatalog.bytes(of: entry))
        }
        for (name, part) in state.withLock({ $0.kept }) {
            all[name] = Kept(
                rank: part.rank, tokens: part.tokens, memoryBytes: Self.bytes(of: part),
                diskBytes: all[name]?.diskBytes ?? 0)
        }
        return all
    }

    /// Bytes in memory of the pages of all kept sequences; what several share counts once.
    public var bytes: Int {
        let kept = state.withLock { $0.kept }
        var seen: Set<ObjectIdentifier> = []
        return kept.values.reduce(0) { $0 + $1.rows.bytes(beyond: &seen) }
    }

    /// Sequences in memory.
    public var inMemory: Int { state.withLock { $0.kept.count } }

    /// The second tier; nil: there is none.
    public var folder: KVFolder? { disk?.folder }

    /// Bytes of the pages of one sequence, shared or not.
    public static func bytes(of sequence: SequencePart) -> Int {
        var seen: Set<ObjectIdentifier> = []
        return sequence.rows.bytes(beyond: &seen)
    }
}
