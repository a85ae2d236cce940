// What the coordinator needs to know of a model: text to tokens and back, sizes, and the rotary profile.
public import Messages

/// A model as the coordinator sees it. It never touches weights.
public protocol ModelDescription: Sendable {
    var name: String { get }
    var fingerprint: String { get }
    /// Token ids are below this.
    var vocabulary: Int { get }
    var layers: Int { get }
    /// Most bytes of text that one token stands for.
    var longestToken: Int { get }
    /// Positions the model is meant for, any rotary extension of its file included.
    var window: Int { get }
    /// The most positions for which the model's answer is exact; nil: no limit but the window's.
    var slidingWindow: Int? { get }
    /// Keys and values of one token in all layers, in the cluster's precision.
    var kvBytesPerToken: Int { get }
    /// What prefill has of one token in memory beside its keys and values, while it computes.
    var activationBytesPerToken: Int { get }
    /// Operations of one layer's products for one token, and of its attention for one query and key.
    var denseOperations: Double { get }
    var attentionOperations: Double { get }
    /// Operations of one token's scores over the vocabulary.
    var outputOperations: Double { get }
    /// Bytes of the weights that every token of an answer reads, those of its scores included.
    var weightBytes: Int { get }

    /// This model for a prompt that somebody may stop waiting for: once `check` says true, encoding soon ends with tokens
    /// that mean nothing.
    func abandoned(when check: @escaping @Sendable () -> Bool) -> any ModelDescription
    /// - Parameter literal: do not parse special tokens in the text.
    func encode(_ text: String, literal: Bool) throws -> [UInt32]
    /// The tokens of a text that stands behind others: nothing that begins a text comes first.
    func encodeContinuation(_ text: String, literal: Bool) throws -> [UInt32]
    /// Whether the model file has a chat template.
    var hasChatTemplate: Bool { get }
    /// A conversation as a chat template writes it, ready for the assistant's next turn.
    /// - Parameters:
    ///   - template: instead of the model file's: the name of one that Lariat brings along, or a Jinja program; empty: the
    ///     file's.
    ///   - wallMicroseconds: the time of day, for templates that write the date.
    func encodeChat(
        _ turns: [ConversationTurn], template: String, wallMicroseconds: UInt64
    ) throws -> [UInt32]
    /// The part of a conversation before a marker in one of its turns, or behind it.
    /// - Parameter marker: letters and digits that stand in one place.
    func encodeChat(
        _ turns: [ConversationTurn], _ part: ConversationPart, marker: String, template: String,
        wallMicroseconds: UInt64
    ) throws -> [UInt32]
    /// The bytes that a token stands for; alone they need not be UTF-8. None for one that stands for no text.
    func bytes(of token: UInt32) -> [UInt8]
    /// - Parameter last: the last token of the prompt.
    func textStream(after last: UInt32?) -> any TokenTextStream
    /// The rotary profile for the whole life of a sequence, and what there is to say about the choice.
    /// - Parameter method: instead of what the model file says.
    func profile(
        promptTokens: Int, reservedTokens: Int, method: RotaryMethodMessage?
    ) throws -> (profile: ProfileMessage, note: String)
}

/// What somebody says in a conversation.
public struct ConversationTurn: Sendable, Equatable {
    public enum Role: Sendable {
        /// First of all, if at all.
        case system
        case user, assistant
    }
    public var role: Role
    public var content: String

    public init(role: Role, content: String) {
        self.role = role
        self.content = content
    }
}

/// Which part of a conversation, seen from a place in it.
public enum ConversationPart: Sendable { case before, behind }

/// Turns tokens into text one by one and never gives half a character.
public protocol TokenTextStream: Sendable {
    mutating func push(_ token: UInt32) -> String
    /// What is left at the end.
    mutating func finish() -> String
}
