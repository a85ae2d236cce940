// Reading little-endian values one after the other from untrusted bytes: every read is checked against the end.

import Numerals

/// A place in a file's header that moves forward as values are read.
@safe struct Cursor {
    private let bytes: UnsafeRawBufferPointer
    private let path: String
    private(set) var offset = 0

    /// `bytes` must outlive the cursor.
    @unsafe init(_ bytes: UnsafeRawBufferPointer, path: String) {
        unsafe self.bytes = unsafe bytes
        self.path = path
    }

    var remaining: Int { unsafe bytes.count - offset }

    func error(_ kind: GGUFError.Kind, _ problem: String) -> GGUFError {
        GGUFError(kind: kind, path: path, problem: problem)
    }

    /// Moves over `count` bytes and says where they began.
    private mutating func take(_ count: Int, _ what: () -> String) throws(GGUFError) -> Int {
        guard count <= remaining else {
            throw error(
                .truncated,
                "the file ends inside \(what()): \(count.grouped) bytes are needed at offset \(offset.grouped), \(remaining.grouped) are left. "
                    + "Fetch the file again and compare its size and checksum")
        }
        defer { offset += count }
        return offset
    }

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _: T.Type, _ what: @autoclosure () -> String
    ) throws(GGUFError) -> T {
        let start = try take(MemoryLayout<T>.size, what)
        return unsafe T(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: T.self))
    }

    mutating func float(_ what: @autoclosure () -> String) throws(GGUFError) -> Float {
        try Float(bitPattern: integer(UInt32.self, what()))
    }

    mutating func double(_ what: @autoclosure () -> String) throws(GGUFError) -> Double {
        try Double(bitPattern: integer(UInt64.self, what()))
    }

    mutating func bool(_ what: @autoclosure () -> String) throws(GGUFError) -> Bool {
        let byte = try integer(UInt8.self, what())
        guard byte <= 1 else {
            throw error(.malformed, "\(what()) is a bool with the value \(byte), not 0 or 1")
        }
        return byte == 1
    }

    /// A count of things that take at least `unit` bytes each in the file, so that a false count is found before memory
    /// is reserved for it.
    mutating func count(
        of unit: Int, limit: Int, _ what: @autoclosure () -> String
    ) throws(GGUFError) -> Int {
        let count = try integer(UInt64.self, what())
        guard count <= UInt64(limit) else {
            throw error(
                .tooLarge, "\(what()) is \(count.grouped), more than Lariat's limit of \(limit.grouped)")
        }
        guard count <= UInt64(remaining / unit) else {
            throw error(
                .truncated,
                "\(what()) is \(count.grouped), but the \(remaining.grouped) bytes left of the file cannot hold so many. "
                    + "Fetch the file again and compare its size and checksum")
        }
        return Int(count)
    }

    /// A string: a 64-bit length in bytes, then the bytes.
    mutating func string(limit: Int, _ what: @autoclosure () -> String) throws(GGUFError) -> [UInt8] {
        let count = try count(of: 1, limit: limit, "the length of \(what())")
        let start = try take(count, what)
        return unsafe [UInt8](bytes[start..<start + count])
    }
}
