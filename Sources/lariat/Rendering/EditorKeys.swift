// The keys of a line editor, from the bytes that a terminal sends. No I/O.

package enum EditorKey: Sendable, Equatable {
    /// What was typed, or pasted as a whole: lines may end in it with `\n`. Without control characters but that and tabs.
    case text(String)
    case enter
    /// A line end within the text.
    case newLine
    case left, right, wordLeft, wordRight, home, end, up, down
    case backspace, delete
    case killToEnd, killToStart, killWord, yank
    case clearScreen
    /// Ctrl-C, Ctrl-D and Ctrl-Z, which come as bytes where the terminal makes no signals of them.
    case interrupt, endOfInput, suspend
}

/// Bytes may come in any pieces; whatever is no known key is passed over.
package struct EditorKeyReader: Sendable {
    private enum State: Sendable {
        case ground
        /// ESC has come.
        case escape
        /// ESC [ or ESC O, and parameters.
        case sequence([UInt8])
        /// Behind ESC [ 2 0 0 ~, until ESC [ 2 0 1 ~.
        case paste([UInt8])
    }
    private var state = State.ground
    /// The beginning of a character in UTF-8.
    private var character: [UInt8] = []
    /// Of the text that is typed.
    private var typed = ""

    /// Longer sequences are none of ours.
    private static let longestSequence = 16
    private static let pasteEnd = Array("\u{1b}[201~".utf8)
    /// What is pasted beyond it is dropped.
    package static let longestPaste = 1 << 20

    package init() {}

    /// Characters that came together are one key.
    package mutating func keys(_ bytes: some Sequence<UInt8>) -> [EditorKey] {
        var keys: [EditorKey] = []
        func flush(_ typed: inout String) {
            if !typed.isEmpty { keys.append(.text(typed)) }
            typed = ""
        }
        for byte in bytes {
            guard let key = take(byte) else { continue }
            flush(&typed)
            keys.append(key)
        }
        flush(&typed)
        return keys
    }

    private mutating func take(_ byte: UInt8) -> EditorKey? {
        switch state {
        case .ground: return ground(byte)
        case .escape:
            state = .ground
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "O"):
                state = .sequence([])
                return nil
            case 0x1b:
                state = .escape
                return nil
            case UInt8(ascii: "b"), UInt8(ascii: "B"): return .wordLeft
            case UInt8(ascii: "f"), UInt8(ascii: "F"): return .wordRight
            case 0x0d, 0x0a: return .newLine
            case 0x7f, 0x08: return .killWord
            default: return nil
            }
        case .sequence(var parameters):
            // Parameters go on until a byte from @ to ~.
            guard (0x40...0x7e).contains(byte) else {
                parameters.append(byte)
                state = parameters.count < Self.longestSequence ? .sequence(parameters) : .ground
                return nil
            }
            state = .ground
            return sequence(byte, String(decoding: parameters, as: UTF8.self))
        case .paste(var bytes):
            state = .ground
            // The end's own bytes are kept, beyond the limit too.
            if bytes.count >= Self.longestPaste + Self.pasteEnd.count {
                bytes.remove(at: Self.longestPaste)
            }
            bytes.append(byte)
            guard byte == Self.pasteEnd[Self.pasteEnd.count - 1],
                bytes.suffix(Self.pasteEnd.count) == Self.pasteEnd[...]
            else {
                state = .paste(bytes)
                return nil
            }
            let text = Self.cleaned(bytes.dropLast(Self.pasteEnd.count))
            return text.isEmpty ? nil : .text(text)
        }
    }

    private mutating func ground(_ byte: UInt8) -> EditorKey? {
        if byte < 0x20 || byte == 0x7f { character = [] }
        switch byte {
        case 0x1b:
            state = .escape
            return nil
        case 0x01: return .home
        case 0x02: return .left
        case 0x03: return .interrupt
        case 0x04: return .endOfInput
        case 0x05: return .end
        case 0x06: return .right
        case 0x08, 0x7f: return .backspace
        case 0x0a, 0x0d: return .enter
        case 0x0b: return .killToEnd
        case 0x0c: return .clearScreen
        case 0x0e: return .down
        case 0x10: return .up
        case 0x15: return .killToStart
        case 0x17: return .killWord
        case 0x19: return .yank
        case 0x1a: return .suspend
        case 0x09: typed += "\t"
        case 0x00..<0x20: break
        default: letter(byte)
        }
        return nil
    }

    /// Bytes that are no UTF-8 are passed over.
    private mutating func letter(_ byte: UInt8) {
        if byte & 0xc0 != 0x80 { character = [] }
        character.append(byte)
        if let text = String(validating: character, as: UTF8.self) {
            typed += text.unicodeScalars.contains { $0.properties.generalCategory == .control } ? "" : text
            character = []
        } else if character.count >= 4 {
            character = []
        }
    }

    private mutating func sequence(_ final: UInt8, _ parameters: String) -> EditorKey? {
        let isWithModifier = parameters.contains(";")
        switch (Character(Unicode.Scalar(final)), parameters) {
        case ("A", _): return .up
        case ("B", _): return .down
        case ("C", _): return isWithModifier ? .wordRight : .right
        case ("D", _): return isWithModifier ? .wordLeft : .left
        case ("H", _), ("~", "1"), ("~", "7"): return .home
        case ("F", _), ("~", "4"), ("~", "8"): return .end
        case ("~", "3"): return .delete
        case ("~", "200"):
            state = .paste([])
            return nil
        default: return nil
        }
    }

    /// Line ends as `\n`, and no other control characters but tabs.
    private static func cleaned(_ bytes: some Collection<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
            .replacing("\r\n", with: "\n").replacing("\r", with: "\n")
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.filter {
                    $0 == "\n" || $0 == "\t" || $0.properties.generalCategory != .control
                }))
    }
}
