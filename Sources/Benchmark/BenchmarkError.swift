// Why a measurement could not be made.
package import GGUF
package import Kernels
package import RPC
package import RingAttention
package import Transformer

/// What went wrong, as the part that failed says it.
package enum BenchmarkError: Error, Sendable, CustomStringConvertible {
    case kernel(KernelError)
    case weights(GGUFError)
    case model(ModelError)
    case transport(RPCStatus)
    case ring(RingError)
    /// The plain TCP connection: what was tried, and the system's word for the failure.
    case socket(String)
    /// A settings of the measurement itself.
    case setting(String)

    package var description: String {
        switch self {
        case .kernel(let error): "\(error)"
        case .weights(let error): "\(error)"
        case .model(let error): "\(error)"
        case .transport(let status): status.message.isEmpty ? status.code.name : status.message
        case .ring(let error): "\(error)"
        case .socket(let text), .setting(let text): text
        }
    }
}
