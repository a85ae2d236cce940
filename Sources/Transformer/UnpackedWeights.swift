// Layers unpacked for dense products: kept while memory allows, else one at a time.
public import Kernels
import Synchronization

/// A model's layers, unpacked from their quantised types to the operands of prefill's products.
///
/// Unpacking a layer costs as much as a few dozen tokens. Where all layers fit beside what the job needs anyway, they
/// are unpacked once and serve every later job; otherwise each layer overwrites the one before it.
public final class UnpackedWeights: Sendable {
    /// A layer's products.
    typealias Layer = [ObjectIdentifier: PackedWeights]

    private struct State {
        var kept: [Layer?]
        /// Storage that every layer uses again: the sizes are the same.
        var shared: [PackedWeights] = []
    }

    private let model: Model
    private let compute: Compute
    private let state: Mutex<State>
    /// Bytes of all layers, unpacked.
    public let bytes: Int

    public init(model: Model, compute: Compute) throws(ModelError) {
        self.model = model
        self.compute = compute
        state = Mutex(State(kept: Array(repeating: nil, count: model.shape.layers)))
        var bytes = 0
        do throws(KernelError) {
            for layer in 0..<model.shape.layers {
                for linear in model.family.linears(ofLayer: layer) {
                    bytes += try compute.packedBytes(
                        rows: linear.weights.rows, columns: linear.weights.columns)
                }
            }
        } catch { throw .kernel(error) }
        self.bytes = bytes
    }

    /// A layer's products, good until the next call unless `keeping`.
    func layer(_ index: Int, keeping: Bool) throws(ModelError) -> Layer {
        let linears = model.family.linears(ofLayer: index)
        return try state.withLock { state throws(ModelError) -> Layer in
            if keeping, let known = state.kept[index] { return known }
            var layer: Layer = [:]
            for (place, linear) in linears.enumerated() {
                let storage = keeping || place >= state.shared.count ? nil : state.shared[place]
                let packed: PackedWeights
                do throws(KernelError) {
                    packed = try compute.pack(linear.weights, reusing: storage)
                } catch { throw .kernel(error) }
                layer[ObjectIdentifier(linear)] = packed
                if keeping { continue }
                if place < state.shared.count {
                    state.shared[place] = packed
                } else {
                    state.shared.append(packed)
                }
            }
            if keeping { state.kept[index] = layer }
            return layer
        }
    }

    /// Frees what is not kept for later jobs; with `all`, that too.
    func release(all: Bool) {
        state.withLock { state in
            state.shared = []
            if all { state.kept = Array(repeating: nil, count: state.kept.count) }
        }
    }
}
