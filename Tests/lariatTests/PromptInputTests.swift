// Prompts from arguments, files and standard input, in parts.

import Foundation
import Messages
import Protobuf
import Testing
import lariat

@Suite struct PromptInputTests {
    /// A file that is there while `body` runs.
    private func withFile<T>(_ bytes: [UInt8], _ body: (String) async throws -> T) async throws -> T {
        let path = FileManager.default.temporaryDirectory.appending(path: "lariat-\(UUID().uuidString)").path
        try Data(bytes).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    private func parts(_ source: PromptInput.Source, prepare: Bool = true) async throws -> [SubmitPart] {
        let input = try PromptInput(source)
        if prepare { try await input.prepare() }
        var parts: [SubmitPart] = []
        while let part = try await input.next() { parts.append(part) }
        return parts
    }

    private func text(_ pieces: PromptInput.Piece..., prepare: Bool = true) async throws -> String {
        String(decoding: try await parts(.text(pieces), prepare: prepare).flatMap(\.text), as: UTF8.self)
    }

    @Test(arguments: [true, false]) func piecesAreJoinedInOrder(prepare: Bool) async throws {
        try await withFile(Array("a text".utf8)) { first in
            try await withFile(Array("another\n".utf8)) { second in
                try await withFile([]) { empty in
                    let joined = try await text(
                        .file(first), .file(empty), .file(second), .text("question?"), prepare: prepare)
                    #expect(joined == "a text\n\nanother\n\nquestion?")
                    let question = try await text(.file(empty), .text("why?"), prepare: prepare)
                    #expect(question == "why?")
                }
            }
        }
    }

    /// One blank line, however the piece before it ends.
    @Test(arguments: [("a", "a\n\nb"), ("a\n", "a\n\nb"), ("a\n\n", "a\n\nb"), ("a\n\n\n", "a\n\n\nb")])
    func oneBlankLine(before: String, joined: String) async throws {
        let found = try await withFile(Array(before.utf8)) { try await text(.file($0), .text("b")) }
        #expect(found == joined)
    }

    @Test func largeFilesTravelInPartsOfAMebibyte() async throws {
        // Characters of three bytes are cut by the parts.
        let bytes = Array(String(repeating: "€", count: (2 << 20) / 3 + 10).utf8)
        try await withFile(bytes) { path in
            let parts = try await parts(.text([.file(path)]))
            #expect(parts.map(\.text.count) == [1 << 20, 1 << 20, bytes.count - (2 << 20)])
            #expect(parts.flatMap(\.text) == bytes)
        }
        #expect(
            try await parts(.text([.text(String(repeating: "é", count: 1 << 20))])).map(\.text.count) == [
                1 << 20, 1 << 20,
            ])
    }

    @Test func tokensTravelInParts() async throws {
        let ids = (0..<450_000 as Range<UInt32>).map { $0 }
        let text = ids.map(String.init).joined(separator: " ")
        try await withFile(Array(text.utf8)) { path in
            let parts = try await parts(.tokens(file: path))
            #expect(parts.map(\.tokens.count) == [200_000, 200_000, 50_000])
            #expect(parts.flatMap(\.tokens) == ids)
            for part in parts { #expect(try part.encoded().count <= 1 << 20) }
        }
    }

    /// Each is told before anybody is asked, with exit code 66.
    @Test(arguments: ["", " \n", "1 2 x"]) func badTokens(text: String) async throws {
        try await withFile(Array(text.utf8)) { path in
            let failure = await #expect(throws: Failure.self) {
                try await PromptInput(.tokens(file: path)).prepare()
            }
            #expect(failure?.exitCode == 66)
        }
    }

    @Test(arguments: ["", " ", "\n\t \n"]) func nothingToRead(text: String) async throws {
        try await withFile(Array(text.utf8)) { path in
            for piece in [PromptInput.Piece.file(path), .text(text)] {
                let failure = await #expect(throws: Failure.self) { try await parts(.text([piece])) }
                #expect(failure?.exitCode == 66)
                #expect(failure?.message.contains(text.isEmpty ? "empty" : "white space") == true)
            }
        }
    }

    /// Told with the file, the byte and what makes text of it.
    @Test(arguments: [
        ([0x61, 0x62, 0xe9, 0x0a], ["at byte 2", "0xE9", "iconv -f LATIN1 -t UTF-8"]),
        (Array("%PDF-1.7\n".utf8), ["is a PDF", "pdftotext"]),
        ([0xff, 0xfe, 0x61, 0x00], ["UTF-16", "iconv -f UTF-16"]),
        (Array("text\0more".utf8), ["binary", "at byte 4"]),
        ([0x1f, 0x8b, 0x08], ["compressed", "gunzip"]), (Array("PK\u{3}\u{4}".utf8), ["zip"]),
        // The beginning of a character whose end never comes, and the end of one that never began.
        ([0x61, 0xe2, 0x82], ["at byte 1", "0xE2"]), ([0x80], ["at byte 0"]),
        ([0xc0, 0xaf], ["at byte 0"]), ([0xed, 0xa0, 0x80], ["at byte 0"]),
    ])
    func noText(bytes: [UInt8], words: [String]) async throws {
        try await withFile(bytes) { path in
            // A good file before it does not hide it, nor count into its bytes.
            for pieces in [[.file(path)], [.text("before"), .file(path)]] as [[PromptInput.Piece]] {
                let failure = await #expect(throws: Failure.self) { try await parts(.text(pieces)) }
                #expect(failure?.exitCode == 66)
                for word in words + [path] { #expect(failure?.message.contains(word) == true, "\(word)") }
            }
        }
    }

    /// A fault behind the first part is placed in the whole file.
    @Test func theByteIsCountedFromTheBeginning() throws {
        var check = TextCheck()
        try check.feed(Array(repeating: 0x61, count: 1000) + [0xe2])
        try check.feed([0x82])
        try check.feed([0xac, 0x61])
        #expect(throws: TextCheck.Fault.self) { try check.feed([0xff]) }
        do { try check.feed([0xff]) } catch { #expect(error.offset == 1004) }
    }

    @Test(arguments: [("/no/such/file", "no such file"), ("/tmp", "folder")])
    func unreadable(path: String, words: String) {
        let failure = #expect(throws: Failure.self) { try PromptInput(.text([.file(path)])) }
        #expect(failure?.exitCode == 66)
        #expect(failure?.message.contains(words) == true)
    }

    @Test func tooLargeIsRefusedByItsSizeAlone() async throws {
        try await withFile([1]) { path in
            // A hole: takes no room on disk.
            try #require(truncate(path, (1 << 30) + 1) == 0)
            let failure = #expect(throws: Failure.self) { try PromptInput(.text([.file(path)])) }
            #expect(failure?.exitCode == 66)
            #expect(failure?.message.contains("1,073,741,825 bytes") == true)
        }
    }

    @Test func standardInputIsKnownWithoutReadingIt() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        #expect(StandardInput.of(ends[0]) == .stream)
        let null = open("/dev/null", O_RDONLY)
        #expect(StandardInput.of(null) == .device)
        let file = open("/proc/self/exe", O_RDONLY)
        #expect(StandardInput.of(file) == .file)
        lseek(file, 10, SEEK_SET)
        #expect(StandardInput.of(file) == .partlyReadFile)
        for descriptor in ends + [null, file] { close(descriptor) }
        #expect(StandardInput.of(file) == .closed)
    }
}
