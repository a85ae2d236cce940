// What can be wrong with a vocabulary or a request to a tokenizer, in words a person can act on.

/// Why a vocabulary or a conversation was refused.
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kind of problem, for code that must tell them apart.
    public enum Kind: Sendable {
        /// The tokenizer model or pre-tokenizer is not one that Lariat implements.
        case unsupported
        /// The vocabulary contradicts itself.
        case malformed
        /// The model file has no chat template.
        case noChatTemplate
        /// The chat template is not Jinja, or more of it than Lariat runs.
        case chatTemplate
        /// The conversation cannot be written down with this template.
        case conversation
    }

    public let kind: Kind
    /// What is wrong, and the remedy where there is one. Another chat template is a remedy that the caller names.
    public let problem: String

    public var description: String { problem }
}
