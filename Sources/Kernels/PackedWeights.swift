// Weights unpacked for dense products: made once for a slab and used for all its tokens.
internal import CLariatKernels
internal import COneDNN
internal import GGUF
internal import Synchronization

/// Weights `[rows, columns]` = `[outputs, inputs]`, unpacked to bfloat16 or float32 in the layout that the engine's
/// dense product reads. Used only with the `Compute` that made it. Confined by use like `Matrix`.
@safe
public final class PackedWeights: @unchecked Sendable {
    enum Layout {
        /// float32, row-major: the scalar product.
        case plain
        /// float32 in panels of 16 outputs, so many floats each: the AVX2 product.
        case panels(stride: Int)
        case oneDNN(DenseShape)
    }

    public private(set) var rows: Int
    public private(set) var columns: Int
    private(set) var layout: Layout
    let base: UnsafeMutableRawPointer
    /// Memory held, in bytes.
    public let bytes: Int

    fileprivate init(rows: Int, columns: Int, layout: Layout, bytes: Int) {
        self.rows = rows
        self.columns = columns
        self.layout = layout
        self.bytes = bytes
        unsafe base = unsafe TensorMemory.required(bytes: bytes)
    }

    deinit { unsafe TensorMemory.release(base) }

    fileprivate func become(rows: Int, columns: Int, layout: Layout) {
        self.rows = rows
        self.columns = columns
        self.layout = layout
    }
}

extension Compute {
    /// Bytes that `pack` needs for weights of so many outputs and inputs.
    public func packedBytes(rows: Int, columns: Int) throws(KernelError) -> Int {
        try packing(rows: rows, columns: columns).bytes
    }

    private func packing(rows: Int, columns: Int) throws(KernelError) -> (
        layout: PackedWeights.Layout, bytes: Int
    ) {
        let paddedColumns = (columns + 15) / 16 * 16
        switch isa {
        case .scalar: return (.plain, rows * columns * 4)
        case .avx2:
            return (.panels(stride: paddedColumns * 16), (rows + 15) / 16 * paddedColumns * 16 * 4)
        case .avx512, .avx512bf16:
            let shape = try dense.shape(rows: rows, columns: columns, bf16: usesBF16)
            return (.oneDNN(shape), shape.bytes)
        }
    }

    /// Unpacks `w` for `linear`. `reused`, when given and large enough, is overwritten and returned, so that one
    /// allocation serves layer after layer; otherwise new memory is allocated, 2 bytes a weight with bfloat16
    /// operands, else 4, and up to 63 rows of padding.
    public func pack(_ w: WeightStack, reusing reused: PackedWeights? = nil) throws(KernelError)
        -> PackedWeights
    {
        let (layout, bytes) = try packing(rows: w.rows, columns: w.columns)
        let packed: PackedWeights
        if let reused, reused.bytes >= bytes {
            packed = reused
            packed.become(rows: w.rows, columns: w.columns, layout: layout)
        } else {
            packed = PackedWeights(rows: w.rows, columns: w.columns, layout: layout, bytes: bytes)
        }
        switch layout {
        case .plain:
            let out = unsafe packed.base.assumingMemoryBound(to: Float.self)
            forEachRow(w.rows, columns: w.columns) { row in
                unsafe dequantise(row, of: w, into: out + row * w.columns)
            }
        case .panels(let stride):
            unsafe packWords(
                w, WordBlocks(width: 16, outputStride: stride, inputStride: 256), bf16: false,
                into: packed.base)
        case .oneDNN(let shape):
            if let blocks = shape.blocks {
                unsafe packWords(w, blocks, bf16: shape.bf16, into: packed.base)
            } else {
                try reorder(w, shape, into: packed)
            }
        }
        return packed
    }

    /// One row, `[columns]`.
    private func dequantise(_ row: Int, of w: WeightStack, into out: UnsafeMutablePointer<Float>) {
        let (part, row) = w.locate(row)
        let ops = ops
        unsafe part.withRows { first in
            unsafe ops.dequantise(part.type.rawValue, first + row * part.bytesPerRow, part.columns, out)
        }
    }

    /// Sixteen rows at a time: unpack, round to bfloat16 if asked, transpose into the blocked layout.
    private func packWords(
        _ w: WeightStack, _ blocks: WordBlocks, bf16: Bool, into out: UnsafeMutableRawPointer
    ) {
        let ops = ops
        let words = bf16 ? (w.columns + 1) / 2 : w.columns
        let stride = bf16 ? words : w.columns
        let groups = (w.rows + blocks.width - 1) / blocks.width * (blocks.width / 16)
        let out = unsafe out.assumingMemoryBound(to: UInt32.self)
        forEach(groups) { group, thread in
            let row = group * 16
            let count = max(0, min(16, w.rows - row))
            let values = unsafe scratch.memory(.weights, thread: thread, bytes: 16 * w.columns * 4)
                .assumingMemoryBound(to: Float.self)
            let narrow = unsafe scratch.memory(.operand, thread: thread, bytes: 16 * words * 4)
                .assumingMemoryBound(to: UInt16.self)
            for r in 0..<count {
                let unpacked = unsafe values + (bf16 ? 0 : r * w.columns)
                unsafe dequantise(row + r, of: w, into: unpacked)
                if bf16 {
                    let line = unsafe narrow + 2 * words * r
                    unsafe line[2 * words - 1] = 0
                    unsafe ops.to_bf16(unpacked, line, w.columns)
                }
            }
            let source =
                bf16
                ? unsafe UnsafeRawPointer(narrow).assumingMemoryBound(to: UInt32.self)
                : unsafe UnsafeRawPointer(values).assumingMemoryBound(to: UInt32.self)
            unsafe ops.pack_words(
                source, stride, count, words,
                out + row / blocks.width * blocks.outputStride + row % blocks.width, blocks.width,
                blocks.inputStride)
        }
    }

    /// For layouts that `pack_words` does not know: all rows in plain order first, then oneDNN copies.
    private func reorder(_ w: WeightStack, _ shape: DenseShape, into packed: PackedWeights)
        throws(KernelError)
    {
        let ops = ops
        let size = shape.bf16 ? 2 : 4
        let plain = UnsafeMutableRawPointer.allocate(byteCount: w.rows * w.columns * size, alignment: 64)
        defer { unsafe plain.deallocate() }
        forEach(w.rows) { row, thread in
            let line = unsafe plain + row * w.columns * size
            let values =
                shape.bf16
                ? unsafe scratch.memory(.weights, thread: thread, bytes: w.columns * 4)
                    .assumingMemoryBound(to: Float.self)
                : unsafe line.assumingMemoryBound(to: Float.self)
            unsafe dequantise(row, of: w, into: values)
            if shape.bf16 {
                unsafe ops.to_bf16(values, line.assumingMemoryBound(to: UInt16.self), w.columns)
            }
        }
        omp_set_num_threads(1)
        unsafe try shape.reorder(from: plain, to: packed.base)
    }
}
