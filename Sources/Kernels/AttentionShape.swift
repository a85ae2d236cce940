// The shape of attention and the format of keys and values.
internal import CLariatKernels

/// Heads and scale of one attention layer.
public struct AttentionShape: Sendable, Equatable {
    /// Query heads.
    public let heads: Int
    /// Key/value heads; query head h uses KV head h / (heads / kvHeads).
    public let kvHeads: Int
    /// Elements of one head; even.
    public let headDimension: Int
    /// Factor of q . k before the softmax.
    public let scale: Float

    /// - Parameters:
    ///   - heads: 1...4096, a multiple of `kvHeads`.
    ///   - headDimension: even, 2...512.
    ///   - scale: finite and positive; `headDimension^-0.5` when nil.
    /// - Throws: `KernelError.shape` with the reason.
    public init(heads: Int, kvHeads: Int, headDimension: Int, scale: Float? = nil) throws(KernelError) {
        guard (1...4096).contains(heads), (1...4096).contains(kvHeads), heads % kvHeads == 0 else {
            throw .shape(
                "\(heads) query heads and \(kvHeads) KV heads; there must be 1 to 4096, and a whole number of "
                    + "query heads for each KV head")
        }
        guard (2...AttentionShape.maximumHeadDimension).contains(headDimension), headDimension % 2 == 0 else {
            throw .shape(
                "a head dimension of \(headDimension); it must be even and at most "
                    + "\(AttentionShape.maximumHeadDimension)")
        }
        let scale = scale ?? 1 / Float(headDimension).squareRoot()
        guard scale.isFinite, scale > 0 else {
            throw .shape("an attention scale of \(scale); it must be finite and positive")
        }
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDimension = headDimension
        self.scale = scale
    }

    /// The largest head dimension that the kernels take.
    public static let maximumHeadDimension = Int(LARIAT_ATTENTION_MAX_HEAD_DIM)

    /// Elements of a row of queries or outputs.
    public var queryRowElements: Int { heads * headDimension }

    /// Elements of one token's row: its keys, then its values.
    public var kvRowElements: Int { 2 * kvHeads * headDimension }

    var c: lariat_attention_shape {
        lariat_attention_shape(
            heads: UInt32(heads), kv_heads: UInt32(kvHeads), head_dim: UInt32(headDimension), scale: scale)
    }
}

/// The number format of stored keys and values.
public enum KVElement: String, Sendable, CaseIterable {
    case f32, bf16

    /// Bytes of one element.
    public var bytes: Int { self == .bf16 ? 2 : 4 }

    var c: lariat_kv_element { self == .bf16 ? LARIAT_KV_BF16 : LARIAT_KV_F32 }
}
