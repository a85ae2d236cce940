// A page: the keys and values of a run of rows in every layer, the unit in which sequences share memory.
public import Kernels
import Synchronization

/// The form of a token's keys and values, the same in every layer.
public struct KVShape: Sendable, Equatable {
    public let layers: Int
    public let element: KVElement
    /// Bytes of one token in one layer: its keys, then its values.
    public let rowBytes: Int

    /// - Parameter rowElements: of one token in one layer, keys and values together.
    public init(layers: Int, rowElements: Int, element: KVElement) {
        self.layers = layers
        self.element = element
        rowBytes = rowElements * element.bytes
    }

    /// Bytes of one token in all layers.
    public var tokenBytes: Int { layers * rowBytes }
}

/// Memory for up to 1,024 rows in every layer, `[layers][rows][rowBytes]`. A row is a token of this rank, in ascending
/// position.
///
/// Several sequences may hold a page. A row is written once, by the sequence that made the page, before any other
/// knows of it, and never again; that is why a page may cross threads unchecked.
final class KVPage: @unchecked Sendable {
    /// Rows of a page that is not the last of its sequence: a multiple of what decode attends together, and of every
    /// stripe that `LayoutPlan` chooses.
    static let fullRows = 1024

    let rows: Int
    let bytes: Int
    /// Where its first rows are on disk, as far as they are and have not been deleted since.
    let copy = Mutex<PageCopy?>(nil)
    private let shape: KVShape
    private let budget: KVMemory
    private let memory: UnsafeMutableRawBufferPointer

    /// The memory is touched when rows are written, not here.
    init(rows: Int, shape: KVShape, budget: KVMemory) throws(KVError) {
        let (bytes, overflow) = rows.multipliedReportingOverflow(by: shape.tokenBytes)
        guard !overflow else { throw .system(needed: .max) }
        try budget.take(bytes)
        guard let memory = TensorMemory.allocateRows(bytes: bytes) else {
            budget.give(bytes)
            throw .system(needed: bytes)
        }
        self.rows = rows
        self.bytes = bytes
        self.shape = shape
        self.budget = budget
        self.memory = memory
    }

    deinit {
        TensorMemory.release(memory.baseAddress)
        budget.give(bytes)
    }

    /// All rows of all layers, for the one who fills them before anybody else knows of the page.
    var whole: UnsafeMutableRawBufferPointer { memory }

    /// Rows of a layer, written or not.
    func memory(layer: Int, rows range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        let start = (layer * rows + range.lowerBound) * shape.rowBytes
        return UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + range.count * shape.rowBytes])
    }

    /// Takes the first rows of another page over, in all layers.
    func copy(rows count: Int, of other: KVPage) {
        for layer in 0..<shape.layers {
            memory(layer: layer, rows: 0..<count).copyMemory(
                from: UnsafeRawBufferPointer(other.memory(layer: layer, rows: 0..<count)))
        }
    }
}
