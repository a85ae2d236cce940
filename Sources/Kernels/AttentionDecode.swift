// Decode attention: one query over all keys and values of a shard.
internal import CLariatKernels

extension Compute {
    /// Attends one query over `count` rows, all of them visible.
    ///
    /// Bound by the speed of memory. The rows are cut into pieces of fixed size whose partials are merged in order,
    /// so the result does not depend on the number of threads. The query stays float32 whatever the rows are.
    ///
    /// - Parameters:
    ///   - query: `[heads * headDimension]`, rotated, unscaled.
    ///   - rows: at least `count` tokens, each `[K: kvHeads * headDimension][V: kvHeads * headDimension]`.
    ///   - count: tokens; with 0 the result is (0, -inf).
    ///   - output: `[heads * headDimension]`, normalised.
    ///   - logSumExp: `[heads]`, natural logarithm.
    ///
    /// Sizes that do not fit together are a mistake of the caller and trap.
    public func attendOne(
        query: Span<Float>, over rows: UnsafeRawBufferPointer, count: Int, element: KVElement,
        shape: AttentionShape, output: inout MutableSpan<Float>, logSumExp: inout MutableSpan<Float>
    ) {
        let width = shape.queryRowElements
        let rowBytes = shape.kvRowElements * element.bytes
        precondition(query.count == width && output.count == width, "a query of \(query.count) elements")
        precondition(logSumExp.count == shape.heads, "room for \(logSumExp.count) sums of \(shape.heads)")
        precondition(
            count >= 0 && count <= rows.count / rowBytes, "\(count) tokens in \(rows.count) bytes")
        for index in output.indices { output[index] = 0 }
        for index in logSumExp.indices { logSumExp[index] = -.infinity }
        guard count > 0 else { return }
        unsafe query.withUnsafeBufferPointer { query in
            unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe logSumExp.withUnsafeMutableBufferPointer { logSumExp in
                    guard let query = query.baseAddress, let rows = rows.baseAddress,
                        let output = output.baseAddress, let logSumExp = logSumExp.baseAddress
                    else { return }
                    unsafe decode(
                        query: query, rows: rows, count: count, element: element, shape: shape,
                        output: output,
                        logSumExp: logSumExp)
                }
            }
        }
    }

    private func decode(
        query: UnsafePointer<Float>, rows: UnsafeRawPointer, count: Int, element: KVElement,
        shape: AttentionShape, output: UnsafeMutablePointer<Float>, logSumExp: UnsafeMutablePointer<Float>
    ) {
        let pieceKeys = Int(LARIAT_ATTENTION_DECODE_KEYS)
        let pieces = (count + pieceKeys - 1) / pieceKeys
        // Partials are kept for so many pieces at most (524,288 tokens); then the next round begins.
        let round = min(pieces, 1024)
        let heads = shape.heads
        let dimension = shape.headDimension
        let width = shape.queryRowElements
        let rowBytes = shape.kvRowElements * element.bytes
        let isa = isa.c
        let cElement = element.c
        var cShape = shape.c
        let scratchFloats = unsafe lariat_attention_decode_scratch(&cShape)
        unsafe withUnsafeTemporaryAllocation(
            byteCount: (threads * scratchFloats + round * (width + heads)) * MemoryLayout<Float>.stride,
            alignment: 64
        ) { memory in
            guard let scratch = unsafe memory.bindMemory(to: Float.self).baseAddress else { return }
            let outputs = unsafe scratch + threads * scratchFloats
            let sums = unsafe outputs + round * width
            unsafe withUnsafePointer(to: &cShape) { cShape in
                for start in stride(from: 0, to: pieces, by: round) {
                    let here = min(round, pieces - start)
                    forEach(here) { piece, thread in
                        let first = (start + piece) * pieceKeys
                        unsafe lariat_attention_decode(
                            isa, cElement, cShape, rows + first * rowBytes, min(pieceKeys, count - first),
                            query, outputs + piece * width, sums + piece * heads,
                            scratch + thread * scratchFloats)
                    }
                    let mergeHead = { (head: Int) in
                        for piece in 0..<here {
                            unsafe lariat_attention_merge(
                                output + head * dimension, logSumExp + head,
                                outputs + piece * width + head * dimension, sums + piece * heads + head, 1,
                                dimension)
                        }
                    }
                    // A few pieces are merged sooner than threads are woken.
                    if here * width > 1 << 15 {
                        forEach(heads) { head, _ in mergeHead(head) }
                    } else {
                        for head in 0..<heads { mergeHead(head) }
                    }
                }
            }
        }
    }
}
