// The header of a GGUF file: metadata and the table of tensors, checked against the format and the file's size.
// Source: the GGUF specification in the ggml repository (docs/gguf.md), versions 2 and 3, little-endian.

import Numerals

/// What stands before the tensor data.
struct Header {
    /// Limits on what one file may announce. Real files stay far below them; they bound the memory that a false file
    /// can claim.
    enum Limit {
        static let metadata = 65_536
        static let tensors = 1 << 20
        static let nameBytes = 65_535
        static let stringBytes = 16 << 20
        /// Of all arrays of the file together.
        static let arrayElements = 1 << 25
    }

    struct Entry {
        var name: String
        var type: GGUFTensorType
        var dimensions: [Int]
        /// From the start of the file, in bytes.
        var range: Range<Int>
    }

    private(set) var metadata: [String: GGUFValue] = [:]
    /// The metadata in the order of the file: each key, and where its name, type and value lie, in bytes from the start.
    private(set) var rows: [(key: String, range: Range<Int>)] = []
    /// In the order of the file's table.
    private(set) var entries: [Entry] = []
    /// Where tensor data begin, in bytes from the start of the file.
    private(set) var byteCount = 0
    private(set) var alignment = 32

    init(_ cursor: consuming Cursor, fileSize: Int) throws(GGUFError) {
        let tensorCount = try readStart(&cursor)
        let metadataCount = try cursor.count(of: 13, limit: Limit.metadata, "the number of metadata keys")
        metadata.reserveCapacity(metadataCount)
        var elementsLeft = Limit.arrayElements
        rows.reserveCapacity(metadataCount)
        for index in 0..<metadataCount {
            let start = cursor.offset
            let key = try name(&cursor, "the name of metadata key \(index)")
            let value = try value(&cursor, of: key, elementsLeft: &elementsLeft)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw cursor.error(.malformed, "the metadata key '\(key)' occurs twice")
            }
            rows.append((key, start..<cursor.offset))
        }
        let parts: Int? =
            switch metadata["split.count"] {
            case nil: 1
            case .uint(let number)?: Int(exactly: number)
            case .int(let number)?: Int(number)
            default: nil
            }
        guard let parts, parts <= 1 else {
            throw cursor.error(
                .unsupported,
                "is one of \(parts.map(String.init) ?? "several") parts of a split model (split.count). Join the "
                    + "parts first (llama-gguf-split --merge)")
        }
        alignment = try alignment(cursor)
        try readTensors(&cursor, count: tensorCount, fileSize: fileSize)
    }

    /// Magic, version and the number of tensors.
    private func readStart(_ cursor: inout Cursor) throws(GGUFError) -> Int {
        let magic = try cursor.integer(UInt32.self, "the magic number")
        guard magic == 0x4655_4747 else {  // "GGUF"
            throw cursor.error(
                .notGGUF, "is not a GGUF file: it does not begin with the letters GGUF")
        }
        let version = try cursor.integer(UInt32.self, "the version")
        guard version == 2 || version == 3 else {
            if [1, 2, 3].contains(version.byteSwapped) {
                throw cursor.error(
                    .unsupported, "is a big-endian GGUF file. Convert it to little-endian, the usual form")
            }
            throw cursor.error(
                .unsupported,
                "is GGUF version \(version). Lariat reads versions 2 and 3: convert the model again")
        }
        let count = try cursor.integer(UInt64.self, "the number of tensors")
        guard count <= UInt64(Limit.tensors) else {
            throw cursor.error(
                .tooLarge,
                "the number of tensors is \(count.grouped), more than Lariat's limit of \(Limit.tensors.grouped)"
            )
        }
        return Int(count)
    }

    private func name(
        _ cursor: inout Cursor, _ what: @autoclosure () -> String
    ) throws(GGUFError) -> String {
        let bytes = try cursor.string(limit: Limit.nameBytes, what())
        guard let name = String(validating: bytes, as: UTF8.self), !name.isEmpty else {
            throw cursor.error(.malformed, "\(what()) is empty or not UTF-8")
        }
        return name
    }

    private func valueType(
        _ cursor: inout Cursor, of key: String
    ) throws(GGUFError) -> GGUFValueType {
        let number = try cursor.integer(UInt32.self, "the type of '\(key)'")
        guard let type = GGUFValueType(rawValue: number) else {
            throw cursor.error(.malformed, "the metadata key '\(key)' has the unknown type number \(number)")
        }
        return type
    }

    private func value(
        _ cursor: inout Cursor, of key: String, elementsLeft: inout Int
    ) throws(GGUFError) -> GGUFValue {
        let type = try valueType(&cursor, of: key)
        let what = { "the value of '\(key)'" }
        switch type {
        case .uint8: return try .uint(UInt64(cursor.integer(UInt8.self, what())))
        case .uint16: return try .uint(UInt64(cursor.integer(UInt16.self, what())))
        case .uint32: return try .uint(UInt64(cursor.integer(UInt32.self, what())))
        case .uint64: return try .uint(cursor.integer(UInt64.self, what()))
        case .int8: return try .int(Int64(cursor.integer(Int8.self, what())))
        case .int16: return try .int(Int64(cursor.integer(Int16.self, what())))
        case .int32: return try .int(Int64(cursor.integer(Int32.self, what())))
        case .int64: return try .int(cursor.integer(Int64.self, what()))
        case .float32: return try .float(Double(cursor.float(what())))
        case .float64: return try .float(cursor.double(what()))
        case .bool: return try .bool(cursor.bool(what()))
        case .string: return try .string(cursor.string(limit: Limit.stringBytes, what()))
        case .array: return try array(&cursor, of: key, elementsLeft: &elementsLeft)
        }
    }

    private func array(
        _ cursor: inout Cursor, of key: String, elementsLeft: inout Int
    ) throws(GGUFError) -> GGUFValue {
        let type = try valueType(&cursor, of: key)
        guard type != .array else {
            throw cursor.error(
                .unsupported, "the metadata key '\(key)' is an array of arrays, which no model needs")
        }
        let count = try cursor.count(
            of: type.minimumByteCount, limit: elementsLeft, "the number of elements of '\(key)'")
        elementsLeft -= count
        let what = { "the array '\(key)'" }
        func integers<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) throws(GGUFError) -> GGUFValue {
            try .integers(
                elements(count) { () throws(GGUFError) in
                    let value = try cursor.integer(T.self, what())
                    guard let value = Int64(exactly: value) else {
                        throw cursor.error(
                            .tooLarge, "the array '\(key)' holds \(value), which is over \(Int64.max)")
                    }
                    return value
                })
        }
        switch type {
        case .uint8: return try integers(UInt8.self)
        case .int8: return try integers(Int8.self)
        case .uint16: return try integers(UInt16.self)
        case .int16: return try integers(Int16.self)
        case .uint32: return try integers(UInt32.self)
        case .int32: return try integers(Int32.self)
        case .uint64: return try integers(UInt64.self)
        case .int64: return try integers(Int64.self)
        case .float32:
            return try .floats(elements(count) { () throws(GGUFError) in try cursor.float(what()) })
        case .float64:
            return try .doubles(elements(count) { () throws(GGUFError) in try cursor.double(what()) })
        case .bool: return try .bools(elements(count) { () throws(GGUFError) in try cursor.bool(what()) })
        case .string, .array:
            return try .strings(
                elements(count) { () throws(GGUFError) in
                    try cursor.string(limit: Limit.stringBytes, "an element of '\(key)'")
                })
        }
    }

    private func elements<T>(_ count: Int, _ next: () throws(GGUFError) -> T) throws(GGUFError) -> [T] {
        var result: [T] = []
        result.reserveCapacity(count)
        for _ in 0..<count { try result.append(next()) }
        return result
    }

    private func alignment(_ cursor: Cursor) throws(GGUFError) -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .uint(let number) = value, number.nonzeroBitCount == 1, number <= 1 << 30 else {
            throw cursor.error(
                .malformed, "'general.alignment' must be a power of two up to \(1 << 30), but is \(value)")
        }
        return Int(number)
    }
}

// MARK: The table of tensors

extension Header {
    private mutating func readTensors(
        _ cursor: inout Cursor, count: Int, fileSize: Int
    ) throws(GGUFError) {
        guard count <= cursor.remaining / 33 else {  // name length, a letter, dimensions, type, offset
            throw cursor.error(
                .truncated,
                "announces \(count.grouped) tensors, but the \(cursor.remaining.grouped) bytes left cannot describe so many"
            )
        }
        entries.reserveCapacity(count)
        var names: Set<String> = []
        for index in 0..<count {
            let entry = try entry(&cursor, index: index)
            guard names.insert(entry.name).inserted else {
                throw cursor.error(.malformed, "the tensor '\(entry.name)' occurs twice")
            }
            entries.append(entry)
        }
        // Cannot overflow: the offset is within a mapped file and the alignment at most 2^30.
        byteCount = (cursor.offset + alignment - 1) / alignment * alignment
        if count == 0 { byteCount = min(byteCount, fileSize) }
        try placeTensors(cursor, fileSize: fileSize)
    }

    /// One row of the table. Its range still counts from the start of the tensor data.
    private func entry(_ cursor: inout Cursor, index: Int) throws(GGUFError) -> Entry {
        let name = try name(&cursor, "the name of tensor \(index)")
        let what = { "the description of tensor '\(name)'" }
        func refuse(_ kind: GGUFError.Kind, _ problem: String) -> GGUFError {
            cursor.error(kind, "the tensor '\(name)' \(problem)")
        }
        let dimensionCount = try cursor.integer(UInt32.self, what())
        guard (1...4).contains(dimensionCount) else {
            throw refuse(.malformed, "has \(dimensionCount) dimensions; 1 to 4 are possible")
        }
        var dimensions: [Int] = []
        var elements = 1
        for _ in 0..<dimensionCount {
            let length = try cursor.integer(UInt64.self, what())
            guard length > 0 else { throw refuse(.malformed, "has a dimension of length 0") }
            guard let length = Int(exactly: length),
                case let (product, false) = elements.multipliedReportingOverflow(by: length)
            else {
                throw refuse(.malformed, "has more elements than any file can hold")
            }
            elements = product
            dimensions.append(length)
        }
        let number = try cursor.integer(UInt32.self, what())
        guard let type = GGUFTensorType(rawValue: number) else {
            let supported = GGUFTensorType.allCases.map { "\($0.name) (\($0.rawValue))" }.joined(
                separator: ", ")
            let called = GGUFTensorType.name(ofNumber: number).map { "type \($0) (number \(number))" }
            throw refuse(
                .unsupported,
                "has the element \(called ?? "type number \(number)"), which Lariat does not read. It reads "
                    + "\(supported): use a file quantised to one of these")
        }
        guard dimensions[0] % type.elementsPerBlock == 0 else {
            throw refuse(
                .malformed,
                "has rows of \(dimensions[0]) elements, not a multiple of the \(type.elementsPerBlock) elements that "
                    + "a \(type.name) block holds")
        }
        let offset = try cursor.integer(UInt64.self, what())
        guard let start = Int(exactly: offset),
            case let (bytes, false) = (elements / type.elementsPerBlock).multipliedReportingOverflow(
                by: type.bytesPerBlock),
            case let (end, false) = start.addingReportingOverflow(bytes)
        else {
            throw refuse(
                .malformed, "lies outside the file: its offset or size is beyond what any file can hold")
        }
        return Entry(name: name, type: type, dimensions: dimensions, range: start..<end)
    }

    /// Checks that each tensor is aligned, inside the file and apart from the others.
    private mutating func placeTensors(_ cursor: Cursor, fileSize: Int) throws(GGUFError) {
        for index in entries.indices {
            let entry = entries[index]
            guard entry.range.lowerBound % alignment == 0 else {
                throw cursor.error(
                    .malformed,
                    "the tensor '\(entry.name)' has the offset \(entry.range.lowerBound), not a multiple of the "
                        + "alignment \(alignment)")
            }
            let (end, overflow) = entry.range.upperBound.addingReportingOverflow(byteCount)
            guard !overflow, end <= fileSize else {
                throw cursor.error(
                    .truncated,
                    "the tensor '\(entry.name)' lies outside the file: \(entry.range.count.grouped) bytes at offset "
                        + "\(entry.range.lowerBound) of the tensor data, but the file holds "
                        + "\(max(0, fileSize - byteCount).grouped) bytes of tensor data. "
                        + "Fetch the file again and compare its size and checksum")
            }
            entries[index].range = entry.range.lowerBound + byteCount..<end
        }
        let order = entries.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (first, second) in zip(order, order.dropFirst())
        where first.range.upperBound > second.range.lowerBound {
            throw cursor.error(
                .malformed, "the tensors '\(first.name)' and '\(second.name)' overlap in the file")
        }
    }
}
