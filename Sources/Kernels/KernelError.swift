// Every way in which compute can refuse its input or fail to start.

/// What went wrong in a kernel's set-up or input. Descriptions name the thing, the limit and the remedy.
public enum KernelError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The instruction set is not one this machine has.
    case isaUnavailable(wanted: String, available: [String])
    /// The number of compute threads is outside 1...limit.
    case threadCount(Int, limit: Int)
    /// The list of cores does not fit the threads or the machine.
    case cores(String)
    /// The operating system would not start or place a thread; the value is an `errno`.
    case thread(Int32)
    /// A tensor's type cannot be computed with.
    case unsupportedType(tensor: String, type: UInt32)
    /// A tensor or a matrix has a shape that does not fit the operation.
    case shape(String)
    /// A token id lies outside the vocabulary.
    case token(Int32, vocabulary: Int)
    /// A buffer is too small for what should be written.
    case bufferTooSmall(needed: Int, given: Int)
    /// A call of oneDNN failed.
    case oneDNN(operation: String, status: UInt32)

    public var description: String {
        switch self {
        case .isaUnavailable(let wanted, let available):
            "this machine cannot run the instruction set \(wanted); it has "
                + "\(available.joined(separator: ", ")). Choose one of these."
        case .threadCount(let count, let limit):
            "\(count) compute threads were asked for; choose 1 to \(limit)."
        case .cores(let reason):
            "the list of cores cannot be used: \(reason)."
        case .thread(let code):
            "a compute thread could not be started or placed on its core (error \(code)); "
                + "check the limit on threads and the allowed cores."
        case .unsupportedType(let tensor, let type):
            "tensor \(tensor) has type \(type), which has no kernel; convert the model to F32, F16, BF16, "
                + "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K."
        case .shape(let reason):
            "shapes do not fit: \(reason)."
        case .token(let id, let vocabulary):
            "token id \(id) is outside the vocabulary of \(vocabulary) tokens."
        case .bufferTooSmall(let needed, let given):
            "\(needed) bytes are needed, but the buffer has \(given)."
        case .oneDNN(let operation, let status):
            "oneDNN could not \(operation) (status \(status))."
        }
    }
}
