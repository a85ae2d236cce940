// What was said in a conversation, as it is submitted.

public import Protobuf

/// What somebody said, or a piece of it.
public struct ChatTurn: BridgedMessage, Equatable {
    public enum Role: UInt32, WireEnumeration, CaseIterable {
        /// It continues the turn before, which may stand in an earlier part.
        case unspecified = 0
        case user = 1
        case assistant = 2
        /// A role that this version does not have.
        case unknown = 0xffff_ffff

        package static var unrecognised: Role { .unknown }
    }

    public var role: Role = .unspecified
    /// UTF-8; pieces are concatenated before they are decoded.
    public var content: [UInt8] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.ChatTurn", in: .lariat)
    package static let fields: [WireField<ChatTurn>] = [.enumeration(1, \.role), .bytes(2, \.content)]
}
