// Linear layers: with unpacked weights for many rows (prefill), straight from quantised weights for few (decode).
internal import CLariatKernels
internal import COneDNN
internal import GGUF
internal import Synchronization

extension Compute {
    /// y = x times `w` transposed, or y += with `accumulate`: `x` is `[m, w.columns]`, `y` is `[m, w.rows]`, both
    /// float32, as are all sums. With bfloat16 operands `x` is rounded inside. A row's result does not depend on m or
    /// on the number of threads.
    public func linear(
        _ x: Matrix, _ w: PackedWeights, into y: Matrix, accumulate: Bool = false
    ) throws(KernelError) {
        precondition(
            x.columns == w.columns && y.columns == w.rows && y.rows >= x.rows,
            "\(x.rows) x \(x.columns) times \(w.rows) x \(w.columns) into \(y.rows) x \(y.columns)")
        switch w.layout {
        case .plain:
            let weights = unsafe w.base.assumingMemoryBound(to: Float.self)
            forEachChunk(x.rows) { rows, _ in
                unsafe lariat_matmul_f32(
                    weights, w.rows, w.columns, x.pointer(row: rows.lowerBound), x.columns, rows.count,
                    y.pointer(row: rows.lowerBound), y.columns, accumulate)
            }
        case .panels(let stride):
            #if arch(x86_64)
                let weights = unsafe w.base.assumingMemoryBound(to: Float.self)
                forEachChunk(x.rows) { rows, _ in
                    unsafe lariat_matmul_panels_avx2(
                        weights, stride, w.rows, w.columns, x.pointer(row: rows.lowerBound), x.columns,
                        rows.count,
                        y.pointer(row: rows.lowerBound), y.columns, accumulate)
                }
            #else
                preconditionFailure("AVX2 weights (stride \(stride)) on another processor")
            #endif
        case .oneDNN(let shape):
            try multiply(x, shape, w, into: y, accumulate: accumulate)
        }
    }

    /// Cuts rows into chunks of at most 64 that share out evenly, and runs `body(rows, thread)` for each.
    private func forEachChunk(_ rows: Int, _ body: (_ rows: Range<Int>, _ thread: Int) -> Void) {
        let threads = pool.width
        let chunk = DenseShape.pieces.first { rows >= 8 * threads * $0 } ?? (rows >= 16 * threads ? 16 : 8)
        let size = threads == 1 ? DenseShape.pieces[0] : max(chunk, 8)
        forEach((rows + size - 1) / size) { item, thread in
            body(item * size..<min(rows, (item + 1) * size), thread)
        }
    }

    private func multiply(
        _ x: Matrix, _ shape: DenseShape, _ w: PackedWeights, into y: Matrix, accumulate: Bool
    ) throws(KernelError) {
        let ops = ops
        omp_set_num_threads(1)
        let failure = Mutex<KernelError?>(nil)
        forEachChunk(x.rows) { rows, thread in
            do throws(KernelError) {
                var operand = unsafe UnsafeMutableRawPointer(x.pointer(row: rows.lowerBound))
                let width = x.columns * (shape.bf16 ? 2 : 4)
                if shape.bf16 {
                    let narrow = unsafe scratch.memory(.operand, thread: thread, bytes: rows.count * width)
                    unsafe ops.to_bf16(
                        x.pointer(row: rows.lowerBound), narrow.assumingMemoryBound(to: UInt16.self),
                        rows.count * x.columns)
                    unsafe operand = unsafe narrow
                }
                var done = 0
                for piece in DenseShape.pieces {
                    while rows.count - done >= piece {
                        unsafe try shape.multiply(
                            m: piece, x: operand + done * width, weights: w.base,
                            y: y.pointer(row: rows.lowerBound + done), accumulate: accumulate, thread: thread,
                            scratch: scratch)
                        done += piece
                    }
                }
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// The same straight from the weights as they lie in the file, for few rows: reads each weight once for every row
    /// of `x`, or for every four of unquantised ones.
    ///
    /// In reference precision, and for unquantised weights, activations stay float32. Else they are rounded, block of
    /// 32 by block, to 15 bits and a sign of the block's greatest: products are then of whole numbers.
    public func linear(_ x: Matrix, _ w: WeightStack, into y: Matrix, accumulate: Bool = false) {
        precondition(
            x.columns == w.columns && y.columns == w.rows && y.rows >= x.rows,
            "\(x.rows) x \(x.columns) times \(w.rows) x \(w.columns) into \(y.rows) x \(y.columns)")
        // Multiples of 16 outputs: threads write whole cache lines of y.
        let stretches = w.stretches(of: max(16, min(256, w.rows / (4 * threads) / 16 * 16)))
        let rounds = precision == .bf16 && w.parts.contains { $0.isQuantised }
        let rounded = rounds ? unsafe rounded(x) : nil
        let bytes = lariat_rounded_bytes(w.columns)
        let ops = ops
        let most = Int(LARIAT_DOT_ROWS)
        forEach(stretches.count) { item, _ in
            let (part, rows, first) = stretches[item]
            unsafe part.withRows { weights in
                let weights = unsafe weights + rows.lowerBound * part.bytesPerRow
                if let rounded = unsafe rounded, part.isQuantised {
                    for m in 0..<x.rows {
                        unsafe ops.dot_rounded(
                            part.type.rawValue, weights, part.bytesPerRow, rows.count, part.columns,
                            rounded + m * bytes, y.pointer(row: m) + first, accumulate)
                    }
                    return
                }
                for m in stride(from: 0, to: x.rows, by: most) {
                    unsafe ops.dot(
                        part.type.rawValue, weights, part.bytesPerRow, rows.count, part.columns,
                        x.pointer(row: m), x.columns, min(most, x.rows - m), y.pointer(row: m) + first,
                        y.columns, accumulate)
                }
            }
        }
    }

    /// Every row of `x` rounded for products of whole numbers. Valid until the calling thread's next call.
    private func rounded(_ x: Matrix) -> UnsafeMutableRawPointer {
        let bytes = lariat_rounded_bytes(x.columns)
        let memory = unsafe scratch.memory(
            .activations, thread: pool.callersThread ?? 0, bytes: x.rows * bytes)
        for row in 0..<x.rows {
            unsafe lariat_round_activations(x.pointer(row: row), x.columns, memory + row * bytes)
        }
        return unsafe memory
    }
}
