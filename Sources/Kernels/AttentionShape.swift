// The shape of attention, the format of keys and values, and the running result of a set of queries.
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

/// The running attention of a set of queries: what all blocks attended so far give together.
///
/// Confined by use to one engine thread and the pool that thread drives, like `Matrix`: nothing here locks.
public final class AttentionState: @unchecked Sendable {
    public let shape: AttentionShape
    /// Normalised output, `[queries, heads * headDimension]`; without meaning where nothing was visible yet.
    public private(set) var output: Matrix
    /// Natural logarithm of the sum of exponentials, `[queries, heads]`; -inf where nothing was visible yet.
    public private(set) var logSumExp: Matrix
    let scratch = AttentionScratch()

    /// Room for `queries` queries that have seen nothing yet.
    public init(queries: Int, shape: AttentionShape) {
        self.shape = shape
        output = Matrix(rows: queries, columns: shape.queryRowElements)
        logSumExp = Matrix(rows: queries, columns: shape.heads)
        forget(0..<queries)
    }

    /// Forgets everything and makes room for `queries` queries. Memory is kept when it suffices; when it does not,
    /// `output` and `logSumExp` become other matrices.
    public func reset(queries: Int) {
        if queries <= output.capacity {
            output.reshape(rows: queries)
            logSumExp.reshape(rows: queries)
        } else {
            output = Matrix(rows: queries, columns: shape.queryRowElements)
            logSumExp = Matrix(rows: queries, columns: shape.heads)
        }
        forget(0..<queries)
    }

    /// Forgets what some queries have seen. Different queries may be forgotten by different threads.
    public func forget(_ queries: Range<Int>) {
        unsafe logSumExp.rows(queries).withUnsafeMutableBuffer { unsafe $0.update(repeating: -.infinity) }
    }
}

/// Working memory of prefill attention, kept between blocks: one packed run of keys and values, a tile's state for
/// each thread, positions.
@safe final class AttentionScratch {
    private(set) var packed = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private(set) var tiles = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    var described: [lariat_key_tile] = []
    var keyPositions: [Int64] = []
    var queryPositions: [Int64] = []
    /// The runs that `queryPositions` spells out.
    var queryRuns: [Range<Int>] = []

    deinit {
        unsafe TensorMemory.release(packed.baseAddress)
        unsafe TensorMemory.release(tiles.baseAddress)
    }

    /// Packed memory of at least `bytes` bytes, contents undefined.
    func packed(bytes: Int) -> UnsafeMutableRawPointer { unsafe Self.grow(&packed, to: bytes) }

    /// Tile states, `bytes` bytes in all, contents undefined.
    func tiles(bytes: Int) -> UnsafeMutableRawPointer { unsafe Self.grow(&tiles, to: bytes) }

    private static func grow(
        _ memory: inout UnsafeMutableRawBufferPointer, to bytes: Int
    ) -> UnsafeMutableRawPointer {
        if let start = memory.baseAddress, memory.count >= bytes { return unsafe start }
        unsafe TensorMemory.release(memory.baseAddress)
        let start = unsafe TensorMemory.required(bytes: max(bytes, 64))
        unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: max(bytes, 64))
        unsafe memory = unsafe UnsafeMutableRawBufferPointer(start: start, count: max(bytes, 64))
        return unsafe start
    }
}
