// The operations a family's forward pass is written in, over one chunk of rows at a time.
import Kernels

/// One chunk's way through a layer. Matrices it returns are scratch: they are good until the next `begin`.
///
/// A chunk is small enough that what lies between two products stays in the second-level cache. Products use packed
/// weights while some are held (prefill), and read the quantised file otherwise (decode, 8 rows at most).
final class ForwardStep {
    let compute: Compute
    private let shape: ModelShape
    private let rotation: RotaryLayout
    private let rotaryDimension: Int
    private var cosine: Matrix
    private var sine: Matrix
    private var scratch: [Matrix] = []
    private var taken = 0
    private var packed: [ObjectIdentifier: PackedWeights] = [:]
    /// Storage for packed weights, used again by every layer: the sizes are the same.
    private var slots: [PackedWeights] = []

    init(compute: Compute, shape: ModelShape, rotation: RotaryLayout, rotaryDimension: Int) {
        self.compute = compute
        self.shape = shape
        self.rotation = rotation
        self.rotaryDimension = rotaryDimension
        cosine = Matrix(rows: 1, columns: rotaryDimension / 2)
        sine = cosine
    }

    /// Starts a chunk of rows with these angles (n, rotary dimension / 2), cosine and sine.
    func begin(cosine: Matrix, sine: Matrix) {
        self.cosine = cosine
        self.sine = sine
        begin()
    }

    /// Starts a chunk in which nothing is rotated.
    func begin() { taken = 0 }

    /// Unpacks a layer's weights for the chunks to come.
    func hold(_ linears: [Linear]) throws(ModelError) {
        packed.removeAll(keepingCapacity: true)
        for (slot, linear) in linears.enumerated() {
            let storage: PackedWeights
            do throws(KernelError) {
                storage = try compute.pack(linear.weights, reusing: slot < slots.count ? slots[slot] : nil)
            } catch { throw .kernel(error) }
            if slot < slots.count { slots[slot] = storage } else { slots.append(storage) }
            packed[ObjectIdentifier(linear)] = storage
        }
    }

    /// Forgets the packed weights and frees their memory.
    func release() {
        packed = [:]
        slots = []
    }

    /// x / rms(x) * weight, row by row.
    func rmsNorm(_ x: Matrix, _ weight: [Float]) -> Matrix {
        let y = take(rows: x.rows, columns: x.columns)
        compute.rmsNorm(x, weight: weight, epsilon: shape.normEpsilon, into: y)
        return y
    }

    /// x W^T: (n, inputs) to (n, outputs).
    func linear(_ x: Matrix, _ linear: Linear) throws(ModelError) -> Matrix {
        let y = take(rows: x.rows, columns: linear.weights.rows)
        try multiply(x, linear, into: y, accumulate: false)
        return y
    }

    /// y += x W^T.
    func linear(_ x: Matrix, _ linear: Linear, addingTo y: Matrix) throws(ModelError) {
        try multiply(x, linear, into: y, accumulate: true)
    }

    /// silu(gate) * up, element by element.
    func swiGLU(gate: Matrix, up: Matrix) -> Matrix {
        compute.swiGLU(gate: gate, up: up, into: gate)
        return gate
    }

    /// Rotates every head of x (n, any number of heads * head size) by the chunk's angles, in place.
    func rotate(_ x: Matrix) {
        compute.rotate(
            x, column: 0, heads: x.columns / shape.headDimension, headDimension: shape.headDimension,
            rotaryDimension: rotaryDimension, cos: cosine, sin: sine, layout: rotation)
    }

    private func multiply(_ x: Matrix, _ linear: Linear, into y: Matrix, accumulate: Bool) throws(ModelError)
    {
        if let weights = packed[ObjectIdentifier(linear)] {
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
