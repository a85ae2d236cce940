// A GGUF file, opened and checked: its metadata, its tensors, and typed access to both.

/// A GGUF file (version 2 or 3, little-endian), mapped into memory.
///
/// Everything the header says is checked when the file is opened, so that a `GGUFTensor` can be used without fear.
/// Copies share the mapping; it ends with the last copy and the last tensor taken from it.
public struct GGUFFile: Sendable {
    public let path: String
    public let metadata: [String: GGUFValue]
    public let tensors: [String: GGUFTensor]
    let mapping: Mapping
    /// Where tensor data begin, in bytes from the start of the file.
    let headerByteCount: Int
    /// What tensor data are aligned to, in bytes.
    let alignment: Int
    /// The metadata in the order of the file: each key, and where its name, type and value lie.
    let rows: [(key: String, range: Range<Int>)]
    /// In the order of the file's table.
    let tensorNames: [String]

    /// Opens and checks the file at `path`.
    ///
    /// Throws when the file cannot be read, is not GGUF of a version and byte order that Lariat reads, is cut short, or
    /// has a tensor that is of an unknown type, badly placed or partly outside the file (the error names the tensor).
    public init(path: String) throws(GGUFError) {
        try self.init(Mapping(path: path), path: path)
    }

    /// A file that is given by its bytes, for tests of thousands of damaged ones; `path` is what errors call it.
    package init(contents: [UInt8], path: String) throws(GGUFError) {
        guard !contents.isEmpty else { throw GGUFError(kind: .unreadable, path: path, problem: "is empty") }
        try self.init(Mapping(copying: contents, path: path), path: path)
    }

    private init(_ mapping: Mapping, path: String) throws(GGUFError) {
        let header = try unsafe mapping.withBytes(0..<mapping.count) { bytes throws(GGUFError) in
            try unsafe Header(Cursor(bytes, path: path), fileSize: bytes.count)
        }
        self.path = path
        self.mapping = mapping
        metadata = header.metadata
        headerByteCount = header.byteCount
        alignment = header.alignment
        rows = header.rows
        tensorNames = header.entries.map(\.name)
        var tensors: [String: GGUFTensor] = [:]
        tensors.reserveCapacity(header.entries.count)
        for entry in header.entries {
            tensors[entry.name] = GGUFTensor(
                name: entry.name, type: entry.type, dimensions: entry.dimensions, mapping: mapping,
                range: entry.range)
        }
        self.tensors = tensors
    }

    /// The size of the whole file in bytes.
    public var byteCount: Int { mapping.count }

    /// The tensor of that name; throws an error that names it when the file has none.
    public func tensor(_ name: String) throws(GGUFError) -> GGUFTensor {
        guard let tensor = tensors[name] else {
            throw GGUFError(
                kind: .missing, path: path,
                problem:
                    "has no tensor '\(name)'. The file is incomplete, or of another architecture than it says"
            )
        }
        return tensor
    }
}

// MARK: Typed access to metadata

// Of each pair, the first throws when the key is missing, the second gives nil; both throw, naming the key and the type
// that was found, when the value is of another type.
extension GGUFFile {
    /// A string, which must be UTF-8.
    public func string(_ key: String) throws(GGUFError) -> String { try require(key, stringIfPresent(key)) }

    public func stringIfPresent(_ key: String) throws(GGUFError) -> String? {
        guard let value = metadata[key] else { return nil }
        guard case .string(let bytes) = value else { throw wrongType(key, value, "a string") }
        guard let string = String(validating: bytes, as: UTF8.self) else {
            throw GGUFError(kind: .malformed, path: path, problem: "the metadata key '\(key)' is not UTF-8")
        }
        return string
    }

    /// An integer of any size in the file that `Int` can hold.
    public func integer(_ key: String) throws(GGUFError) -> Int { try require(key, integerIfPresent(key)) }

    public func integerIfPresent(_ key: String) throws(GGUFError) -> Int? {
        let exact: Int?
        switch metadata[key] {
        case nil: return nil
        case .uint(let value)?: exact = Int(exactly: value)
        case .int(let value)?: exact = Int(exactly: value)
        case let value?: throw wrongType(key, value, "an integer")
        }
        guard let exact else {
            throw GGUFError(
                kind: .tooLarge, path: path, problem: "the metadata key '\(key)' is larger than \(Int.max)")
        }
        return exact
    }

    /// A finite number; an integer in the file will do.
    public func real(_ key: String) throws(GGUFError) -> Double { try require(key, realIfPresent(key)) }

    public func realIfPresent(_ key: String) throws(GGUFError) -> Double? {
        let number: Double
        switch metadata[key] {
        case nil: return nil
        case .float(let value)?: number = value
        case .uint(let value)?: number = Double(value)
        case .int(let value)?: number = Double(value)
        case let value?: throw wrongType(key, value, "a number")
        }
        guard number.isFinite else {
            throw GGUFError(
                kind: .malformed, path: path,
                problem: "the metadata key '\(key)' is \(number), not a finite number")
        }
        return number
    }

    public func bool(_ key: String) throws(GGUFError) -> Bool { try require(key, boolIfPresent(key)) }

    public func boolIfPresent(_ key: String) throws(GGUFError) -> Bool? {
        guard let value = metadata[key] else { return nil }
        guard case .bool(let flag) = value else { throw wrongType(key, value, "a bool") }
        return flag
    }

    /// An array of strings, as bytes: tokens of a vocabulary need not be UTF-8.
    public func strings(_ key: String) throws(GGUFError) -> [[UInt8]] {
        try require(key, stringsIfPresent(key))
    }

    public func stringsIfPresent(_ key: String) throws(GGUFError) -> [[UInt8]]? {
        guard let value = metadata[key] else { return nil }
        guard case .strings(let array) = value else { throw wrongType(key, value, "an array of strings") }
        return array
    }

    /// An array of integers.
    public func integers(_ key: String) throws(GGUFError) -> [Int64] {
        try require(key, integersIfPresent(key))
    }

    public func integersIfPresent(_ key: String) throws(GGUFError) -> [Int64]? {
        guard let value = metadata[key] else { return nil }
        guard case .integers(let array) = value else { throw wrongType(key, value, "an array of integers") }
        return array
    }

    /// An array of float32.
    public func floats(_ key: String) throws(GGUFError) -> [Float] { try require(key, floatsIfPresent(key)) }

    public func floatsIfPresent(_ key: String) throws(GGUFError) -> [Float]? {
        guard let value = metadata[key] else { return nil }
        guard case .floats(let array) = value else { throw wrongType(key, value, "an array of float32") }
        return array
    }

    private func require<T>(_ key: String, _ value: T?) throws(GGUFError) -> T {
        guard let value else {
            throw GGUFError(
                kind: .missing, path: path, problem: "has no metadata key '\(key)', which is needed")
        }
        return value
    }

    private func wrongType(_ key: String, _ value: GGUFValue, _ wanted: String) -> GGUFError {
        GGUFError(
            kind: .wrongType, path: path,
            problem: "the metadata key '\(key)' is \(value.kindName), but \(wanted) is needed")
    }
}
