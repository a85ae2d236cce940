// The sizes of a decoder model, read from its file and checked against each other.
import GGUF
public import Kernels

/// The sizes that every family shares.
public struct ModelShape: Sendable, Equatable {
    public let layers: Int
    /// Width of the residual stream.
    public let hidden: Int
    /// Query heads, and the heads of keys and values that they share.
    public let heads: Int
    public let kvHeads: Int
    public let headDimension: Int
    public let feedForward: Int
    public let vocabulary: Int
    public let normEpsilon: Float
    /// Positions the model was trained for (`context_length`).
    public let window: Int

    /// Elements of one token's keys and values in one layer.
    public var kvRowElements: Int { 2 * kvHeads * headDimension }

    /// Bytes of one token's keys and values in all layers.
    public func kvBytesPerToken(_ element: KVElement) -> Int { layers * kvRowElements * element.bytes }

    /// Reads `<architecture>.*` of a file. Every size is bounded before anything is allocated by it.
    init(file: GGUFFile, architecture: String) throws(ModelError) {
        func size(_ key: String, _ range: ClosedRange<Int>, default fallback: Int? = nil) throws(ModelError)
            -> Int
        {
            let name = "\(architecture).\(key)"
            let value: Int
            do throws(GGUFError) {
                if let fallback {
                    value = try file.integerIfPresent(name) ?? fallback
                } else {
                    value = try file.integer(name)
                }
            } catch { throw .file(error) }
            guard range.contains(value) else {
                throw .unsupported(
                    "\(file.path): \(name) is \(value); Lariat takes \(range.lowerBound) to \(range.upperBound)"
                )
            }
            return value
        }
        layers = try size("block_count", 1...1000)
        hidden = try size("embedding_length", 1...1 << 20)
        heads = try size("attention.head_count", 1...4096)
        kvHeads = try size("attention.head_count_kv", 1...4096, default: heads)
        feedForward = try size("feed_forward_length", 1...1 << 22)
        window = try size("context_length", 1...1 << 31)
        headDimension = try size("attention.key_length", 2...1024, default: hidden / heads)
        guard heads % kvHeads == 0 else {
            throw .unsupported("\(file.path): \(heads) query heads cannot share \(kvHeads) key heads evenly")
        }
        guard headDimension % 2 == 0, headDimension >= 2 else {
            throw .unsupported("\(file.path): head size \(headDimension) is odd; rotation needs an even one")
        }
        do throws(GGUFError) {
            vocabulary = try file.tensor("token_embd.weight").rows
            normEpsilon = Float(try file.real("\(architecture).attention.layer_norm_rms_epsilon"))
        } catch { throw .file(error) }
        guard normEpsilon > 0, normEpsilon < 1 else {
            throw .unsupported(
                "\(file.path): layer_norm_rms_epsilon is \(normEpsilon); it must lie between 0 and 1")
        }
    }
}
