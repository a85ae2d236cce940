// A sequence's beginning as one rank keeps it.
public import RingAttention

/// What a kept sequence is, without its rows.
public struct SequenceDescription: Sendable, Equatable {
    /// This rank's place in `layout`.
    public let rank: Int
    public let layout: Layout
    /// Of the whole sequence, from position 0: whole tiles.
    public let tokens: Int
    /// Identity of the rotary profile that its keys were turned with.
    public let profile: String

    public init(rank: Int, layout: Layout, tokens: Int, profile: String) {
        self.rank = rank
        self.layout = layout
        self.tokens = tokens
        self.profile = profile
    }
}

/// A sequence's beginning as one rank keeps it.
public struct SequencePart: Sendable {
    public let description: SequenceDescription
    public let rows: KVSequence

    public var rank: Int { description.rank }
    public var layout: Layout { description.layout }
    public var tokens: Int { description.tokens }
    public var profile: String { description.profile }

    public init(_ description: SequenceDescription, rows: KVSequence) {
        self.description = description
        self.rows = rows
    }

    public init(rank: Int, layout: Layout, tokens: Int, profile: String, rows: KVSequence) {
        self.init(
            SequenceDescription(rank: rank, layout: layout, tokens: tokens, profile: profile), rows: rows)
    }
}
