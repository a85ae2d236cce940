// Prefill attention: local queries over keys and values that come in ascending position.
internal import CLariatKernels

extension Compute {
    /// Adds a block of keys and values to what `state`'s queries see, and attends whenever as many tiles are packed as
    /// are attended at once. `attendRest` attends what is left.
    ///
    /// Causal: a query at position p sees the keys at positions <= p. Tiles that no query sees cost nothing, whole
    /// tiles no masking. Operands are bf16 when the element is bf16 and the instruction set is `avx512bf16`, else
    /// float32; sums and softmax statistics are float32 always. Does not depend on the number of threads, on how keys
    /// are cut into blocks, or on which queries there are beside one.
    ///
    /// - Parameters:
    ///   - queries: `[n, heads * headDimension]`, rotated, unscaled: those of `state`, in its order.
    ///   - rows: the next tokens, those at positions `state.keys` and on, each
    ///     `[K: kvHeads * headDimension][V: kvHeads * headDimension]`, keys rotated; at any address, alive and unchanged
    ///     until the call returns.
    ///
    /// Sizes that do not fit together are a mistake of the caller and trap: check a block from outside first.
    public func attend(queries: Matrix, over rows: UnsafeRawBufferPointer, into state: AttentionState) {
        let rowBytes = state.shape.kvRowElements * state.element.bytes
        let tileKeys = Int(LARIAT_ATTENTION_TILE_KEYS)
        let count = rows.count / rowBytes
        check(queries, state)
        precondition(rows.count == count * rowBytes, "a block of \(rows.count) bytes in rows of \(rowBytes)")
        precondition(!state.isClosed || count == 0, "more keys after the last tile")
        guard let base = rows.baseAddress, count > 0 else { return }
        let most = Self.tilesAtOnce(shape: state.shape, element: state.element, isa: isa)
        var done = 0
        while done < count {
            let open = state.keys % tileKeys
            if open > 0 || count - done < tileKeys {
                let taken = min(tileKeys - open, count - done)
                unsafe (state.openTile + open * rowBytes).copyMemory(
                    from: base + done * rowBytes, byteCount: taken * rowBytes)
                state.keys += taken
                done += taken
                if open + taken == tileKeys {
                    unsafe pack(state.openTile, keys: tileKeys, at: state.keys - tileKeys, most, state)
                }
            } else {
                let tiles = min((count - done) / tileKeys, most - state.packedTiles)
                unsafe pack(base + done * rowBytes, keys: tiles * tileKeys, at: state.keys, most, state)
                state.keys += tiles * tileKeys
                done += tiles * tileKeys
            }
            if state.packedTiles == most { sweep(queries, state) }
        }
    }

    /// Attends the keys that have come and were not attended yet.
    /// - Parameter last: no more keys come before `begin()`: also those of a tile that is not whole.
    public func attendRest(queries: Matrix, last: Bool, into state: AttentionState) {
        check(queries, state)
        let open = state.keys % Int(LARIAT_ATTENTION_TILE_KEYS)
        if last, !state.isClosed {
            state.isClosed = true
            if open > 0 {
                let most = Self.tilesAtOnce(shape: state.shape, element: state.element, isa: isa)
                unsafe pack(state.openTile, keys: open, at: state.keys - open, most, state)
            }
        }
        sweep(queries, state)
    }

    /// What some of `state`'s queries have seen: normalised output, and the natural logarithm of the sum of exponentials;
    /// (0, -inf) for a query that has seen nothing. Leaves the state as it is; may be called by several threads at once.
    ///
    /// - Parameters:
    ///   - rows: of the queries.
    ///   - output: `[rows, heads * headDimension]`.
    ///   - logSumExp: `[rows, heads]`, if it is wanted.
    public func finish(
        _ rows: Range<Int>, of state: AttentionState, into output: Matrix, logSumExp: Matrix? = nil
    ) {
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= state.queries && output.rows == rows.count
                && output.columns == state.shape.queryRowElements,
            "rows \(rows) of \(state.queries) into \(output.rows) of \(output.columns) columns")
        if let logSumExp {
            precondition(
                logSumExp.rows == rows.count && logSumExp.columns == state.shape.heads,
                "\(logSumExp.rows) rows of \(logSumExp.columns) sums")
        }
        var shape = state.shape.c
        unsafe lariat_attention_finish(
            &shape, state.states, state.queries, rows.lowerBound, rows.count, output.base, logSumExp?.base)
    }

    private func check(_ queries: Matrix, _ state: AttentionState) {
        precondition(
            queries.columns == state.shape.queryRowElements && queries.rows == state.queries,
            "queries of \(queries.rows) rows and \(queries.columns) columns for a state of \(state.queries)")
    }

    /// Packs the tiles of rows at a position that is a multiple of a tile's, those that a query sees.
    private func pack(
        _ rows: UnsafeRawPointer, keys: Int, at position: Int, _ most: Int, _ state: AttentionState
    ) {
        let tileKeys = Int(LARIAT_ATTENTION_TILE_KEYS)
        guard Int64(position) <= state.latest else { return }
        let seen = min(keys, Int(state.latest) + 1 - position)
        let tiles = (seen + tileKeys - 1) / tileKeys
        let (shape, kvHeads) = (state.shape, state.shape.kvHeads)
        let rowBytes = shape.kvRowElements * state.element.bytes
        let tileBytes = lariat_attention_packed_bytes(isa.c, state.element.c, UInt32(shape.headDimension))
        let first = state.packedTiles
        let packed = unsafe state.packed(bytes: kvHeads * most * tileBytes)
        if state.described.count < most {
            state.described.append(
                contentsOf: repeatElement(lariat_key_tile(), count: most - state.described.count))
        }
        for tile in 0..<tiles {
            let start = position + tile * tileKeys
            let positions = (start..<min(start + tileKeys, position + keys)).map(Int64.init)
            unsafe positions.withUnsafeBufferPointer {
                guard let base = $0.baseAddress else { return }
                unsafe lariat_attention_describe(&state.described[first + tile], base, $0.count)
            }
        }
        var cShape = shape.c
        let (isa, element) = (isa.c, state.element.c)
        unsafe withUnsafePointer(to: &cShape) { cShape in
            forEach(kvHeads * tiles) { item, _ in
                let (tile, head) = item.quotientAndRemainder(dividingBy: kvHeads)
                unsafe lariat_attention_pack(
                    isa, element, cShape, rows + tile * tileKeys * rowBytes,
                    min(tileKeys, keys - tile * tileKeys), head,
                    packed + ((first + tile) * kvHeads + head) * tileBytes)
            }
        }
        state.packedTiles += tiles
    }

    /// Attends the packed tiles.
    private func sweep(_ queries: Matrix, _ state: AttentionState) {
        let tiles = state.packedTiles
        state.packedTiles = 0
        guard tiles > 0, state.queries > 0 else { return }
        // Each thread's memory starts on a cache line of its own.
        let scratchBytes =
            (lariat_attention_scratch_bytes(UInt32(state.shape.headDimension)) + 63) / 64 * 64
        let scratch = unsafe state.scratch(bytes: threads * scratchBytes)
        let packed = unsafe state.packed(bytes: 0)
        let (items, kvHeads) = (state.items, state.shape.kvHeads)
        let (isa, element) = (isa.c, state.element.c)
        let states = unsafe state.states
        var cShape = state.shape.c
        unsafe state.described.withUnsafeBufferPointer { described in
            unsafe state.queryPositions.withUnsafeBufferPointer { positions in
                guard let described = described.baseAddress, let positions = positions.baseAddress else {
                    return
                }
                var cQueries = unsafe lariat_attention_queries(
                    query: queries.base, positions: positions, count: queries.rows)
                unsafe withUnsafePointer(to: &cShape) { cShape in
                    unsafe withUnsafePointer(to: &cQueries) { cQueries in
                        // The latest queries have the most to do: first, so that the end is even.
                        forEach(kvHeads * items) { index, thread in
                            let (head, rank) = index.quotientAndRemainder(dividingBy: items)
                            unsafe lariat_attention_attend(
                                isa, element, cShape, described, tiles, packed, cQueries, head,
                                items - 1 - rank, states, scratch + thread * scratchBytes)
                        }
                    }
                }
            }
        }
    }

    /// How many tiles are packed at once: bounds the memory for packed keys and values to about 32 MiB, and to a few
    /// times that for the widest shapes.
    static func tilesAtOnce(shape: AttentionShape, element: KVElement, isa: ISA) -> Int {
        let bytes =
            shape.kvHeads * lariat_attention_packed_bytes(isa.c, element.c, UInt32(shape.headDimension))
        return min(max((32 << 20) / bytes, 1), 4096 / Int(LARIAT_ATTENTION_TILE_KEYS))
    }
}
