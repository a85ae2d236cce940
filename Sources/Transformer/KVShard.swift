// The keys and values that one worker holds of one sequence.
public import Kernels
import RingAttention

/// Keys and values of this worker's tokens, layer by layer. A row is one token: its keys, then its values, so that
/// a run of tokens is one piece of memory that can travel as it lies.
///
/// Written by the engine's thread only, row ranges that no other thread reads yet; a payload of rows that are written
/// may be read by the ring's sender at the same time. That is why it may cross threads unchecked.
final class KVShard: @unchecked Sendable {
    let element: KVElement
    let rowBytes: Int
    let capacity: Int
    private let layers: [UnsafeMutableRawBufferPointer]

    /// Room for `capacity` tokens. The memory is touched when rows are written, not here.
    init(shape: ModelShape, element: KVElement, capacity: Int) throws(ModelError) {
        self.element = element
        self.capacity = capacity
        rowBytes = shape.kvRowElements * element.bytes
        let (bytes, overflow) = rowBytes.multipliedReportingOverflow(by: max(capacity, 1))
        var layers: [UnsafeMutableRawBufferPointer] = []
        for _ in 0..<shape.layers {
            guard !overflow, let memory = TensorMemory.allocate(bytes: bytes) else {
                layers.forEach { TensorMemory.release($0.baseAddress) }
                throw .memory(
                    "no memory for the keys and values of \(capacity) tokens (\(rowBytes) bytes a token, in each of \(shape.layers) layers); give the job to more workers or shorten it"
                )
            }
            layers.append(memory)
        }
        self.layers = layers
    }

    deinit { layers.forEach { TensorMemory.release($0.baseAddress) } }

    /// All rows of a layer, written or not.
    func rows(layer: Int) -> UnsafeMutableRawBufferPointer { layers[layer] }

    /// Some rows of a layer, to be sent. They must be written and stay as they are until then.
    func payload(layer: Int, rows: Range<Int>) -> any RingPayload {
        KVPayload(shard: self, layer: layer, bytes: rows.lowerBound * rowBytes..<rows.upperBound * rowBytes)
    }
}

/// Rows of a shard as they lie in memory.
private struct KVPayload: RingPayload {
    let shard: KVShard
    let layer: Int
    let bytes: Range<Int>

    var count: Int { bytes.count }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(rebasing: shard.rows(layer: layer)[bytes]))
    }
}

/// Numbers on their way to a peer: queries, new keys and values, partials.
struct FloatPayload: RingPayload {
    let values: [Float]

    var count: Int { values.count * MemoryLayout<Float>.stride }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try values.withUnsafeBytes(body)
    }
}

extension Compute {
    /// How keys and values are kept: as bfloat16, or as fp32 in the reference mode.
    public var kvElement: KVElement { precision == .bf16 ? .bf16 : .f32 }
}
