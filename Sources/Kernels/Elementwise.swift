// Steps that treat every row by itself: norm, activation, sums, log-likelihood.
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

    /// x += y, both `[rows, n]`.
    public func add(_ x: Matrix, _ y: Matrix) {
        precondition(x.rows == y.rows && x.columns == y.columns, "sum of \(x.rows) and \(y.rows) rows")
        let ops = ops
        forEachRow(x.rows, columns: x.columns) { row in
            unsafe ops.add(x.pointer(row: row), y.pointer(row: row), x.columns)
        }
    }

    /// Adds `bias`, `[n]`, to every row of `x`, `[rows, n]`.
    public func addBias(_ x: Matrix, _ bias: [Float]) {
        precondition(bias.count == x.columns, "bias of \(bias.count) for \(x.columns) columns")
        let ops = ops
        unsafe bias.withUnsafeBufferPointer { bias in
            guard let bias = bias.baseAddress else { return }
            forEachRow(x.rows, columns: x.columns) { row in
                unsafe ops.add(x.pointer(row: row), bias, x.columns)
            }
        }
    }

    /// y = gate / (1 + e^-gate) * up, all `[rows, n]`; `y` may be `gate` or `up`.
    public func swiGLU(gate: Matrix, up: Matrix, into y: Matrix) {
        precondition(
            gate.rows == up.rows && gate.columns == up.columns && y.columns == gate.columns
                && y.rows >= gate.rows,
            "SwiGLU of \(gate.rows) x \(gate.columns) into \(y.rows) x \(y.columns)")
        let ops = ops
        forEachRow(gate.rows, columns: gate.columns) { row in
            unsafe ops.swiglu(gate.pointer(row: row), up.pointer(row: row), y.pointer(row: row), gate.columns)
        }
    }

    /// The same from one matrix `[rows, 2n]` whose columns are gate, then up (phi3), into `y`, `[rows, n]`.
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
