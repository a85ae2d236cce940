// What a set of queries has seen so far of the keys that come to it in ascending position.
internal import CLariatKernels

/// The running attention of a set of queries in canonical order: keys come in ascending position from 0 on, are met in
/// tiles of 128 aligned to position 0, and what is carried from tile to tile is the unnormalised output, the running
/// maximum and the sums as the kernel keeps them, in fp32. So the result of a query is the same bits however the keys
/// arrive and whichever queries are beside it.
///
/// Confined by use to one engine thread and the pool that thread drives, like `Matrix`: nothing here locks.
@safe public final class AttentionState: @unchecked Sendable {
    public let shape: AttentionShape
    /// The format of the keys and values that come.
    public let element: KVElement
    /// Number of queries.
    public let queries: Int
    /// Keys that have come: those at positions 0..<keys.
    public internal(set) var keys = 0
    /// Keys of the last, partial tile have been attended: no more can come.
    var isClosed = false

    /// Items of one KV head.
    let items: Int
    /// Their states, [kvHeads][items].
    let states: UnsafeMutableRawPointer
    let queryPositions: [Int64]
    /// The greatest of them; -1: there is no query.
    let latest: Int64

    /// Tiles that are packed, [tiles][kvHeads], and not yet attended.
    var packedTiles = 0
    var described: [lariat_key_tile] = []
    private(set) var packed = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// Working memory of each thread.
    private(set) var scratch = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    /// The rows of a tile that arrives in parts.
    let openTile: UnsafeMutableRawPointer

    /// - Parameter runs: the positions of the queries as runs, in buffer order; an empty run adds no query.
    public init(queriesAt runs: [Range<Int>], shape: AttentionShape, element: KVElement) {
        self.shape = shape
        self.element = element
        queryPositions = runs.flatMap { $0.lazy.map(Int64.init) }
        queries = queryPositions.count
        latest = queryPositions.max() ?? -1
        var cShape = shape.c
        items = unsafe lariat_attention_items(&cShape, queries)
        unsafe states = TensorMemory.required(
            bytes: max(64, shape.kvHeads * items * lariat_attention_state_bytes(UInt32(shape.headDimension))))
        unsafe openTile = TensorMemory.required(
            bytes: Int(LARIAT_ATTENTION_TILE_KEYS) * shape.kvRowElements * element.bytes)
        begin()
    }

    deinit {
        unsafe TensorMemory.release(states)
        unsafe TensorMemory.release(openTile)
        unsafe TensorMemory.release(packed.baseAddress)
        unsafe TensorMemory.release(scratch.baseAddress)
    }

    /// Forgets all keys: the next one is at position 0.
    public func begin() {
        unsafe lariat_attention_begin(states, shape.kvHeads * items, UInt32(shape.headDimension))
        keys = 0
        packedTiles = 0
        isClosed = false
    }

    /// Bytes that a query's state takes, for those who plan memory.
    public static func bytesPerQuery(_ shape: AttentionShape) -> Int {
        let rows = Int(LARIAT_ATTENTION_TILE_ROWS)
        return shape.heads * (lariat_attention_state_bytes(UInt32(shape.headDimension)) + rows - 1) / rows
    }

    /// Packed memory of at least `bytes` bytes, contents undefined.
    func packed(bytes: Int) -> UnsafeMutableRawPointer { unsafe Self.grow(&packed, to: bytes) }

    /// Working memory, `bytes` bytes in all, contents undefined.
    func scratch(bytes: Int) -> UnsafeMutableRawPointer { unsafe Self.grow(&scratch, to: bytes) }

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
