// Whether bytes that come in pieces are text in UTF-8, and, where they are not, what they seem to be. No I/O.

/// Judges a text piece by piece.
package struct TextCheck: Sendable {
    /// What is wrong with a text.
    package struct Fault: Error, Equatable {
        /// Where, in bytes from the text's beginning.
        package let offset: UInt64
        /// `is a PDF`
        package let problem: String
        /// A command that makes text of it, with FILE for its name, or another way out.
        package let remedy: String
    }

    /// Bytes of whole characters so far.
    private var judged: UInt64 = 0
    /// The beginning of a character whose end is still to come: three bytes at most.
    private var begun: [UInt8] = []
    /// Whether anything but white space has come.
    package private(set) var hasInk = false

    package init() {}

    package mutating func feed(_ piece: [UInt8]) throws(Fault) {
        if judged == 0, begun.isEmpty, let known = Self.knownFormat(piece) { throw known }
        let bytes = begun.isEmpty ? piece : begun + piece
        if let zero = bytes.firstIndex(of: 0) {
            throw Fault(
                offset: judged + UInt64(zero), problem: "is a binary file, no text: it has a zero byte",
                remedy: "give its text instead; for UTF-16, iconv -f UTF-16 -t UTF-8 FILE")
        }
        var whole = bytes.count
        do throws(UTF8.ValidationError) {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            guard error.kind == .truncatedScalar, error.byteOffsets.upperBound == bytes.count else {
                throw Self.notUTF8(
                    bytes[error.byteOffsets.lowerBound], at: judged + UInt64(error.byteOffsets.lowerBound))
            }
            whole = error.byteOffsets.lowerBound
        }
        hasInk = hasInk || bytes.contains { !Self.isBlank($0) }
        judged += UInt64(whole)
        begun = Array(bytes[whole...])
    }

    /// After the last piece.
    package func finish() throws(Fault) {
        if let first = begun.first { throw Self.notUTF8(first, at: judged) }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    private static func notUTF8(_ byte: UInt8, at offset: UInt64) -> Fault {
        let hex = String(byte, radix: 16, uppercase: true)
        return Fault(
            offset: offset, problem: "is not UTF-8 text: the byte 0x\(hex.count < 2 ? "0" : "")\(hex)",
            remedy: "if it is Latin-1, iconv -f LATIN1 -t UTF-8 FILE makes UTF-8 of it")
    }

    /// Files that people take for texts, by their first bytes.
    private static func knownFormat(_ beginning: [UInt8]) -> Fault? {
        let formats: [(mark: [UInt8], problem: String, remedy: String)] = [
            (Array("%PDF-".utf8), "is a PDF, no text", "pdftotext FILE - makes text of it"),
            ([0xff, 0xfe], "is UTF-16 text, not UTF-8", "iconv -f UTF-16 -t UTF-8 FILE makes UTF-8 of it"),
            ([0xfe, 0xff], "is UTF-16 text, not UTF-8", "iconv -f UTF-16 -t UTF-8 FILE makes UTF-8 of it"),
            (
                Array("PK\u{3}\u{4}".utf8), "is a zip archive, as office documents and e-books are, no text",
                "save it as plain text; pandoc -t plain FILE does so for many"
            ),
            ([0x1f, 0x8b], "is compressed, no text", "gunzip -c FILE gives its content"),
            (Array("GGUF".utf8), "is a model file, no text", "give a text; models are for --model"),
            ([0x7f] + Array("ELF".utf8), "is a program, no text", "give a text"),
            ([0x89] + Array("PNG".utf8), "is a picture, no text", "give a text"),
            ([0xff, 0xd8, 0xff], "is a picture, no text", "give a text"),
        ]
        guard let format = formats.first(where: { beginning.starts(with: $0.mark) }) else { return nil }
        return Fault(offset: 0, problem: format.problem, remedy: format.remedy)
    }
}
