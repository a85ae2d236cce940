// Weights as they lie in a model file: quantised, memory mapped, unpacked when used.
internal import CLariatKernels
public import GGUF

/// A matrix of weights in a mapped file, `[rows, columns]` = `[outputs, inputs]`. A copy is cheap.
public struct WeightMatrix: Sendable {
    /// Outputs.
    public let rows: Int
    /// Inputs.
    public let columns: Int
    public var type: GGUFTensorType { tensor.type }
    public var name: String { tensor.name }
    /// Whether elements are whole numbers with a scale for each block.
    var isQuantised: Bool { type.elementsPerBlock > 1 }
    private let tensor: GGUFTensor

    /// All rows of a tensor. Throws when its type has no kernel or it has no elements.
    public init(_ tensor: GGUFTensor) throws(KernelError) {
        var elements = 0
        var bytes = 0
        guard unsafe lariat_weight_block(tensor.type.rawValue, &elements, &bytes) else {
            throw .unsupportedType(tensor: tensor.name, type: tensor.type.rawValue)
        }
        guard tensor.rows > 0, tensor.columns > 0, tensor.columns % elements == 0 else {
            throw .shape(
                "tensor \(tensor.name) of \(tensor.rows) x \(tensor.columns) is not a matrix of whole blocks")
        }
        self.tensor = tensor
        rows = tensor.rows
        columns = tensor.columns
    }

    /// The size of one row in bytes.
    public var bytesPerRow: Int { tensor.bytesPerRow }

    /// The first byte of the first row, valid within `body`.
    func withRows<Failure: Error>(_ body: (UnsafePointer<UInt8>) throws(Failure) -> Void) throws(Failure) {
        try unsafe tensor.withUnsafeBytes { bytes throws(Failure) in
            guard let base = bytes.baseAddress, bytes.count >= rows * bytesPerRow else { return }
            try unsafe body(base.assumingMemoryBound(to: UInt8.self))
        }
    }
}

/// Matrices of weights with the same inputs, one under the other: what one product computes together (query, key and
/// value; gate and up), `[rows, columns]` = `[all outputs, inputs]`. Parts may differ in type.
public struct WeightStack: Sendable {
    let parts: [WeightMatrix]
    /// Outputs of all parts.
    public let rows: Int
    /// Inputs.
    public let columns: Int

    /// - Parameter parts: at least one; all with the same number of columns.
    public init(_ parts: [WeightMatrix]) throws(KernelError) {
        guard let first = parts.first, parts.allSatisfy({ $0.columns == first.columns }) else {
            throw .shape("weights with \(parts.map(\.columns)) inputs cannot be computed together")
        }
        self.parts = parts
        rows = parts.reduce(0) { $0 + $1.rows }
        columns = first.columns
    }

    /// A single matrix.
    public init(_ matrix: WeightMatrix) {
        parts = [matrix]
        rows = matrix.rows
        columns = matrix.columns
    }

    /// Bytes of the weights as they lie in the file.
    public var bytes: Int { parts.reduce(0) { $0 + $1.rows * $1.bytesPerRow } }

    /// The part that holds a row, and the row within it.
    func locate(_ row: Int) -> (part: WeightMatrix, row: Int) {
        var rest = row
        for part in parts {
            if rest < part.rows { return (part, rest) }
            rest -= part.rows
        }
        preconditionFailure("row \(row) of \(rows)")
    }

    /// Stretches of at most `size` rows that lie within one part: the part, its rows, and where they stand in all.
    func stretches(of size: Int) -> [(part: WeightMatrix, rows: Range<Int>, first: Int)] {
        var result: [(WeightMatrix, Range<Int>, Int)] = []
        var first = 0
        for part in parts {
            for row in stride(from: 0, to: part.rows, by: size) {
                result.append((part, row..<min(row + size, part.rows), first + row))
            }
            first += part.rows
        }
        return result
    }
}

extension Compute {
    /// The values of rows `range` of `w`, `[range.count, w.columns]`, into the first rows of `y`.
    public func dequantise(_ w: WeightMatrix, rows range: Range<Int>, into y: Matrix) {
        precondition(range.lowerBound >= 0 && range.upperBound <= w.rows, "rows \(range) of \(w.rows)")
        precondition(
            y.columns == w.columns && y.rows >= range.count, "dequantise into \(y.rows) x \(y.columns)")
        let ops = ops
        unsafe w.withRows { first in
            forEachRow(range.count, columns: w.columns) { row in
                unsafe ops.dequantise(
                    w.type.rawValue, first + (range.lowerBound + row) * w.bytesPerRow, w.columns,
                    y.pointer(row: row))
            }
        }
    }

    /// All elements of a tensor in order, as float32: a norm's weight, a bias, LongRoPE factors.
    public func vector(_ tensor: GGUFTensor) throws(KernelError) -> [Float] {
        let w = try WeightMatrix(tensor)
        let y = Matrix(rows: w.rows, columns: w.columns)
        dequantise(w, rows: 0..<w.rows, into: y)
        return y.values()
    }

    /// Row `tokens[i]` of the embedding `w`, `[vocabulary, columns]`, into row `i` of `y`. Throws for a token outside
    /// the vocabulary.
    public func embed(_ w: WeightMatrix, tokens: [Int32], into y: Matrix) throws(KernelError) {
        precondition(y.columns == w.columns && y.rows >= tokens.count, "embed into \(y.rows) x \(y.columns)")
        if let bad = tokens.first(where: { $0 < 0 || Int($0) >= w.rows }) {
            throw .token(bad, vocabulary: w.rows)
        }
        let ops = ops
        unsafe w.withRows { first in
            forEachRow(tokens.count, columns: w.columns) { row in
                unsafe ops.dequantise(
                    w.type.rawValue, first + Int(tokens[row]) * w.bytesPerRow, w.columns, y.pointer(row: row))
            }
        }
    }
}
