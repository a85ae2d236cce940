// A look at a YAML text before the parser sees it. The parser recurses as deep as the text nests and hashes aliased
// trees again and again, so a hostile text could end the process; a specification needs neither. So: the part of YAML
// that specifications use is let through, and the rest is refused by line, before memory is spent on it.

import Numerals

/// Refuses what a cluster specification has no use for: anchors, aliases, tags, block scalars, directives, explicit keys,
/// values over several lines, deep nesting, control characters.
struct YAMLScreen {
    /// Brackets inside brackets.
    static let deepestBrackets = 8
    /// Where a line's first key or value may stand at the latest; bounds nesting by indentation.
    static let deepestColumn = 40
    static let longestLine = 4096

    let path: String
    private var line = 1
    private var brackets = 0
    /// Inside brackets, whether the last line ended in the middle of a value.
    private var isValueOpen = false

    init(path: String) { self.path = path }

    mutating func check(_ text: String) throws(ClusterError) {
        try checkScalars(text)
        for bytes in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false) {
            var content = Array(bytes)
            if content.last == UInt8(ascii: "\r") { content.removeLast() }
            try check(content)
            line += 1
        }
    }

    private func fail(_ problem: String) -> ClusterError {
        ClusterError(path: path, line: line, key: nil, problem: problem)
    }

    /// The parser takes more characters for line ends than editors do; without them, its line numbers are theirs.
    private func checkScalars(_ text: String) throws(ClusterError) {
        var line = 1
        var previous: Unicode.Scalar = " "
        for scalar in text.unicodeScalars {
            if previous == "\r", scalar != "\n" {
                throw ClusterError(
                    path: path, line: line, key: nil,
                    problem: "a carriage return without a line feed; end lines with \\n")
            }
            switch scalar.value {
            case 0x0a: line += 1
            case 0x09, 0x0d, 0x20...0x7e, 0xa0...0x2027, 0x202a...0xd7ff, 0xe000...0xfefe, 0xff00...0xfffd,
                0x10000...0x10ffff:
                break
            default:
                throw ClusterError(
                    path: path, line: line, key: nil,
                    problem:
                        "the character U+\(String(scalar.value, radix: 16, uppercase: true)) may not be used here; "
                        + "write plain text")
            }
            previous = scalar
        }
        if previous == "\r" {
            throw ClusterError(
                path: path, line: line, key: nil,
                problem: "a carriage return without a line feed; end lines with \\n")
        }
    }

    private mutating func check(_ bytes: [UInt8]) throws(ClusterError) {
        guard bytes.count <= Self.longestLine else {
            throw fail(
                "the line has \(bytes.count.grouped) bytes; at most \(Self.longestLine.grouped) are allowed")
        }
        if bytes.first == UInt8(ascii: "%") {
            throw fail("directives (%) are not supported; remove the line")
        }
        if bytes.starts(with: "---".utf8) || bytes.starts(with: "...".utf8) {
            guard bytes.count == 3, bytes[0] == UInt8(ascii: "-") else {
                throw fail("a line that starts with --- or ... may hold nothing but ---")
            }
            return
        }
        var at = 0
        var isLineStart = true
        while let token = try nextToken(bytes, &at) {
            if isLineStart {
                isLineStart = false
                guard token < Self.deepestColumn else {
                    throw fail("indented by \(token) columns; at most \(Self.deepestColumn) are allowed")
                }
                if isValueOpen, !",]}".utf8.contains(bytes[token]) {
                    throw fail(
                        "the value of the line before has no comma or bracket after it; values may not run over "
                            + "several lines")
                }
            }
            isValueOpen = false
            try checkToken(bytes, at: token, &at)
        }
    }

    /// The place of the next token, or nil at the end of the line or at a comment. Blanks before it are skipped.
    private func nextToken(_ bytes: [UInt8], _ at: inout Int) throws(ClusterError) -> Int? {
        let start = at
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 {
            if start == 0, bytes[at] == 0x09, brackets == 0 {
                // A blank line may hold tabs.
                guard bytes[at...].allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else {
                    throw fail("a tab in the indentation; indent with spaces")
                }
            }
            at += 1
        }
        guard at < bytes.count else { return nil }
        return bytes[at] == UInt8(ascii: "#") ? nil : at
    }

    private mutating func checkToken(_ bytes: [UInt8], at start: Int, _ at: inout Int) throws(ClusterError) {
        let byte = bytes[start]
        let next = start + 1 < bytes.count ? bytes[start + 1] : 0x20
        at = start + 1
        switch byte {
        case UInt8(ascii: "&"): throw fail("anchors (&) are not supported; write the value out")
        case UInt8(ascii: "*"):
            throw fail("aliases (*) are not supported; write the value out, or put it in quotes")
        case UInt8(ascii: "!"):
            throw fail("tags (!) are not supported; remove the tag, or put the value in quotes")
        case UInt8(ascii: "|"), UInt8(ascii: ">"):
            throw fail("values over several lines (| and >) are not supported; write the value on one line")
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            brackets += 1
            guard brackets <= Self.deepestBrackets else {
                throw fail("brackets are nested more than \(Self.deepestBrackets) deep")
            }
        case UInt8(ascii: "]"), UInt8(ascii: "}"): brackets = max(0, brackets - 1)
        case UInt8(ascii: ","): break
        case UInt8(ascii: "\""), UInt8(ascii: "'"): try skipQuoted(bytes, quote: byte, &at)
        case UInt8(ascii: "?") where next == 0x20 || next == 0x09 || brackets > 0:
            throw fail("explicit keys (?) are not supported; write key: value")
        case UInt8(ascii: "-") where next == 0x20 || next == 0x09:
            guard start < Self.deepestColumn else {
                throw fail(
                    "a list item starts in column \(start + 1); at most \(Self.deepestColumn) are allowed")
            }
        case UInt8(ascii: ":") where next == 0x20 || next == 0x09 || brackets > 0: break
        default: skipPlain(bytes, &at)
        }
    }

    private func skipQuoted(_ bytes: [UInt8], quote: UInt8, _ at: inout Int) throws(ClusterError) {
        while at < bytes.count {
            if quote == UInt8(ascii: "\""), bytes[at] == UInt8(ascii: "\\") {
                at += 2
            } else if bytes[at] != quote {
                at += 1
            } else if quote == UInt8(ascii: "'"), at + 1 < bytes.count, bytes[at + 1] == quote {
                at += 2
            } else {
                at += 1
                return
            }
        }
        throw fail("a quote is not closed on its line")
    }

    /// To the end of an unquoted value or key.
    private mutating func skipPlain(_ bytes: [UInt8], _ at: inout Int) {
        while at < bytes.count {
            let byte = bytes[at]
            let next = at + 1 < bytes.count ? bytes[at + 1] : 0x20
            if byte == UInt8(ascii: ":"),
                next == 0x20 || next == 0x09 || (brackets > 0 && ",[]{}".utf8.contains(next))
            {
                return
            }
            if byte == UInt8(ascii: "#"), bytes[at - 1] == 0x20 || bytes[at - 1] == 0x09 { break }
            if brackets > 0, ",[]{}".utf8.contains(byte) { return }
            at += 1
        }
        if at < bytes.count { at = bytes.count }
        isValueOpen = brackets > 0
    }
}
