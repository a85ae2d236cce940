// The operations a family's forward pass is written in, over one chunk of rows at a time.
import Kernels

/// One chunk's way through a layer. Matrices it returns are scratch: they are good until the next `begin`.
///
/// In prefill every compute thread has a step of its own and takes its chunks through all operations between two
/// attentions: what lies between them stays in that core's second-level cache. Products use unpacked weights where
/// they are given, and read the quantised file otherwise (decode, 8 rows at most), then with all threads.
final class ForwardStep {
    let compute: Compute
    private let shape: ModelShape
    private let rotation: RotaryLayout
    private let rotaryDimension: Int
    private var cosine: Matrix
    private var sine: Matrix
    private var unpacked: UnpackedWeights.Layer = [:]
    private var scratch: [Matrix] = []
    private var taken = 0

    init(compute: Compute, shape: ModelShape, rotation: RotaryLayout, rotaryDimension: Int) {
        self.compute = compute
        self.shape = shape
        self.rotation = rotation
        self.rotaryDimension = rotaryDimension
        cosine = Matrix(rows: 1, columns: rotaryDimension / 2)
        sine = cosine
    }

    /// Starts a chunk of rows with these angles (n, rotary dimension / 2), cosine and sine.
    func begin(_ unpacked: UnpackedWeights.Layer = [:], cosine: Matrix, sine: Matrix) {
        self.cosine = cosine
        self.sine = sine
        begin(unpacked)
    }

    /// Starts a chunk in which nothing is rotated.
    func begin(_ unpacked: UnpackedWeights.Layer = [:]) {
        self.unpacked = unpacked
        taken = 0
    }

    /// What these of `state`'s queries have attended, (n, heads * head size).
    func attended(_ rows: Range<Int>, of state: AttentionState) -> Matrix {
        let y = take(rows: rows.count, columns: state.shape.queryRowElements)
        compute.finish(rows, of: state, into: y)
        return y
    }

    /// x / rms(x) * weight, row by row.
    func rmsNorm(_ x: Matrix, _ weight: [Float]) -> Matrix {
        let y = take(rows: x.rows, columns: x.columns)
        compute.rmsNorm(x, weight: weight, epsilon: shape.normEpsilon, into: y)
        return y
    }

    /// x W^T + bias: (n, inputs) to (n, outputs).
    func linear(_ x: Matrix, _ linear: Linear) throws(ModelError) -> Matrix {
        let y = take(rows: x.rows, columns: linear.weights.rows)
        if let bias = linear.bias { each(bias, ofRowsOf: y) { $1 } }
        try multiply(x, linear, into: y, accumulate: linear.bias != nil)
        return y
    }

    /// y += x W^T + bias.
    func linear(_ x: Matrix, _ linear: Linear, addingTo y: Matrix) throws(ModelError) {
        if let bias = linear.bias { each(bias, ofRowsOf: y) { $0 + $1 } }
        try multiply(x, linear, into: y, accumulate: true)
    }

    /// Makes of each element of y, with the one of `bias` that belongs to its column, another.
    private func each(_ bias: [Float], ofRowsOf y: Matrix, _ combine: (Float, Float) -> Float) {
        precondition(bias.count == y.columns, "a bias of \(bias.count) for \(y.columns) columns")
        y.withMutableSpan { values in
            for row in 0..<y.rows {
                for column in bias.indices {
                    let at = row * bias.count + column
                    values[at] = combine(values[at], bias[column])
                }
            }
        }
    }

    /// silu(gate) * up, element by element; gate and up are the left and the right half of `x`.
    func swiGLU(gateUp x: Matrix) -> Matrix {
        let y = take(rows: x.rows, columns: x.columns / 2)
        compute.swiGLU(gateUp: x, into: y)
        return y
    }

    /// Rotates the heads of queries and keys, the first columns of x, by the chunk's angles, in place.
    func rotateQueriesAndKeys(_ x: Matrix) {
        compute.rotate(
            x, column: 0, heads: shape.heads + shape.kvHeads, headDimension: shape.headDimension,
            rotaryDimension: rotaryDimension, cos: cosine, sin: sine, layout: rotation)
    }

    private func multiply(_ x: Matrix, _ linear: Linear, into y: Matrix, accumulate: Bool) throws(ModelError)
    {
        if let weights = unpacked[ObjectIdentifier(linear)] {
            do throws(KernelError) {
                try compute.linear(x, weights, into: y, accumulate: accumulate)
            } catch { throw .kernel(error) }
        } else {
            compute.linear(x, linear.weights, into: y, accumulate: accumulate)
        }
    }

    private func take(rows: Int, columns: Int) -> Matrix {
        defer { taken += 1 }
        if taken < scratch.count, scratch[taken].columns == columns, scratch[taken].capacity >= rows {
            scratch[taken].reshape(rows: rows)
            return scratch[taken]
        }
        let matrix = Matrix(rows: rows, columns: columns)
        if taken < scratch.count { scratch[taken] = matrix } else { scratch.append(matrix) }
        return matrix
    }
}
