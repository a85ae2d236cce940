// What can be wrong with a GGUF file, or with writing one, in words a person can act on.

/// Why a GGUF file, or something asked of it, was refused.
public struct GGUFError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kind of problem, for code that must tell them apart.
    public enum Kind: Sendable {
        /// The file cannot be opened, is not a regular file, or cannot be mapped.
        case unreadable
        /// The file is not GGUF at all.
        case notGGUF
        /// It is GGUF, but of a version, byte order, shape or tensor type that Lariat does not read.
        case unsupported
        /// The file ends before what it announces.
        case truncated
        /// A count or length is over a limit of this reader.
        case tooLarge
        /// The contents contradict the format.
        case malformed
        /// A key or tensor was asked for that the file does not have.
        case missing
        /// A key has a value of another type than was asked for.
        case wrongType
        /// An edit that no file can hold: a bad name, a shape that is not that of the values.
        case invalidEdit
        /// The file cannot be written: it exists, its folder does not, the disk is full.
        case unwritable
    }

    public let kind: Kind
    /// The file it is about.
    public let path: String
    /// What is wrong, naming the tensor or key, and the remedy where there is one.
    public let problem: String

    public var description: String { "\(path): \(problem)" }
}
