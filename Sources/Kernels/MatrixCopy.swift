// Copies into matrices.

extension Matrix {
    /// Takes over the values of another matrix of the same shape.
    public func copy(from other: Matrix) {
        precondition(
            rows == other.rows && columns == other.columns, "copy of \(other.rows) x \(other.columns)")
        unsafe base.update(from: other.base, count: rows * columns)
    }

    /// Takes over the first `columns` columns of a matrix with as many rows.
    public func copy(leadingColumnsOf other: Matrix) {
        precondition(
            rows == other.rows && columns <= other.columns, "copy of \(other.rows) x \(other.columns)")
        for row in 0..<rows { unsafe pointer(row: row).update(from: other.pointer(row: row), count: columns) }
    }

    /// Takes over `rows * columns` values, row by row.
    public func copy(from values: [Float]) {
        precondition(values.count == rows * columns, "\(values.count) values for \(rows) x \(columns)")
        unsafe values.withUnsafeBufferPointer { source in
            guard let first = source.baseAddress else { return }
            unsafe base.update(from: first, count: source.count)
        }
    }
}
