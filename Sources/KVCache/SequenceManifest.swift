// The manifest of a kept sequence: which pages it consists of, and what its rows are. Values only.
import Crypto
import Foundation
import Kernels
import Numerals
import RingAttention

/// What a manifest file says. The file is a line `lariat-kv-manifest 1 <crc32c> <bytes>`, in which the checksum is
/// eight hexadecimal digits and covers the bytes behind the line, and then this as JSON.
package struct SequenceManifest: Codable, Equatable, Sendable {
    /// A page of the sequence: one text `<id> <rows> <bytes of the file> <SHA-256 of its body>`.
    package struct Page: Codable, Equatable, Sendable {
        let id: PageID
        /// In the file: those that the sequence needs, or more.
        let rows: Int
        let fileBytes: Int
        let digest: [UInt8]

        /// Of its text in a list: 32, 4, 13 and 64 digits, and what stands between them.
        static let mostBytes = 32 + 4 + 13 + 64 + 6

        init(id: PageID, rows: Int, fileBytes: Int, digest: [UInt8]) {
            self.id = id
            self.rows = rows
            self.fileBytes = fileBytes
            self.digest = digest
        }

        package init(from decoder: any Decoder) throws {
            var text = ByteText(try decoder.singleValueContainer().decode(String.self).utf8)
            guard let high = text.hexadecimal(16), let low = text.hexadecimal(16), text.take(0x20),
                let rows = text.number(), text.take(0x20), let bytes = text.number(), text.take(0x20)
            else { throw FileDamage.content }
            var digest: [UInt8] = []
            for _ in 0..<32 {
                guard let byte = text.hexadecimal(2) else { throw FileDamage.content }
                digest.append(UInt8(byte))
            }
            guard text.isAtEnd else { throw FileDamage.content }
            self.init(id: PageID(high: high, low: low), rows: rows, fileBytes: bytes, digest: digest)
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode("\(id) \(rows) \(fileBytes) \(digest.hexadecimal)")
        }
    }

    let sequence: String
    /// What decides the bits of its rows, its rotary profile apart.
    let identity: String
    let profile: String
    let rank: Int
    let stripeTokens: Int
    let weights: [Int]
    /// Of the whole sequence.
    let tokens: Int
    /// Of this rank.
    let rows: Int
    /// Seconds since 1970.
    let lastUse: Int
    let pages: [Page]

    static let version = 1
    static let magic = "lariat-kv-manifest"
    static let fileSuffix = ".manifest"
    /// Longest file: a hundred thousand pages and some.
    package static let mostBytes = 16 << 20
    static let longestName = 256
    static let longestLine = 64

    /// The name of the file: names of sequences come from the network and may hold anything.
    package static func fileName(of sequence: String) -> String {
        SHA256.hash(data: Data(sequence.utf8)).hexadecimal + fileSuffix
    }

    /// The whole file; nil: it would be too long.
    package func encoded() -> [UInt8]? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts and whole numbers always have a form.
        guard let json = try? encoder.encode(self) else { return nil }
        let sum = json.withUnsafeBytes { crc32c($0) }
        let line =
            "\(Self.magic) \(Self.version) \(sum.hexadecimal) \(json.count)\n"
        guard line.utf8.count + json.count <= Self.mostBytes else { return nil }
        return Array(line.utf8) + json
    }

    /// Checks all that a manifest says of itself.
    package static func parse(_ bytes: [UInt8]) throws(FileDamage) -> SequenceManifest {
        guard let end = bytes.prefix(longestLine).firstIndex(of: 0x0a) else { throw .notOurs }
        var line = ByteText(bytes[..<end])
        for byte in magic.utf8 where !line.take(byte) { throw .notOurs }
        guard line.take(0x20), let version = line.number(), version > 0 else { throw .notOurs }
        guard version == Self.version else { throw .newer(UInt32(clamping: version)) }
        guard line.take(0x20), let sum = line.hexadecimal(8), line.take(0x20), let count = line.number(),
            line.isAtEnd
        else { throw .frame }
        let json = bytes[(end + 1)...]
        guard json.count == count else { throw .length }
        guard json.withUnsafeBytes({ UInt64(crc32c($0)) }) == sum else { throw .frame }
        guard let manifest = try? JSONDecoder().decode(SequenceManifest.self, from: Data(json)),
            manifest.isConsistent
        else { throw .content }
        return manifest
    }

    private var isConsistent: Bool {
        guard !sequence.isEmpty, sequence.utf8.count <= Self.longestName,
            identity.utf8.count + profile.utf8.count < PageHeader.longestIdentity,
            (0...Layout.maximumTokens).contains(tokens), (0...tokens).contains(rows),
            (0..<Layout.maximumRanks).contains(rank), weights.count <= Layout.maximumRanks,
            pages.count == KVSequence.pages(rows), Set(pages.map(\.id)).count == pages.count
        else { return false }
        return pages.enumerated().allSatisfy { index, page in
            let needed = min(KVPage.fullRows, rows - index * KVPage.fullRows)
            return (needed...KVPage.fullRows).contains(page.rows)
                && (PageHeader.bytes...(1 << 40)).contains(page.fileBytes)
        }
    }

    /// What a page's header must say of the numbers in it.
    static func pageIdentity(_ identity: String, profile: String) -> String { "\(identity)\n\(profile)" }

    /// What its rows are.
    /// - Throws: where there is no such layout, or it gives the rank other rows.
    func description() throws(FileDamage) -> SequenceDescription {
        guard let layout = try? Layout(stripeTokens: stripeTokens, weights: weights), rank < layout.ranks,
            layout.count(of: rank, in: tokens) == rows
        else { throw .content }
        return SequenceDescription(rank: rank, layout: layout, tokens: tokens, profile: profile)
    }
}
