// Prefill attention: local queries over one block of keys and values, merged into their running result.
internal import CLariatKernels

extension Compute {
    /// Attends all of `state`'s queries over a block and merges what comes out into `state`.
    ///
    /// Causal: a query at position p sees the keys at positions <= p. Tiles that no query sees cost nothing, whole
    /// tiles no masking. Operands are bf16 when `element` is bf16 and the instruction set is `avx512bf16`, else
    /// float32; sums, softmax statistics and merging are float32 always. Does not depend on the number of threads.
    ///
    /// - Parameters:
    ///   - queries: `[n, heads * headDimension]`, rotated, unscaled.
    ///   - queryRuns: the positions of the n queries as runs, in buffer order; any number of runs, none empty of
    ///     meaning: an empty run adds no query.
    ///   - rows: k tokens, each `[K: kvHeads * headDimension][V: kvHeads * headDimension]`, keys rotated; at any
    ///     address, alive and unchanged until the call returns.
    ///   - keyRuns: the positions of the k tokens as runs, in buffer order.
    ///   - element: the format of `rows`.
    ///   - state: made or reset for n queries and the same shape.
    ///
    /// Sizes that do not fit together are a mistake of the caller and trap: check a block from outside first.
    public func attend(
        queries: Matrix, at queryRuns: [Range<Int>], over rows: UnsafeRawBufferPointer,
        at keyRuns: [Range<Int>], element: KVElement, shape: AttentionShape, into state: AttentionState
    ) {
        let keys = keyRuns.reduce(0) { $0 + $1.count }
        let rowBytes = shape.kvRowElements * element.bytes
        precondition(shape == state.shape, "attention state of another shape")
        precondition(queries.columns == shape.queryRowElements, "queries have \(queries.columns) columns")
        precondition(
            queries.rows == state.output.rows && queries.rows == queryRuns.reduce(0) { $0 + $1.count },
            "\(queries.rows) queries, \(state.output.rows) results, runs \(queryRuns)")
        precondition(
            rows.count == keys * rowBytes, "a block of \(rows.count) bytes for \(keys) tokens")
        guard let base = rows.baseAddress, keys > 0, queries.rows > 0,
            let latest = queryRuns.lazy.filter({ !$0.isEmpty }).map({ $0.upperBound - 1 }).max()
        else { return }

        let scratch = state.scratch
        if scratch.queryRuns != queryRuns {
            scratch.queryRuns = queryRuns
            scratch.queryPositions.removeAll(keepingCapacity: true)
            for run in queryRuns { scratch.queryPositions.append(contentsOf: run.lazy.map(Int64.init)) }
        }
        let step = Self.keysAtOnce(shape: shape, element: element, isa: isa)
        var first = 0
        var positions = RunCursor(keyRuns)
        while first < keys {
            let count = min(step, keys - first)
            positions.take(count, into: &scratch.keyPositions)
            let part = unsafe UnsafeRawBufferPointer(start: base + first * rowBytes, count: count * rowBytes)
            unsafe attendPart(
                queries: queries, latest: Int64(latest), over: part, element: element, shape: shape,
                into: state)
            first += count
        }
    }

    /// Attends over keys that are few enough to be packed at once. Their positions are in the scratch.
    private func attendPart(
        queries: Matrix, latest: Int64, over rows: UnsafeRawBufferPointer, element: KVElement,
        shape: AttentionShape, into state: AttentionState
    ) {
        guard let base = rows.baseAddress else { return }
        let scratch = state.scratch
        let keys = scratch.keyPositions.count
        let tileKeys = Int(LARIAT_ATTENTION_TILE_KEYS)
        let tileCount = (keys + tileKeys - 1) / tileKeys
        let rowBytes = shape.kvRowElements * element.bytes
        let packedBytes = lariat_attention_packed_bytes(isa.c, element.c, UInt32(shape.headDimension))
        // Each thread's tile starts on a cache line of its own.
        let tileBytes = (lariat_attention_scratch_bytes(UInt32(shape.headDimension)) + 63) / 64 * 64
        let packed = unsafe scratch.packed(bytes: shape.kvHeads * tileCount * packedBytes)
        let tiles = unsafe scratch.tiles(bytes: threads * tileBytes)
        if scratch.described.count < tileCount {
            scratch.described.append(
                contentsOf: repeatElement(lariat_key_tile(), count: tileCount - scratch.described.count))
        }
        var cShape = shape.c
        let isa = isa.c
        let element = element.c

        unsafe scratch.described.withUnsafeMutableBufferPointer { described in
            unsafe scratch.keyPositions.withUnsafeBufferPointer { positions in
                guard let described = described.baseAddress,
                    let positions = positions.baseAddress
                else { return }
                for tile in 0..<tileCount {
                    unsafe lariat_attention_describe(
                        described + tile, positions + tile * tileKeys, min(tileKeys, keys - tile * tileKeys))
                }
                guard (0..<tileCount).contains(where: { unsafe described[$0].lowest <= latest }) else {
                    return
                }
                unsafe withUnsafePointer(to: &cShape) { cShape in
                    forEach(shape.kvHeads * tileCount) { item, _ in
                        let (head, tile) = item.quotientAndRemainder(dividingBy: tileCount)
                        guard unsafe described[tile].lowest <= latest else { return }
                        unsafe lariat_attention_pack(
                            isa, element, cShape, base + tile * tileKeys * rowBytes,
                            min(tileKeys, keys - tile * tileKeys), head, packed + item * packedBytes)
                    }
                    unsafe scratch.queryPositions.withUnsafeBufferPointer { at in
                        guard let at = at.baseAddress else { return }
                        var cQueries = unsafe lariat_attention_queries(
                            query: queries.base, positions: at, count: queries.rows,
                            output: state.output.base, log_sum_exp: state.logSumExp.base)
                        let items = unsafe lariat_attention_items(cShape, queries.rows)
                        unsafe withUnsafePointer(to: &cQueries) { cQueries in
                            // The latest queries have the most to do: first, so that the end is even.
                            forEach(shape.kvHeads * items) { index, thread in
                                let (head, rank) = index.quotientAndRemainder(dividingBy: items)
                                unsafe lariat_attention_attend(
                                    isa, element, cShape, described, tileCount, packed, cQueries, head,
                                    items - 1 - rank, tiles + thread * tileBytes)
                            }
                        }
                    }
                }
            }
        }
    }

    /// How many keys are packed at once: bounds the memory for packed keys and values to about 32 MiB, and to a few
    /// times that for the widest shapes.
    static func keysAtOnce(shape: AttentionShape, element: KVElement, isa: ISA) -> Int {
        let tile = Int(LARIAT_ATTENTION_TILE_KEYS)
        let bytes =
            shape.kvHeads * lariat_attention_packed_bytes(isa.c, element.c, UInt32(shape.headDimension))
        return tile * min(max((32 << 20) / bytes, 1), 4096 / tile)
    }
}

/// Walks along runs of positions.
private struct RunCursor {
    private let runs: [Range<Int>]
    private var run = 0
    private var offset = 0

    init(_ runs: [Range<Int>]) { self.runs = runs }

    /// Replaces `positions` by the next `count` positions.
    mutating func take(_ count: Int, into positions: inout [Int64]) {
        positions.removeAll(keepingCapacity: true)
        while positions.count < count, run < runs.count {
            let start = runs[run].lowerBound + offset
            let length = min(count - positions.count, runs[run].upperBound - start)
            positions.append(contentsOf: (start..<start + length).lazy.map(Int64.init))
            offset += length
            if start + length == runs[run].upperBound {
                run += 1
                offset = 0
            }
        }
    }
}
