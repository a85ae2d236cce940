// A model at work, layer by layer, whatever sequence its rows belong to.
public import KVCache
public import Kernels
import LongRoPE
import RingAttention
import Synchronization

/// What passes over a model's layers need and no sequence owns: weights, kernels, working memory. One for a process.
///
/// Confined to one thread at a time, which takes part in computing; that is why it may cross threads unchecked.
public final class LayerEngine: @unchecked Sendable {
    public let model: Model
    public let compute: Compute
    /// Kept from run to run.
    public let weights: UnpackedWeights
    /// The form of a token's keys and values.
    public let kvShape: KVShape
    let attention: AttentionShape
    /// For single tokens and the output head.
    let step: ForwardStep
    /// One for each compute thread.
    private let steps: [ForwardStep]

    /// Most rows that go through a layer's products together.
    static let chunkRows = 64

    /// - Throws: `.kernel` where the model's sizes do not suit the kernels.
    public init(model: Model, compute: Compute) throws(ModelError) {
        self.model = model
        self.compute = compute
        weights = try UnpackedWeights(model: model, compute: compute)
        let shape = model.shape
        do throws(KernelError) {
            attention = try AttentionShape(
                heads: shape.heads, kvHeads: shape.kvHeads, headDimension: shape.headDimension,
                scale: 1 / Float(shape.headDimension).squareRoot())
        } catch { throw .kernel(error) }
        kvShape = KVShape(
            layers: shape.layers, rowElements: shape.kvRowElements, element: compute.kvElement)
        func newStep() -> ForwardStep {
            ForwardStep(
                compute: compute, shape: shape, rotation: model.family.rotation,
                rotaryDimension: model.scaling.rotaryDimension)
        }
        step = newStep()
        steps = (0..<compute.threads).map { _ in newStep() }
    }

    /// Cuts `count` rows in chunks and runs `body` for each, on any thread, with that thread's step. The first error is
    /// thrown when all have ended.
    func eachChunk(
        of count: Int, _ body: (Range<Int>, ForwardStep) throws(ModelError) -> Void
    ) throws(ModelError) {
        // Few rows are cut smaller, so that every thread gets a part.
        let even = (count / compute.threads + 15) / 16 * 16
        let chunks = Self.chunks(of: count, min(Self.chunkRows, max(16, even)))
        let failure = Mutex<ModelError?>(nil)
        compute.forEach(chunks.count) { item, thread in
            do throws(ModelError) {
                try body(chunks[item], steps[thread])
            } catch {
                failure.withLock { $0 = $0 ?? error }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    static func chunks(of count: Int, _ size: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
    }

    /// Rows of the embedding.
    func embed(_ tokens: [Int32], into x: Matrix) throws(ModelError) {
        do throws(KernelError) {
            try compute.embed(model.embedding, tokens: tokens, into: x)
        } catch { throw .kernel(error) }
    }

    /// Final norm and output head: (n, hidden) to (n, vocabulary). Scratch, as the step's results are.
    func head(_ x: Matrix, _ unpacked: UnpackedWeights.Layer = [:]) throws(ModelError) -> Matrix {
        step.begin(unpacked)
        return try step.linear(step.rmsNorm(x, model.outputNorm), model.head)
    }

    /// Writes keys and values into a layer's rows from `firstRow` on.
    /// - Parameter key: the column where keys begin, values behind them; nil: as among attention inputs, behind queries.
    func store(
        _ inputs: Matrix, keyColumn key: Int? = nil, layer: Int, firstRow: Int, into sequence: KVSequence
    ) throws(ModelError) {
        let width = model.shape.kvHeads * model.shape.headDimension
        let key = key ?? attention.queryRowElements
        try sequence.withRows(firstRow..<firstRow + inputs.rows, layer: layer) {
            first, memory throws(ModelError) in
            let start = first - firstRow
            let rows = inputs.rows(start..<start + memory.count / sequence.shape.rowBytes)
            do throws(KernelError) {
                try compute.storeKV(
                    keys: rows, keyColumn: key, values: rows, valueColumn: key + width, width: width,
                    into: memory, firstRow: 0, element: kvShape.element)
            } catch { throw .kernel(error) }
        }
    }
}

extension Compute {
    /// How keys and values are kept: as bfloat16, or as fp32 in the reference mode.
    public var kvElement: KVElement { precision == .bf16 ? .bf16 : .f32 }
}
