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
    private let tensor: GGUFTensor
    private let firstRow: Int

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
        firstRow = 0
        rows = tensor.rows
        columns = tensor.columns
    }

    private init(_ other: WeightMatrix, rows: Range<Int>) {
        tensor = other.tensor
        firstRow = other.firstRow + rows.lowerBound
        self.rows = rows.count
        columns = other.columns
    }

    /// Some rows: one part of a fused tensor (query, key, value; gate, up).
    public func slice(rows range: Range<Int>) throws(KernelError) -> WeightMatrix {
        guard range.lowerBound >= 0, range.upperBound <= rows, !range.isEmpty else {
            throw .shape("rows \(range) of tensor \(name), which has \(rows)")
        }
        return WeightMatrix(self, rows: range)
    }

    /// The size of one row in bytes.
    public var bytesPerRow: Int { tensor.bytesPerRow }

    /// The first byte of the first row, valid within `body`.
    func withRows<Failure: Error>(_ body: (UnsafePointer<UInt8>) throws(Failure) -> Void) throws(Failure) {
        try unsafe tensor.withUnsafeBytes { bytes throws(Failure) in
            guard let base = bytes.baseAddress, bytes.count >= (firstRow + rows) * bytesPerRow else {
                return
            }
            try unsafe body(base.assumingMemoryBound(to: UInt8.self) + firstRow * bytesPerRow)
        }
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
