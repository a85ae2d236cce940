// What can go wrong between a model file and its answer.
public import GGUF
public import KVCache
public import Kernels
public import LongRoPE
public import RingAttention
public import Tokenizer

/// An error of this module; its description names the thing, the limit and the remedy.
public enum ModelError: Error, Sendable, CustomStringConvertible {
    /// The file cannot be read as GGUF, or lacks something.
    case file(GGUFError)
    /// The file's vocabulary cannot be used.
    case tokenizer(TokenizerError)
    /// The file's rotary scaling cannot be used.
    case rotary(LongRoPEError)
    /// The file is well formed, but not a model that Lariat runs.
    case unsupported(String)
    /// A kernel cannot be had on this processor, or memory is short.
    case kernel(KernelError)
    /// The ring broke: a peer is gone, stalled or says something wrong.
    case ring(RingError)
    /// Memory for keys and values cannot be had.
    case memory(KVError)

    public var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .tokenizer(let error): "\(error)"
        case .rotary(let error): "\(error)"
        case .unsupported(let text): text
        case .memory(let error): "\(error)"
        case .kernel(let error): "\(error)"
        case .ring(let error): "\(error)"
        }
    }
}
