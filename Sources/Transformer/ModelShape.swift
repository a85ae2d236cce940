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
    /// Keys that a query sees in every layer, its own among them (`attention.sliding_window`); nil: all before it.
    /// Lariat has full attention only, which is the same up to so many positions.
    public let slidingWindow: Int?

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
            if case .integers(let each)? = file.metadata[name], let first = each.first {
                guard each.allSatisfy({ $0 == first }) else {
                    throw .unsupported(
                        "\(file.path): \(name) is not the same in all layers; Lariat runs models whose layers are "
                            + "alike")
                }
                value = Int(first)
            } else {
                do throws(GGUFError) {
                    if let fallback {
                        value = try file.integerIfPresent(name) ?? fallback
                    } else {
                        value = try file.integer(name)
                    }
                } catch { throw .file(error) }
            }
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
        let values = try size("attention.value_length", 1...1 << 20, default: headDimension)
        guard values == headDimension else {
            throw .unsupported(
                "\(file.path): heads of \(headDimension) key elements and \(values) value elements "
                    + "(attention.key_length, attention.value_length); Lariat runs models where they are equal"
            )
        }
        let sliding = try size("attention.sliding_window", 0...1 << 32, default: 0)
        slidingWindow = sliding == 0 ? nil : sliding
        guard heads % kvHeads == 0 else {
            throw .unsupported("\(file.path): \(heads) query heads cannot share \(kvHeads) key heads evenly")
        }
        guard headDimension % 2 == 0, headDimension >= 2 else {
            throw .unsupported("\(file.path): head size \(headDimension) is odd; rotation needs an even one")
        }
        let scale: Double?
        do throws(GGUFError) {
            scale = try file.realIfPresent("\(architecture).attention.scale")
            vocabulary = try file.tensor("token_embd.weight").rows
            normEpsilon = Float(try file.real("\(architecture).attention.layer_norm_rms_epsilon"))
        } catch { throw .file(error) }
        // 0 means what all models of these families have, in llama.cpp too.
        let usual = 1 / Double(headDimension).squareRoot()
        guard scale ?? 0 == 0 || abs((scale ?? 0) / usual - 1) < 1e-6 else {
            throw .unsupported(
                "\(file.path): \(architecture).attention.scale is \(scale ?? 0); Lariat runs models whose scores are "
                    + "multiplied by 1 / sqrt(head size), \(usual)")
        }
        guard normEpsilon > 0, normEpsilon < 1 else {
            throw .unsupported(
                "\(file.path): layer_norm_rms_epsilon is \(normEpsilon); it must lie between 0 and 1")
        }
    }
}
