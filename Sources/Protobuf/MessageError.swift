// Why bytes are not a message, or a message cannot become bytes.

import Numerals

/// Why bytes were refused as a message, or a value cannot be sent. Its description is fit for a `grpc-message`.
public enum MessageError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge(message: String, bytes: Int, limit: Int)
    /// The bytes are not protobuf, or not this message.
    case malformed(message: String)
    /// Unpacking would take more memory than such a message may use.
    case overBudget(message: String, bytes: Int, budget: Int)
    /// A field that an internal service does not know: the two processes are of different versions.
    case unknownField(message: String, number: UInt32)
    /// A message that is one of several things, and is none of them.
    case nothingSet(message: String)
    case notUTF8(message: String, field: String)
    case containsNUL(message: String, field: String)
    /// The Swift type and `Proto/` disagree; a bug of ours that a test finds.
    case schema(message: String, field: UInt32)
    /// The tensor of a ring message is not its last field, or there is more than one.
    case tensorNotLast

    public var description: String {
        switch self {
        case .tooLarge(let message, let bytes, let limit):
            "\(message) has \(bytes.grouped) bytes; the limit is \(limit.grouped). Send it in smaller parts."
        case .malformed(let message): "these bytes are not a \(message)"
        case .overBudget(let message, let bytes, let budget):
            "\(message) of \(bytes.grouped) bytes would take more than \(budget.grouped) bytes of memory when unpacked"
        case .unknownField(let message, let number):
            "\(message) has an unknown field \(number); do both processes run the same version of Lariat?"
        case .nothingSet(let message):
            "\(message) says nothing that is known here; do both processes run the same version of Lariat?"
        case .notUTF8(let message, let field): "\(message): field \(field) is not UTF-8"
        case .containsNUL(let message, let field): "\(message): field \(field) contains a NUL character"
        case .schema(let message, let field):
            "\(message): field \(field) in Swift does not match Proto/; run Ops/proto"
        case .tensorNotLast: "a ring message must end with its tensor"
        }
    }
}
