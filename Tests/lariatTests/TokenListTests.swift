// Token ids from text.

import Testing
import lariat

@Suite struct TokenListTests {
    private func ids(_ text: String, piece: Int) throws -> [UInt32] {
        var parser = TokenListParser()
        let bytes = Array(text.utf8)
        var ids: [UInt32] = []
        for start in stride(from: 0, to: bytes.count, by: piece) {
            ids += try parser.feed(bytes[start..<min(start + piece, bytes.count)])
        }
        return ids + parser.finish()
    }

    /// Wherever the pieces are cut, the ids are the same.
    @Test(arguments: [1, 2, 3, 1000]) func pieces(piece: Int) throws {
        #expect(
            try ids("1 22,333\r\n4444,\t0\n\n4294967295", piece: piece) == [
                1, 22, 333, 4444, 0, 4_294_967_295,
            ])
        #expect(try ids("", piece: piece) == [])
        #expect(try ids(" \n,", piece: piece) == [])
    }

    @Test(arguments: [
        ("1\n2\n-3", 3, "\"-\""), ("1 x", 1, "\"x\""), ("4294967296", 1, "above 4294967295"),
        ("1\n99999999999999999999999999", 2, "above"), ("1 \u{1b}", 1, "0x1b"),
    ])
    func refused(text: String, line: Int, words: String) {
        let error = #expect(throws: TokenListParser.ParseError.self) { try ids(text, piece: 2) }
        #expect(error?.line == line)
        #expect(error?.problem.contains(words) == true)
    }
}
