// The sequences that a worker keeps beyond the runs that computed them.
public import RingAttention
import Synchronization

/// A sequence's beginning as one rank keeps it.
public struct SequencePart: Sendable {
    /// This rank's place in `layout`.
    public let rank: Int
    public let layout: Layout
    /// Of the whole sequence, from position 0: whole tiles.
    public let tokens: Int
    /// Identity of the rotary profile that its keys were turned with.
    public let profile: String
    public let rows: KVSequence

    public init(rank: Int, layout: Layout, tokens: Int, profile: String, rows: KVSequence) {
        self.rank = rank
        self.layout = layout
        self.tokens = tokens
        self.profile = profile
        self.rows = rows
    }
}

/// Kept sequences by name. Who keeps what, and for how long, is the coordinator's decision; only when a run that the
/// coordinator has admitted finds no memory, the sequences that were used longest ago go by themselves, and the
/// coordinator hears of it when it asks for one.
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

        mutating func drop(_ name: String) {
            kept[name] = nil
            used[name] = nil
        }
    }

    /// Most sequences: each costs an entry here and with the coordinator, whatever its length.
    public static let mostSequences = 65_536

    public let memory: KVMemory
    private let state = Mutex(State())

    public init(memory: KVMemory) { self.memory = memory }

    /// A kept sequence; nil: it is not here.
    public func sequence(_ name: String) -> SequencePart? {
        state.withLock { state in
            guard let found = state.kept[name] else { return nil }
            state.use(name)
            return found
        }
    }

    /// Keeps a sequence under a name, in place of what had that name.
    public func keep(_ sequence: SequencePart, as name: String) {
        state.withLock { state in
            if state.kept[name] == nil, state.kept.count >= Self.mostSequences,
                let oldest = state.used.min(by: { $0.value < $1.value })?.key
            {
                state.drop(oldest)
            }
            state.kept[name] = sequence
            state.use(name)
        }
    }

    /// Forgets sequences; runs that use them go on.
    public func drop(_ names: [String]) {
        state.withLock { state in for name in names { state.drop(name) } }
    }

    /// Forgets the sequences used longest ago, one after another, until so many bytes are free or nothing is kept.
    public func makeRoom(_ bytes: Int) {
        while memory.free < bytes {
            // The pages go when the lock is free again.
            let dropped = state.withLock { state -> SequencePart? in
                guard let oldest = state.used.min(by: { $0.value < $1.value })?.key else { return nil }
                defer { state.drop(oldest) }
                return state.kept[oldest]
            }
            guard dropped != nil else { return }
        }
    }

    /// All that is kept, by name.
    public var sequences: [String: SequencePart] { state.withLock { $0.kept } }

    /// Bytes of the pages of all kept sequences; what several share counts once.
    public var bytes: Int {
        let kept = sequences
        var seen: Set<ObjectIdentifier> = []
        return kept.values.reduce(0) { $0 + $1.rows.bytes(beyond: &seen) }
    }

    /// Bytes of the pages of one sequence, shared or not.
    public static func bytes(of sequence: SequencePart) -> Int {
        var seen: Set<ObjectIdentifier> = []
        return sequence.rows.bytes(beyond: &seen)
    }
}
