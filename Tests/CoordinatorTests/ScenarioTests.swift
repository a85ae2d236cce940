// Whole stories of a cluster as texts: inputs, and the effects that the scheduler gave. `Scenarios/*.txt` holds them.
import Foundation
import Testing

/// A file is a list of steps with empty lines between them: commands, a line of four dashes, and what they led to.
/// Lines that begin with # are comments. `ScenarioPlayer` knows the commands.
///
/// With LARIAT_REWRITE_SCENARIOS=1 in the environment the files are written anew with what came out: read the
/// difference before it is committed.
@Suite struct ScenarioTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Scenarios")

    static let names: [String] =
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?
        .filter { $0.hasSuffix(".txt") }.sorted() ?? []

    @Test func thereAreScenarios() { #expect(Self.names.count >= 25) }

    @Test(arguments: names) func goesAsWritten(_ name: String) throws {
        let url = Self.folder.appendingPathComponent(name)
        let written = try String(contentsOf: url, encoding: .utf8)
        let played = try Scenario(written).play()
        if ProcessInfo.processInfo.environment["LARIAT_REWRITE_SCENARIOS"] == "1" {
            try played.write(to: url, atomically: true, encoding: .utf8)
        }
        #expect(played == written, "\(name):\n\(difference(written, played))")
    }

    /// The same inputs lead to the same effects, whatever order a dictionary has in this process.
    @Test(arguments: names) func goesTheSameAgain(_ name: String) throws {
        let text = try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8)
        let first = try Scenario(text).play()
        for _ in 0..<3 { #expect(try Scenario(text).play() == first) }
    }

    /// Lines that went (-), came (+) and stayed, of the latter only those near by.
    private func difference(_ old: String, _ new: String) -> String {
        let (before, after) = (old.components(separatedBy: "\n"), new.components(separatedBy: "\n"))
        let changes = after.difference(from: before)
        var marks: [(line: Int, text: String)] = []
        for change in changes {
            switch change {
            case .remove(let offset, let line, _): marks.append((offset + 1, "- \(offset + 1): \(line)"))
            case .insert(let offset, let line, _): marks.append((offset + 1, "+ \(offset + 1): \(line)"))
            }
        }
        return marks.sorted { ($0.line, $0.text) < ($1.line, $1.text) }.map(\.text).joined(separator: "\n")
    }
}

/// A scenario's text, taken apart.
struct Scenario {
    private enum Part {
        case comment(String)
        case step(commands: [String])
    }
    private var parts: [Part] = []

    init(_ text: String) {
        var commands: [String] = []
        var skipsResult = false
        func isComment(_ line: String) -> Bool { line.hasPrefix("#") }
        for line in text.components(separatedBy: "\n") + [""] {
            if line.isEmpty {
                if !commands.isEmpty { parts.append(.step(commands: commands)) }
                commands = []
                skipsResult = false
            } else if line == "----" {
                skipsResult = true
            } else if !skipsResult, commands.isEmpty, isComment(line) {
                parts.append(.comment(line))
            } else if !skipsResult {
                commands.append(line)
            }
        }
    }

    /// The same text with what comes out now.
    func play() throws -> String {
        var player = ScenarioPlayer()
        var text = ""
        var lastWasComment = true
        for part in parts {
            switch part {
            case .comment(let line):
                if !lastWasComment { text += "\n" }
                text += line + "\n"
                lastWasComment = true
            case .step(let commands):
                if !lastWasComment { text += "\n" }
                var lines: [String] = []
                for command in commands { lines += try player.perform(command) }
                text += (commands + ["----"] + lines).joined(separator: "\n") + "\n"
                lastWasComment = false
            }
        }
        return text
    }
}
