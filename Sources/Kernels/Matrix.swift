// Row-major float32 matrices: what every operation reads and writes.

/// A float32 matrix, row-major, its rows one after the other (stride = columns), its first element on a 64-byte
/// border. Confined by use to one engine thread and the pool that thread drives: nothing here locks.
@safe
public final class Matrix: @unchecked Sendable {
    /// Rows in use; at most `capacity`.
    public private(set) var rows: Int
    public let columns: Int
    /// Rows for which memory is held.
    public let capacity: Int
    package let base: UnsafeMutablePointer<Float>
    /// The matrix whose memory this view shares, kept alive by it; nil when the memory is its own.
    private let owner: Matrix?

    /// A matrix of zeros, `[rows, columns]`. Its memory is `rows * columns * 4` bytes: callers check sizes that come
    /// from outside before they ask for it.
    public init(rows: Int, columns: Int) {
        precondition(rows >= 0 && columns > 0, "a matrix needs at least one column")
        let (elements, overflow) = rows.multipliedReportingOverflow(by: columns)
        precondition(!overflow && elements <= Int.max / 8, "a matrix of \(rows) x \(columns) is too large")
        self.rows = rows
        self.columns = columns
        capacity = rows
        owner = nil
        let bytes = max(elements, 16) * MemoryLayout<Float>.stride
        let memory = unsafe TensorMemory.required(bytes: bytes)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        unsafe base = unsafe memory.assumingMemoryBound(to: Float.self)
    }

    private init(viewOf owner: Matrix, range: Range<Int>) {
        rows = range.count
        columns = owner.columns
        capacity = range.count
        self.owner = owner
        unsafe base = unsafe owner.base + range.lowerBound * owner.columns
    }

    /// A matrix that holds the given values, row by row: `values.count` must be `rows * columns`.
    public convenience init(rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == rows * columns, "\(values.count) values for \(rows) x \(columns)")
        self.init(rows: rows, columns: columns)
        for (index, value) in values.enumerated() { unsafe base[index] = value }
    }

    deinit {
        if owner == nil { unsafe TensorMemory.release(base) }
    }

    /// Uses only the first `rows` rows from now on; at most `capacity`. The values stay.
    public func reshape(rows: Int) {
        precondition(rows >= 0 && rows <= capacity, "\(rows) rows in a matrix with room for \(capacity)")
        self.rows = rows
    }

    /// A view of some rows. It shares this matrix's memory and keeps it alive.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "rows \(range) of \(capacity)")
        return Matrix(viewOf: owner ?? self, range: offset + range.lowerBound..<offset + range.upperBound)
    }

    /// The first row of this view in its owner.
    private var offset: Int {
        guard let owner else { return 0 }
        return unsafe (base - owner.base) / columns
    }

    public subscript(row: Int, column: Int) -> Float {
        get {
            precondition(
                row >= 0 && row < rows && column >= 0 && column < columns, "element \(row), \(column)")
            return unsafe base[row * columns + column]
        }
        set {
            precondition(
                row >= 0 && row < rows && column >= 0 && column < columns, "element \(row), \(column)")
            unsafe base[row * columns + column] = newValue
        }
    }

    /// Row `row`, `[columns]`, to read within `body`.
    public func withRow<Result, Failure: Error>(
        _ row: Int, _ body: (Span<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
        let buffer = unsafe UnsafeBufferPointer(start: base + row * columns, count: columns)
        return try body(unsafe buffer.span)
    }

    /// All rows in use, `[rows * columns]`, to write within `body`.
    public func withMutableSpan<Result, Failure: Error>(
        _ body: (inout MutableSpan<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let buffer = unsafe UnsafeMutableBufferPointer(start: base, count: rows * columns)
        var span = unsafe buffer.mutableSpan
        return try body(&span)
    }

    /// All rows in use, `[rows * columns]`. The pointer is valid within `body` only.
    public func withUnsafeMutableBuffer<Result, Failure: Error>(
        _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe body(UnsafeMutableBufferPointer(start: base, count: rows * columns))
    }

    /// All rows in use as bytes, to send or store. The pointer is valid within `body` only.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe body(
            UnsafeRawBufferPointer(start: base, count: rows * columns * MemoryLayout<Float>.stride))
    }

    /// The values in use, row by row.
    public func values() -> [Float] {
        unsafe Array(UnsafeBufferPointer(start: base, count: rows * columns))
    }

    /// Row `row` in memory. Kernels only.
    package func pointer(row: Int) -> UnsafeMutablePointer<Float> { unsafe base + row * columns }
}
