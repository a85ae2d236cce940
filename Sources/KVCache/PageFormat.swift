// The layout of a page file: what stands before its rows and behind them. Values only; PageFile.swift reads and writes.
import Crypto
import Kernels
import Numerals

/// 128 random bits: the name of a page file, which is never used for other rows.
package struct PageID: Hashable, Sendable, CustomStringConvertible {
    let high: UInt64
    let low: UInt64

    init() {
        high = .random(in: .min ... .max)
        low = .random(in: .min ... .max)
    }

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// From 32 lower-case hexadecimal digits.
    package init?(_ text: some StringProtocol) {
        var bytes = ByteText(text.utf8)
        guard let high = bytes.hexadecimal(16), let low = bytes.hexadecimal(16), bytes.isAtEnd else {
            return nil
        }
        self.init(high: high, low: low)
    }

    package var description: String { high.hexadecimal + low.hexadecimal }
}

/// What is wrong with a file of the disk tier.
public enum FileDamage: Error, Sendable, Equatable {
    /// No file of that name.
    case missing
    /// Not such a file, or its first bytes are damaged.
    case notOurs
    /// Of a container version that a newer program writes.
    case newer(UInt32)
    /// Shorter or longer than it says.
    case length
    /// A header or trailer does not have its checksum.
    case frame
    /// The 64 KiB from this offset of the body on do not have their checksum.
    case block(Int)
    /// The body or a manifest does not have its digest.
    case digest
    /// It is whole, but of other rows, another sequence, or other numbers.
    case other
    /// A manifest's content contradicts itself.
    case content
    /// It could not be read in time.
    case late
    /// The system could not read it.
    case system(DiskError)
}

/// What stands before the rows of a page file. KVCache.docc/Format.md has the table.
package struct PageHeader: Equatable, Sendable {
    static let magic = Array("LARIATKV".utf8)
    static let version: UInt32 = 1
    package static let bytes = 4096
    package static let blockBytes = 64 << 10
    static let longestIdentity = bytes - 52 - 4

    let id: PageID
    let shape: KVShape
    let rows: Int
    let identity: String

    var bodyBytes: Int { rows * shape.tokenBytes }
    var blocks: Int { Self.blocks(of: bodyBytes) }
    var trailerBytes: Int { 4 * blocks + 32 + 4 }
    var fileBytes: Int { Self.bytes + bodyBytes + trailerBytes }

    /// Bytes of a file of so many rows.
    static func fileBytes(_ shape: KVShape, rows: Int) -> Int {
        PageHeader(id: PageID(high: 0, low: 0), shape: shape, rows: rows, identity: "").fileBytes
    }

    static func blocks(of bytes: Int) -> Int { (bytes + blockBytes - 1) / blockBytes }

    /// - Precondition: the identity has at most `longestIdentity` bytes.
    func encoded() -> [UInt8] {
        var out = Self.magic
        out.append(littleEndian: Self.version)
        out.append(littleEndian: id.high)
        out.append(littleEndian: id.low)
        out.append(littleEndian: UInt32(shape.layers))
        out.append(littleEndian: UInt32(shape.element == .f32 ? 0 : 1))
        out.append(littleEndian: UInt64(shape.rowBytes))
        out.append(littleEndian: UInt32(rows))
        out.append(littleEndian: UInt32(identity.utf8.count))
        out += identity.utf8
        precondition(out.count <= Self.bytes - 4, "an identity of \(identity.utf8.count) bytes")
        out += [UInt8](repeating: 0, count: Self.bytes - 4 - out.count)
        out.append(littleEndian: out.withUnsafeBytes { crc32c($0) })
        return out
    }

    /// Checks what a header says of itself, and that sizes can be counted.
    static func parse(_ bytes: [UInt8]) throws(FileDamage) -> PageHeader {
        guard bytes.count == Self.bytes else { throw .length }
        guard bytes.starts(with: magic) else { throw .notOurs }
        let version: UInt32 = bytes.littleEndian(at: 8)
        // Only the first twelve bytes are the same in all versions.
        guard version <= Self.version else { throw .newer(version) }
        guard version > 0 else { throw .notOurs }
        let sum = bytes.withUnsafeBytes { crc32c(UnsafeRawBufferPointer(rebasing: $0[..<(Self.bytes - 4)])) }
        guard sum == bytes.littleEndian(at: Self.bytes - 4) else { throw .frame }
        let layers: UInt32 = bytes.littleEndian(at: 28)
        let element: UInt32 = bytes.littleEndian(at: 32)
        let rowBytes: UInt64 = bytes.littleEndian(at: 36)
        let rows: UInt32 = bytes.littleEndian(at: 44)
        let length: UInt32 = bytes.littleEndian(at: 48)
        guard (1...65_536).contains(layers), (1...(1 << 24)).contains(rowBytes), element <= 1,
            (1...UInt32(KVPage.fullRows)).contains(rows), Int(length) <= longestIdentity,
            let identity = String(validating: bytes[52..<52 + Int(length)], as: UTF8.self)
        else { throw .content }
        let kind: KVElement = element == 0 ? .f32 : .bf16
        guard Int(rowBytes) % kind.bytes == 0 else { throw .content }
        return PageHeader(
            id: PageID(high: bytes.littleEndian(at: 12), low: bytes.littleEndian(at: 20)),
            shape: KVShape(layers: Int(layers), rowElements: Int(rowBytes) / kind.bytes, element: kind),
            rows: Int(rows), identity: identity)
    }
}

/// Sums over a body while it is written or read in pieces of any size.
struct BodySums {
    private(set) var blocks: [UInt32] = []
    private var hash = SHA256()
    private var block: UInt32 = 0
    private var filled = 0

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bufferPointer: bytes)
        var done = 0
        while done < bytes.count {
            let count = min(bytes.count - done, PageHeader.blockBytes - filled)
            block = crc32c(UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]), seed: block)
            filled += count
            done += count
            if filled == PageHeader.blockBytes { closeBlock() }
        }
    }

    private mutating func closeBlock() {
        blocks.append(block)
        (block, filled) = (0, 0)
    }

    /// Closes the last block, which may be shorter.
    mutating func finish() -> PageTrailer {
        if filled > 0 { closeBlock() }
        return PageTrailer(blocks: blocks, digest: Array(hash.finalize()))
    }
}

/// What stands behind a body.
struct PageTrailer: Equatable {
    let blocks: [UInt32]
    /// SHA-256 of the body.
    let digest: [UInt8]

    func encoded() -> [UInt8] {
        var out: [UInt8] = []
        for block in blocks { out.append(littleEndian: block) }
        out += digest
        out.append(littleEndian: out.withUnsafeBytes { crc32c($0) })
        return out
    }

    static func parse(_ bytes: [UInt8], blocks: Int) throws(FileDamage) -> PageTrailer {
        guard bytes.count == 4 * blocks + 36 else { throw .length }
        let sum = bytes.withUnsafeBytes { crc32c(UnsafeRawBufferPointer(rebasing: $0.dropLast(4))) }
        guard sum == bytes.littleEndian(at: bytes.count - 4) else { throw .frame }
        return PageTrailer(
            blocks: (0..<blocks).map { bytes.littleEndian(at: 4 * $0) },
            digest: Array(bytes[(4 * blocks)..<(4 * blocks + 32)]))
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// - Precondition: there are so many bytes.
    fileprivate func littleEndian<Value: FixedWidthInteger>(at offset: Int) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self)) }
    }
}
