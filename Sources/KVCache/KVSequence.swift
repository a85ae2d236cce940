// The keys and values that one rank holds of one sequence, over pages that several sequences may share.
public import RingAttention

/// One rank's rows of a sequence in every layer, in ascending position: row i is the rank's i-th token.
///
/// A sequence that continues another shares the pages that are whole below the point where they part, and copies the
/// rest of the last one. What a sequence has `written` in all layers does not change any more, so that any number of
/// others can begin with it.
///
/// Written by one engine's thread, rows that no other thread reads yet; a payload of rows that are written may be read
/// by the ring's sender at the same time. That is why it may cross threads unchecked.
public final class KVSequence: @unchecked Sendable {
    public let shape: KVShape
    /// Most rows.
    public let capacity: Int
    /// Rows that are written in every layer.
    public private(set) var written: Int
    let pages: [KVPage]

    /// Room for `capacity` rows, none written.
    public convenience init(shape: KVShape, capacity: Int, memory: KVMemory) throws(KVError) {
        try self.init(shape: shape, capacity: capacity, memory: memory, past: nil)
    }

    /// The first `rows` rows of another sequence, and room behind them.
    /// - Parameters:
    ///   - rows: that `other` has written.
    ///   - capacity: most rows, those of `other` among them.
    public convenience init(
        continuing other: KVSequence, rows: Int, capacity: Int, memory: KVMemory
    ) throws(KVError) {
        precondition(
            (0...other.written).contains(rows) && rows <= capacity,
            "\(rows) rows of \(other.written), for \(capacity)")
        try self.init(shape: other.shape, capacity: capacity, memory: memory, past: (other, rows))
    }

    private init(
        shape: KVShape, capacity: Int, memory: KVMemory, past: (sequence: KVSequence, rows: Int)?
    ) throws(KVError) {
        precondition(capacity >= 0, "room for \(capacity) rows")
        self.shape = shape
        self.capacity = capacity
        written = past?.rows ?? 0
        let shared = written / KVPage.fullRows
        var pages = past.map { Array($0.sequence.pages.prefix(shared)) } ?? []
        var first = shared * KVPage.fullRows
        while first < capacity {
            let page = try KVPage(
                rows: min(KVPage.fullRows, capacity - first), shape: shape, budget: memory)
            if let past, first < past.rows {
                page.copy(rows: past.rows - first, of: past.sequence.pages[shared])
            }
            pages.append(page)
            first += KVPage.fullRows
        }
        self.pages = pages
    }

    /// The first `rows` rows of another sequence and nothing behind them: takes no memory.
    public init(beginning other: KVSequence, rows: Int) {
        precondition((0...other.written).contains(rows), "\(rows) rows of \(other.written)")
        shape = other.shape
        capacity = rows
        written = rows
        pages = Array(other.pages.prefix(Self.pages(rows)))
    }

    /// The first `rows` rows of pages that were read: all written, none behind them.
    init(shape: KVShape, pages: [KVPage], rows: Int) {
        precondition(pages.count == Self.pages(rows), "\(rows) rows in \(pages.count) pages")
        self.shape = shape
        self.pages = pages
        capacity = rows
        written = rows
    }

    /// Bytes of the pages that a sequence for `capacity` rows takes, where it continues another from `rows` on.
    public static func pageBytes(_ shape: KVShape, capacity: Int, continuing rows: Int) -> Int {
        let own = max(0, capacity - rows / KVPage.fullRows * KVPage.fullRows)
        let (bytes, overflow) = own.multipliedReportingOverflow(by: shape.tokenBytes)
        return overflow ? .max : bytes
    }

    /// Bytes of keys and values of the rows that are written.
    public var writtenBytes: Int { written * shape.tokenBytes }

    /// Says that the next `count` rows are written in every layer.
    public func advance(by count: Int) {
        precondition(
            count >= 0 && written + count <= capacity, "\(count) rows behind \(written) of \(capacity)")
        written += count
    }

    // MARK: rows

    /// Calls `body` with the memory of some rows of a layer, page by page, and the first of those rows.
    ///
    /// Rows may be written until `advance` says that they are.
    public func withRows<E: Error>(
        _ rows: Range<Int>, layer: Int,
        _ body: (_ first: Int, _ memory: UnsafeMutableRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        check(rows, layer)
        var row = rows.lowerBound
        while row < rows.upperBound {
            let (page, first) = row.quotientAndRemainder(dividingBy: KVPage.fullRows)
            let count = min(rows.upperBound - row, KVPage.fullRows - first)
            try body(row, pages[page].memory(layer: layer, rows: first..<first + count))
            row += count
        }
    }

    /// The memory of the first `count` rows of a layer, in pieces of whole pages but for the last.
    public func pages(layer: Int, rows count: Int) -> [UnsafeRawBufferPointer] {
        check(0..<count, layer)
        return (0..<Self.pages(count)).map { page in
            let rows = min(KVPage.fullRows, count - page * KVPage.fullRows)
            return UnsafeRawBufferPointer(pages[page].memory(layer: layer, rows: 0..<rows))
        }
    }

    /// Some rows of a layer as they lie in memory, to be sent. They must be written and stay so until then; rows of two
    /// pages are copied.
    public func payload(layer: Int, rows: Range<Int>) -> any RingPayload {
        check(rows, layer)
        let (page, first) = rows.lowerBound.quotientAndRemainder(dividingBy: KVPage.fullRows)
        guard rows.upperBound <= (page + 1) * KVPage.fullRows || rows.isEmpty else {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(rows.count * shape.rowBytes)
            withRows(rows, layer: layer) { bytes.append(contentsOf: $1) }
            return BytesPayload(bytes)
        }
        guard !rows.isEmpty else { return BytesPayload([]) }
        return PagePayload(page: pages[page], layer: layer, rows: first..<first + rows.count, shape: shape)
    }

    private func check(_ rows: Range<Int>, _ layer: Int) {
        precondition(
            rows.lowerBound >= 0 && rows.upperBound <= capacity && (0..<shape.layers).contains(layer),
            "rows \(rows) of \(capacity), layer \(layer) of \(shape.layers)")
    }

    /// Rows of a page that are written.
    func needed(ofPage index: Int) -> Int { min(KVPage.fullRows, written - index * KVPage.fullRows) }

    /// Pages that so many rows lie in.
    static func pages(_ rows: Int) -> Int { (rows + KVPage.fullRows - 1) / KVPage.fullRows }

    /// Bytes of this sequence's pages that are not in `seen`, which they are added to.
    func bytes(beyond seen: inout Set<ObjectIdentifier>) -> Int {
        pages.reduce(0) { seen.insert(ObjectIdentifier($1)).inserted ? $0 + $1.bytes : $0 }
    }
}

/// Rows of a page as they lie in memory.
private struct PagePayload: RingPayload {
    let page: KVPage
    let layer: Int
    let rows: Range<Int>
    let shape: KVShape

    var count: Int { rows.count * shape.rowBytes }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(page.memory(layer: layer, rows: rows)))
    }
}
