// Rotary position embedding applied to queries and keys.
internal import CLariatKernels

/// Which elements of a head form the pairs that are rotated.
public enum RotaryLayout: String, Sendable, CaseIterable {
    /// (2i, 2i + 1): the llama architecture in GGUF files ("NORM").
    case adjacentPairs
    /// (i, i + rotary / 2): phi3 and most others ("NEOX").
    case halfSplit
}

extension Compute {
    /// Rotates heads in place: with a pair (a, b) and its angle, a' = a cos - b sin and b' = a sin + b cos.
    ///
    /// - Parameters:
    ///   - x: `[rows, any]`; the heads are columns `column..<column + heads * headDimension`.
    ///   - rotaryDimension: even; only the first so many elements of each head rotate.
    ///   - cos: and `sin`: `[rows, rotaryDimension / 2]`, the attention factor already in them.
    public func rotate(
        _ x: Matrix, column: Int, heads: Int, headDimension: Int, rotaryDimension: Int, cos: Matrix,
        sin: Matrix,
        layout: RotaryLayout
    ) {
        precondition(
            column >= 0 && heads >= 0 && column + heads * headDimension <= x.columns,
            "\(heads) heads of \(headDimension) from column \(column) of \(x.columns)")
        precondition(
            rotaryDimension % 2 == 0 && rotaryDimension >= 2 && rotaryDimension <= headDimension
                && cos.columns == rotaryDimension / 2 && sin.columns == rotaryDimension / 2
                && cos.rows >= x.rows && sin.rows >= x.rows,
            "angles \(cos.rows) x \(cos.columns) for \(x.rows) rows and \(rotaryDimension) rotated elements")
        let ops = ops
        forEachRow(x.rows, columns: heads * headDimension) { row in
            unsafe ops.rotate(
                x.pointer(row: row) + column, heads, headDimension, rotaryDimension, cos.pointer(row: row),
                sin.pointer(row: row), layout == .adjacentPairs)
        }
    }
}
