// Blocks: what travels between workers, less the tensor, which follows the header (RingFrame.swift).
// The meaning of each field stands in Proto/lariat.proto; zero or empty means "not given".

public import Protobuf

/// All of a `RingMessage` but its tensor: what it is a part of, and for whom.
public struct RingHeader: BridgedMessage {
    public static let byteLimit = 64 << 10

    /// What the tensor holds.
    public enum Kind: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        /// Prefill: part of a stripe; tensor (tokens, 2, kv heads, head size).
        case keyValues = 1
        /// Decode: tensor (heads, head size) f32, then, for the owner, (2, kv heads, head size).
        case query = 2
        /// Decode: tensor O (heads, head size) f32, then L (heads) f32.
        case partial = 3
        /// Decode is over.
        case end = 4
    }

    public var kind: Kind = .unspecified
    public var job: String = ""
    public var attempt: UInt64 = 0
    public var epoch: UInt64 = 0
    public var fromRank: UInt32 = 0
    /// Whose stripe this is a part of.
    public var originRank: UInt32 = 0
    public var layer: UInt32 = 0
    /// Its number in the sequence, from 0.
    public var stripe: UInt32 = 0
    /// QUERY: of the token.
    public var position: UInt64 = 0
    /// 0: f32, 1: bf16.
    public var element: UInt32 = 0
    /// CRC-32C of the tensor.
    public var checksum: UInt32 = 0
    /// Identity of the rotary profile.
    public var profile: String = ""
    /// A stripe larger than 1 MiB travels in parts, `0 ..< parts`.
    public var part: UInt32 = 0
    public var parts: UInt32 = 0

    public init() {}

    package static let schema = MessageSchema("lariat.v1.RingMessage", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RingHeader>] = [
        .enumeration(1, \.kind), .string(2, \.job), .uint64(3, \.attempt), .uint64(4, \.epoch),
        .uint32(5, \.fromRank), .uint32(6, \.originRank), .uint32(7, \.layer), .uint32(8, \.stripe),
        .uint64(9, \.position), .uint32(10, \.element), .uint32(11, \.checksum), .string(12, \.profile),
        .uint32(13, \.part), .uint32(14, \.parts),
    ]
}

/// The sender is done.
public struct RingReply: BridgedMessage {
    public init() {}

    package static let schema = MessageSchema("lariat.v1.RingReply", in: .lariat)
    package static let acceptsUnknownFields = false
    package static let fields: [WireField<RingReply>] = []
}
