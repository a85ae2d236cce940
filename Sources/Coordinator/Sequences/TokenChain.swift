// What tells sequences of tokens from each other: a digest for each tile, which covers all tokens before it.
import Crypto
import Numerals
import RingAttention

/// 16 bytes of SHA-256.
package struct TileDigest: Sendable, Hashable {
    private let high: UInt64
    private let low: UInt64

    /// - Parameter bytes: 16 at least; later ones do not count.
    fileprivate init(_ bytes: some Sequence<UInt8>) {
        var (high, low) = (UInt64(0), UInt64(0))
        for (index, byte) in bytes.prefix(16).enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
        self.high = high
        self.low = low
    }

    /// The same from its 32 hexadecimal digits; nil for another text.
    package init?(_ hexadecimal: String) {
        guard hexadecimal.utf8.count == 32, let high = UInt64(hexadecimal.prefix(16), radix: 16),
            let low = UInt64(hexadecimal.suffix(16), radix: 16)
        else { return nil }
        self.high = high
        self.low = low
    }

    /// In 32 hexadecimal digits.
    package var hexadecimal: String { high.hexadecimal + low.hexadecimal }

    fileprivate var bytes: [UInt8] {
        (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? high : low) >> (56 - 8 * UInt64($0 % 8))) }
    }
}

/// The digests of a prompt's whole tiles: 16 bytes for 128 tokens.
///
/// Two chains with the same digest at a place have the same tokens up to the end of that tile, and the same root: all that
/// decides the bits of their keys and values, and whose they are.
package struct TokenChain: Sendable, Equatable {
    package private(set) var digests: [TileDigest]

    /// What keys and values depend on beside the tokens, and who may use them.
    package struct Root: Sendable {
        package var fingerprint: String
        package var precision: String
        /// The name of the token that the job came with.
        package var owner: String
        /// Of the rotary profile.
        package var profile: String

        package init(fingerprint: String, precision: String, owner: String, profile: String) {
            self.fingerprint = fingerprint
            self.precision = precision
            self.owner = owner
            self.profile = profile
        }
    }

    /// Takes a few milliseconds for a million tokens.
    package init(_ root: Root, tokens: some RandomAccessCollection<UInt32>) {
        var hash = SHA256()
        for part in [root.fingerprint, root.profile, root.precision, root.owner] {
            hash.update(data: [UInt8](part.utf8))
            hash.update(data: [0])
        }
        var parent = [UInt8](hash.finalize().prefix(16))
        digests = []
        digests.reserveCapacity(tokens.count / Layout.tileTokens)
        var start = tokens.startIndex
        var buffer = [UInt8](repeating: 0, count: 4 * Layout.tileTokens)
        for _ in 0..<tokens.count / Layout.tileTokens {
            let end = tokens.index(start, offsetBy: Layout.tileTokens)
            for (index, token) in tokens[start..<end].enumerated() {
                for byte in 0..<4 {
                    buffer[4 * index + byte] = UInt8(truncatingIfNeeded: token >> (8 * UInt32(byte)))
                }
            }
            var hash = SHA256()
            hash.update(data: parent)
            hash.update(data: buffer)
            let digest = TileDigest(hash.finalize())
            digests.append(digest)
            parent = digest.bytes
            start = end
        }
    }

    private init(_ digests: [TileDigest]) { self.digests = digests }

    /// As the journal has it: 16 bytes a tile. Nil for bytes that are no such list.
    package init?(encoded bytes: [UInt8]) {
        guard bytes.count.isMultiple(of: 16) else { return nil }
        digests = stride(from: 0, to: bytes.count, by: 16).map { TileDigest(bytes[$0..<$0 + 16]) }
    }

    package var encoded: [UInt8] { digests.flatMap(\.bytes) }

    /// Whole tiles.
    package var tiles: Int { digests.count }
    /// Tokens of the whole tiles.
    package var tokens: Int { tiles * Layout.tileTokens }

    /// The first so many tiles.
    package func prefix(_ tiles: Int) -> TokenChain { TokenChain(Array(digests.prefix(tiles))) }
}
