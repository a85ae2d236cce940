// The keys that `lariat top` knows, from the bytes that a terminal sends. No I/O.

package enum Key: Sendable, Equatable {
    case quit, up, down, pageUp, pageDown, home, end
}

/// Bytes may come in any pieces; whatever is not a known key is passed over.
package struct KeyReader: Sendable {
    /// An escape sequence that is not complete.
    private var pending: [UInt8] = []
    /// Longer ones are none of ours.
    private static let longest = 8

    package init() {}

    package mutating func keys(_ bytes: some Sequence<UInt8>) -> [Key] { bytes.compactMap { take($0) } }

    private mutating func take(_ byte: UInt8) -> Key? {
        guard byte != 0x1b else {
            pending = [byte]
            return nil
        }
        guard !pending.isEmpty else { return letter(byte) }
        pending.append(byte)
        if pending.count == 2 {
            // ESC [ or ESC O begin a sequence; ESC with another key is that key.
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O") { return nil }
            pending = []
            return letter(byte)
        }
        // Parameters go on until a byte from @ to ~.
        guard (0x40...0x7e).contains(byte) || pending.count >= Self.longest else { return nil }
        defer { pending = [] }
        let parameters = Array(pending[2..<pending.count - 1])
        switch (byte, parameters) {
        case (UInt8(ascii: "A"), _): return .up
        case (UInt8(ascii: "B"), _): return .down
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), [UInt8(ascii: "1")]): return .home
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), [UInt8(ascii: "4")]): return .end
        case (UInt8(ascii: "~"), [UInt8(ascii: "5")]): return .pageUp
        case (UInt8(ascii: "~"), [UInt8(ascii: "6")]): return .pageDown
        default: return nil
        }
    }

    private func letter(_ byte: UInt8) -> Key? {
        switch byte {
        // Ctrl-C and Ctrl-D come as bytes where the terminal makes no signals of them.
        case UInt8(ascii: "q"), UInt8(ascii: "Q"), 0x03, 0x04: .quit
        case UInt8(ascii: "j"): .down
        case UInt8(ascii: "k"): .up
        case UInt8(ascii: "g"): .home
        case UInt8(ascii: "G"): .end
        case UInt8(ascii: " "): .pageDown
        default: nil
        }
    }
}
