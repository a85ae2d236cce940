// Prompts from arguments and files, in parts.

import Foundation
import RPC
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

    @Test(arguments: [true, false]) func textFollowsTheFileAfterABlankLine(prepare: Bool) async throws {
        try await withFile(Array("a text".utf8)) { path in
            let parts = try await parts(.file(path, then: "question?"), prepare: prepare)
            #expect(String(decoding: parts.flatMap(\.text), as: UTF8.self) == "a text\n\nquestion?")
        }
    }

    @Test func largeFilesTravelInPartsOfAMebibyte() async throws {
        let bytes = (0..<(2 << 20) + 17).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        try await withFile(bytes) { path in
            let parts = try await parts(.file(path, then: nil))
            #expect(parts.map(\.text.count) == [1 << 20, 1 << 20, 17])
            #expect(parts.flatMap(\.text) == bytes)
        }
        #expect(
            try await parts(.text(String(repeating: "é", count: 1 << 20))).map(\.text.count) == [
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

    @Test func emptyText() async throws {
        try await withFile([]) { path in
            let failure = await #expect(throws: Failure.self) { try await parts(.file(path, then: nil)) }
            #expect(failure?.exitCode == 66)
            // A question without a text is a prompt all the same.
            let question = try await parts(.file(path, then: "why?"))
            #expect(question.count == 1)
        }
        await #expect(throws: Failure.self) { try await parts(.text("")) }
    }

    @Test(arguments: [("/no/such/file", "no such file"), ("/tmp", "folder")])
    func unreadable(path: String, words: String) {
        let failure = #expect(throws: Failure.self) { try PromptInput(.file(path, then: nil)) }
        #expect(failure?.exitCode == 66)
        #expect(failure?.message.contains(words) == true)
    }

    @Test func tooLargeIsRefusedByItsSizeAlone() async throws {
        try await withFile([1]) { path in
            // A hole: takes no room on disk.
            try #require(truncate(path, (1 << 30) + 1) == 0)
            let failure = #expect(throws: Failure.self) { try PromptInput(.file(path, then: nil)) }
            #expect(failure?.exitCode == 66)
            #expect(failure?.message.contains("1,073,741,825 bytes") == true)
        }
    }
}
