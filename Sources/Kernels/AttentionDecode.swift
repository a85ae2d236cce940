// Decode attention: one query over all keys and values of a shard.
internal import CLariatKernels

extension Compute {
    /// Attends one query over rows that lie in pages, all of them visible.
    ///
    /// Bound by the speed of memory. The rows are cut into pieces of fixed size whose partials are merged in order,
    /// so the result does not depend on the number of threads. The query stays float32 whatever the rows are.
    ///
    /// - Parameters:
    ///   - query: `[heads * headDimension]`, rotated, unscaled.
    ///   - pages: whole rows, one for each token, `[K: kvHeads * headDimension][V: kvHeads * headDimension]`. Every page but
    ///     the last has a multiple of 512, so that how rows lie in pages does not show. Without rows the result is
    ///     (0, -inf).
    ///   - output: `[heads * headDimension]`, normalised.
    ///   - logSumExp: `[heads]`, natural logarithm.
    ///
    /// Sizes that do not fit together are a mistake of the caller and trap.
    public func attendOne(
        query: Span<Float>, over pages: [UnsafeRawBufferPointer], element: KVElement,
        shape: AttentionShape, output: inout MutableSpan<Float>, logSumExp: inout MutableSpan<Float>
    ) {
        let width = shape.queryRowElements
        let rowBytes = shape.kvRowElements * element.bytes
        precondition(query.count == width && output.count == width, "a query of \(query.count) elements")
        precondition(logSumExp.count == shape.heads, "room for \(logSumExp.count) sums of \(shape.heads)")
        for index in output.indices { output[index] = 0 }
        for index in logSumExp.indices { logSumExp[index] = -.infinity }
        let pieceKeys = Int(LARIAT_ATTENTION_DECODE_KEYS)
        var pieces: [DecodePiece] = []
        for number in unsafe pages.indices {
            let bytes = unsafe pages[number].count
            let rows = bytes / rowBytes
            precondition(
                bytes == rows * rowBytes
                    && (unsafe number == pages.count - 1 || rows.isMultiple(of: pieceKeys)),
                "a page of \(bytes) bytes in rows of \(rowBytes)")
            for first in stride(from: 0, to: rows, by: pieceKeys) {
                pieces.append(
                    DecodePiece(
                        page: number, offset: first * rowBytes, rows: min(pieceKeys, rows - first)))
            }
        }
        guard !pieces.isEmpty else { return }
        unsafe query.withUnsafeBufferPointer { query in
            unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe logSumExp.withUnsafeMutableBufferPointer { logSumExp in
                    guard let query = query.baseAddress, let output = output.baseAddress,
                        let logSumExp = logSumExp.baseAddress
                    else { return }
                    unsafe decode(
                        query: query, pages: pages, pieces: pieces, element: element, shape: shape,
                        output: output,
                        logSumExp: logSumExp)
                }
            }
        }
    }

    /// Rows that are attended together, of one page.
    private struct DecodePiece {
        let page: Int
        /// Where its first row begins in the page, in bytes.
        let offset: Int
        let rows: Int
    }

    private func decode(
        query: UnsafePointer<Float>, pages: [UnsafeRawBufferPointer], pieces: [DecodePiece],
        element: KVElement, shape: AttentionShape, output: UnsafeMutablePointer<Float>,
        logSumExp: UnsafeMutablePointer<Float>
    ) {
        // Partials are kept for so many pieces at most (524,288 tokens); then the next round begins.
        let round = min(pieces.count, 1024)
        let heads = shape.heads
        let dimension = shape.headDimension
        let width = shape.queryRowElements
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
                for start in stride(from: 0, to: pieces.count, by: round) {
                    let here = min(round, pieces.count - start)
                    forEach(here) { piece, thread in
                        let place = pieces[start + piece]
                        guard let page = unsafe pages[place.page].baseAddress else { return }
                        unsafe lariat_attention_decode(
                            isa, cElement, cShape, page + place.offset, place.rows,
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
