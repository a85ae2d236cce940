// Steps that treat every row by itself: norm, activation, log-likelihood.
internal import CLariatKernels

extension Compute {
    /// The C functions of this engine's instruction set.
    var ops: lariat_ops { unsafe lariat_ops_for(Int32(isa.level)).pointee }

    /// Runs `body(row)` for every row in parallel, several rows to an item so that an item is worth sharing out.
    func forEachRow(_ rows: Int, columns: Int, _ body: (_ row: Int) -> Void) {
        let perItem = max(1, 16384 / max(columns, 1))
        forEach((rows + perItem - 1) / perItem) { item, _ in
            for row in item * perItem..<min(rows, (item + 1) * perItem) { body(row) }
        }
    }

    /// y = x / sqrt(mean(x^2) + epsilon) * weight for each row. `x` and `y` are `[rows, n]`, `weight` is `[n]`; `y`
    /// may be `x`.
    public func rmsNorm(_ x: Matrix, weight: [Float], epsilon: Float, into y: Matrix) {
        precondition(
            weight.count == x.columns && y.columns == x.columns && y.rows >= x.rows,
            "norm of \(x.rows) x \(x.columns) into \(y.rows) x \(y.columns), weight \(weight.count)")
        let ops = ops
        unsafe weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            forEachRow(x.rows, columns: x.columns) { row in
                unsafe ops.rms_norm(x.pointer(row: row), weight, epsilon, y.pointer(row: row), x.columns)
            }
        }
    }

    /// y = gate / (1 + e^-gate) * up, `[rows, n]`, where gate is the left and up the right half of the columns of
    /// `gateUp`, `[rows, 2n]`.
    public func swiGLU(gateUp: Matrix, into y: Matrix) {
        precondition(
            gateUp.columns == 2 * y.columns && y.rows >= gateUp.rows,
            "SwiGLU of \(gateUp.rows) x \(gateUp.columns) into \(y.rows) x \(y.columns)")
        let ops = ops
        forEachRow(gateUp.rows, columns: gateUp.columns) { row in
            let gate = unsafe gateUp.pointer(row: row)
            unsafe ops.swiglu(gate, gate + y.columns, y.pointer(row: row), y.columns)
        }
    }

    /// Negative log-likelihood (natural log) of `targets[i]` under softmax(row i of `logits`), `[rows, vocabulary]`.
    /// Throws for a target outside the vocabulary.
    public func logSoftmaxPick(logits: Matrix, targets: [Int32]) throws(KernelError) -> [Float] {
        precondition(targets.count == logits.rows, "\(targets.count) targets for \(logits.rows) rows")
        if let bad = targets.first(where: { $0 < 0 || Int($0) >= logits.columns }) {
            throw .token(bad, vocabulary: logits.columns)
        }
        let ops = ops
        var result = [Float](repeating: 0, count: targets.count)
        unsafe result.withUnsafeMutableBufferPointer { result in
            guard let out = result.baseAddress else { return }
            forEachRow(logits.rows, columns: logits.columns) { row in
                unsafe out[row] = unsafe ops.nll(logits.pointer(row: row), logits.columns, Int(targets[row]))
            }
        }
        return result
    }
}
