// Writing new keys and values into the cache.
internal import CLariatKernels

extension Compute {
    /// Writes keys and values into cache rows, one row for each token: `[K: width][V: width]`, where width is KV heads
    /// times head dimension, as float32 or as bfloat16 rounded to nearest even.
    ///
    /// - Parameters:
    ///   - keys: `[tokens, any]`, width columns from `keyColumn` on.
    ///   - values: `[tokens, any]`, width columns from `valueColumn` on; may be the same matrix.
    ///   - rows: the cache of one layer; a row is `2 * width * element.bytes` bytes.
    ///   - firstRow: the row of the first token.
    public func storeKV(
        keys: Matrix, keyColumn: Int, values: Matrix, valueColumn: Int, width: Int,
        into rows: UnsafeMutableRawBufferPointer, firstRow: Int, element: KVElement
    ) throws(KernelError) {
        precondition(
            keys.rows == values.rows && width > 0 && keyColumn >= 0 && valueColumn >= 0
                && keyColumn + width <= keys.columns && valueColumn + width <= values.columns
                && firstRow >= 0,
            "\(width) columns of keys at \(keyColumn) and values at \(valueColumn), row \(firstRow)")
        let half = width * element.bytes
        let needed = (firstRow + keys.rows) * 2 * half
        guard let base = rows.baseAddress, rows.count >= needed else {
            throw .bufferTooSmall(needed: needed, given: rows.count)
        }
        let ops = ops
        forEachRow(keys.rows, columns: 2 * width) { token in
            let out = unsafe base + (firstRow + token) * 2 * half
            let key = unsafe keys.pointer(row: token) + keyColumn
            let value = unsafe values.pointer(row: token) + valueColumn
            switch element {
            case .f32:
                unsafe out.copyMemory(from: key, byteCount: half)
                unsafe (out + half).copyMemory(from: value, byteCount: half)
            case .bf16:
                unsafe ops.to_bf16(key, out.assumingMemoryBound(to: UInt16.self), width)
                unsafe ops.to_bf16(value, (out + half).assumingMemoryBound(to: UInt16.self), width)
            }
        }
    }
}
