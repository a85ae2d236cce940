// What an edited copy of a GGUF file holds, and where, worked out and checked before a byte is written.
// Source: the GGUF specification in the ggml repository (docs/gguf.md), version 3. llama.cpp asks for more than that:
// the tensors lie in the order of the table with no more than padding between them, and their names have at most 63
// bytes (gguf_init_from_file in ggml's gguf.cpp).

import Numerals

/// The bytes of a copy: a header, then tensors at their places. All between and behind them is zero.
struct CopyPlan {
    /// llama.cpp's GGML_MAX_NAME, less the zero at the end.
    static let tensorNameBytes = 63

    enum Contents {
        /// These bytes of the file that is copied.
        case old(Range<Int>)
        case new([UInt8])
    }

    private(set) var header: [UInt8] = []
    /// `offset` counts from the start of the copy.
    private(set) var tensors: [(offset: Int, contents: Contents)] = []
    /// The size of the copy in bytes.
    private(set) var byteCount = 0

    /// `path` is what errors call the copy.
    init(_ file: GGUFFile, _ edit: GGUFEdit, path: String) throws(GGUFError) {
        try Self.check(edit, path: path)
        let rows = edit.metadata.applied(to: file.rows.map(\.key))
        let tensors = edit.tensors.applied(to: file.tensorNames)
        header.append(littleEndian: UInt32(0x4655_4747))  // "GGUF"
        header.append(littleEndian: UInt32(3))
        header.append(littleEndian: UInt64(tensors.count))
        header.append(littleEndian: UInt64(rows.count))
        let places = Dictionary(uniqueKeysWithValues: file.rows.map { ($0.key, $0.range) })
        for (key, value) in rows {
            if let value {
                header.append(string: key)
                header.append(value)
            } else if let range = places[key] {
                unsafe file.mapping.withBytes(range) { unsafe header.append(contentsOf: $0) }
            }
        }
        var dataByteCount = 0
        for (name, new) in tensors {
            let dimensions: [Int]
            let type: GGUFTensorType
            let contents: Contents
            let count: Int
            if let new {
                var bytes: [UInt8] = []
                bytes.reserveCapacity(4 * new.values.count)
                for value in new.values { bytes.append(littleEndian: value.bitPattern) }
                (dimensions, type, contents, count) = (new.dimensions, .f32, .new(bytes), bytes.count)
            } else {
                let old = try file.tensor(name)
                (dimensions, type, contents, count) = (
                    old.dimensions, old.type, .old(old.range), old.byteCount
                )
            }
            header.append(string: name)
            header.append(littleEndian: UInt32(dimensions.count))
            for length in dimensions { header.append(littleEndian: UInt64(length)) }
            header.append(littleEndian: type.rawValue)
            header.append(littleEndian: UInt64(dataByteCount))
            self.tensors.append((dataByteCount, contents))
            dataByteCount = Self.align(dataByteCount + count, to: file.alignment)
        }
        let start = Self.align(header.count, to: file.alignment)
        for index in self.tensors.indices { self.tensors[index].offset += start }
        byteCount = start + dataByteCount
        try readBack(path: path)
    }

    /// Cannot overflow: it counts bytes of a mapped file and of arrays, and the padding of at most 2^20 tensors, each
    /// less than 2^30.
    private static func align(_ offset: Int, to alignment: Int) -> Int {
        (offset + alignment - 1) / alignment * alignment
    }

    /// The reader's own limits, on everything: what it would not open is not written.
    private func readBack(path: String) throws(GGUFError) {
        _ = try unsafe header.withUnsafeBufferPointer { bytes throws(GGUFError) in
            try unsafe Header(Cursor(UnsafeRawBufferPointer(bytes), path: path), fileSize: byteCount)
        }
    }
}

// MARK: Checks of the edit

extension CopyPlan {
    private static func check(_ edit: GGUFEdit, path: String) throws(GGUFError) {
        func refuse(_ problem: String) -> GGUFError {
            GGUFError(kind: .invalidEdit, path: path, problem: "is not written: \(problem)")
        }
        for key in edit.metadata.names {
            guard key != "general.alignment" else {
                throw refuse(
                    "'general.alignment' says where all tensors lie, and a copy keeps it. Leave that key as it is"
                )
            }
            guard case .set? = edit.metadata[key] else { continue }
            guard (1...Header.Limit.nameBytes).contains(key.utf8.count) else {
                throw refuse(
                    "the metadata key '\(key.prefix(80))' has \(key.utf8.count.grouped) bytes; "
                        + "1 to \(Header.Limit.nameBytes.grouped) are possible")
            }
        }
        for name in edit.tensors.names {
            guard case .set(let tensor)? = edit.tensors[name] else { continue }
            guard (1...tensorNameBytes).contains(name.utf8.count) else {
                throw refuse(
                    "the tensor name '\(name.prefix(80))' has \(name.utf8.count.grouped) bytes; "
                        + "1 to \(tensorNameBytes) are possible, for llama.cpp reads no longer ones")
            }
            guard (1...4).contains(tensor.dimensions.count) else {
                throw refuse(
                    "the tensor '\(name)' has \(tensor.dimensions.count) dimensions; 1 to 4 are possible")
            }
            guard tensor.dimensions.allSatisfy({ $0 > 0 }) else {
                throw refuse(
                    "the tensor '\(name)' has the dimensions \(tensor.dimensions); each must be 1 or more")
            }
            guard product(tensor.dimensions) == tensor.values.count else {
                throw refuse(
                    "the tensor '\(name)' has the dimensions \(tensor.dimensions), but \(tensor.values.count) values; "
                        + "give as many values as the product of the dimensions")
            }
        }
    }

    /// Nil when it is more than any array can hold.
    private static func product(_ dimensions: [Int]) -> Int? {
        var result = 1
        for length in dimensions {
            let (product, overflow) = result.multipliedReportingOverflow(by: length)
            guard !overflow else { return nil }
            result = product
        }
        return result
    }
}

// MARK: Encoding

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        unsafe Swift.withUnsafeBytes(of: value.littleEndian) { unsafe append(contentsOf: $0) }
    }

    fileprivate mutating func append(string: String) {
        append(littleEndian: UInt64(string.utf8.count))
        append(contentsOf: string.utf8)
    }

    /// The number of the value's type, then the value.
    fileprivate mutating func append(_ value: GGUFEdit.Value) {
        switch value {
        case .uint32(let number): append(.uint32, number)
        case .int32(let number): append(.int32, number)
        case .uint64(let number): append(.uint64, number)
        case .int64(let number): append(.int64, number)
        case .float32(let number): append(.float32, number.bitPattern)
        case .float64(let number): append(.float64, number.bitPattern)
        case .bool(let flag): append(.bool, UInt8(flag ? 1 : 0))
        case .string(let string):
            append(littleEndian: GGUFValueType.string.rawValue)
            append(string: string)
        case .uint32s(let numbers): append(arrayOf: .uint32, numbers)
        case .int32s(let numbers): append(arrayOf: .int32, numbers)
        case .uint64s(let numbers): append(arrayOf: .uint64, numbers)
        case .int64s(let numbers): append(arrayOf: .int64, numbers)
        case .float32s(let numbers): append(arrayOf: .float32, numbers.map(\.bitPattern))
        case .float64s(let numbers): append(arrayOf: .float64, numbers.map(\.bitPattern))
        case .bools(let flags): append(arrayOf: .bool, flags.map { UInt8($0 ? 1 : 0) })
        case .strings(let strings):
            append(arrayOf: .string, count: strings.count)
            for string in strings { append(string: string) }
        }
    }

    private mutating func append(_ type: GGUFValueType, _ number: some FixedWidthInteger) {
        append(littleEndian: type.rawValue)
        append(littleEndian: number)
    }

    private mutating func append(arrayOf type: GGUFValueType, _ numbers: [some FixedWidthInteger]) {
        append(arrayOf: type, count: numbers.count)
        for number in numbers { append(littleEndian: number) }
    }

    private mutating func append(arrayOf type: GGUFValueType, count: Int) {
        append(littleEndian: GGUFValueType.array.rawValue)
        append(littleEndian: type.rawValue)
        append(littleEndian: UInt64(count))
    }
}
