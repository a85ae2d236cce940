// Writes small GGUF files for tests: correct ones, and ones with a fault in the place a test wants.
import Foundation
import GGUF

/// A GGUF file in the making. What it writes is correct unless a test sets a field to something false.
struct GGUFWriter {
    enum Value {
        case uint8(UInt8), int8(Int8), uint16(UInt16), int16(Int16), uint32(UInt32), int32(Int32)
        case uint64(UInt64), int64(Int64), float32(Float), float64(Double), bool(UInt8)
        case string([UInt8])
        case array([Value], type: UInt32)
        /// Any bytes, under any type number.
        case raw([UInt8], type: UInt32)

        var type: UInt32 {
            switch self {
            case .uint8: 0
            case .int8: 1
            case .uint16: 2
            case .int16: 3
            case .uint32: 4
            case .int32: 5
            case .float32: 6
            case .bool: 7
            case .string: 8
            case .array: 9
            case .uint64: 10
            case .int64: 11
            case .float64: 12
            case .raw(_, let type): type
            }
        }

        var bytes: [UInt8] {
            switch self {
            case .uint8(let value): GGUFWriter.bytes(value)
            case .int8(let value): GGUFWriter.bytes(value)
            case .uint16(let value): GGUFWriter.bytes(value)
            case .int16(let value): GGUFWriter.bytes(value)
            case .uint32(let value): GGUFWriter.bytes(value)
            case .int32(let value): GGUFWriter.bytes(value)
            case .uint64(let value): GGUFWriter.bytes(value)
            case .int64(let value): GGUFWriter.bytes(value)
            case .float32(let value): GGUFWriter.bytes(value.bitPattern)
            case .float64(let value): GGUFWriter.bytes(value.bitPattern)
            case .bool(let value): [value]
            case .string(let value): GGUFWriter.bytes(UInt64(value.count)) + value
            case .array(let values, let type):
                GGUFWriter.bytes(type) + GGUFWriter.bytes(UInt64(values.count)) + values.flatMap(\.bytes)
            case .raw(let bytes, _): bytes
            }
        }

        static func text(_ text: String) -> Value { .string(Array(text.utf8)) }
    }

    struct Tensor {
        var name: String
        var dimensions: [UInt64]
        var type: UInt32
        var data: [UInt8] = []
        /// Instead of the offset that follows from the data of the tensors before it.
        var offset: UInt64?
    }

    var magic: UInt32 = 0x4655_4747
    var version: UInt32 = 3
    var metadata: [(String, Value)] = []
    var tensors: [Tensor] = []
    var alignment = 32
    var tensorCount: UInt64?
    var metadataCount: UInt64?

    static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        Swift.withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func pad(_ bytes: inout [UInt8], to alignment: Int) {
        while bytes.count % alignment != 0 { bytes.append(0) }
    }

    var file: [UInt8] {
        var header = Self.bytes(magic) + Self.bytes(version)
        header += Self.bytes(tensorCount ?? UInt64(tensors.count))
        header += Self.bytes(metadataCount ?? UInt64(metadata.count))
        for (key, value) in metadata {
            header += Value.text(key).bytes + Self.bytes(value.type) + value.bytes
        }
        var data: [UInt8] = []
        for tensor in tensors {
            Self.pad(&data, to: alignment)
            header += Value.text(tensor.name).bytes + Self.bytes(UInt32(tensor.dimensions.count))
            header += tensor.dimensions.flatMap { Self.bytes($0) } + Self.bytes(tensor.type)
            header += Self.bytes(tensor.offset ?? UInt64(data.count))
            data += tensor.data
        }
        Self.pad(&header, to: alignment)
        return header + data
    }

    /// A file with a value of every kind and four tensors.
    static var sample: GGUFWriter {
        var writer = GGUFWriter()
        writer.metadata = [
            ("general.architecture", .text("llama")),
            ("a.uint8", .uint8(200)), ("a.int8", .int8(-100)), ("a.uint16", .uint16(60_000)),
            ("a.int16", .int16(-30_000)), ("a.uint32", .uint32(4_000_000_000)),
            ("a.int32", .int32(-2_000_000_000)),
            ("a.uint64", .uint64(.max)), ("a.int64", .int64(.min)), ("a.float32", .float32(1.5)),
            ("a.float64", .float64(0.1)), ("a.true", .bool(1)), ("a.false", .bool(0)),
            ("a.bytes", .string([0xFF, 0xFE])),
            ("a.strings", .array([.text("one"), .text(""), .string([0x80])], type: 8)),
            ("a.integers", .array([.int32(-1), .int32(7)], type: 5)),
            ("a.floats", .array([.float32(0.25), .float32(-2)], type: 6)),
            ("a.doubles", .array([.float64(0.1)], type: 12)),
            ("a.bools", .array([.bool(1), .bool(0)], type: 7)),
            ("a.empty", .array([], type: 8)),
        ]
        writer.tensors = [
            Tensor(
                name: "plain", dimensions: [3, 2], type: 0,
                data: (0..<6).flatMap { bytes(Float($0).bitPattern) }),
            Tensor(name: "half", dimensions: [5], type: 1, data: Array(0..<10)),
            Tensor(name: "quantised", dimensions: [64, 2, 1, 2], type: 3, data: (0..<160).map { UInt8($0) }),
            Tensor(name: "last", dimensions: [256, 1], type: 14, data: Array(repeating: 9, count: 210)),
        ]
        return writer
    }
}

/// Opens bytes as a GGUF file, by way of a temporary file that is gone afterwards.
func openOnDisk(_ bytes: [UInt8]) throws -> GGUFFile {
    let url = FileManager.default.temporaryDirectory.appending(component: "lariat-\(UUID().uuidString).gguf")
    try Data(bytes).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try GGUFFile(path: url.path)
}

/// Opens bytes as a GGUF file without writing them anywhere.
func open(_ bytes: [UInt8]) throws(GGUFError) -> GGUFFile {
    try GGUFFile(contents: bytes, path: "test.gguf")
}

/// The error that opening gives, or nil.
func problem(_ bytes: [UInt8]) -> GGUFError? {
    do {
        _ = try open(bytes)
        return nil
    } catch {
        return error
    }
}
