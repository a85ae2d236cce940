// Stop strings over the borders of pieces, against a search in the whole text.
import Foundation
import Sampling
import Testing

@Suite("Stop strings")
struct StopMatcherTests {
    static func run(_ stops: [String], _ pieces: [String]) -> (text: String, stopped: Bool) {
        var matcher = StopMatcher(stops: stops)
        var text = ""
        for piece in pieces { text += matcher.push(piece).emit }
        return (text + matcher.finish(), matcher.stopped)
    }

    @Test("Only what could begin a stop string is held back")
    func holdingBack() {
        var matcher = StopMatcher(stops: ["\nUser:", "</s>"])
        #expect(matcher.push("Hello <b>, ") == ("Hello <b>, ", false))
        #expect(matcher.push("bye <") == ("bye ", false))
        #expect(matcher.push("/") == ("", false))
        #expect(matcher.push("i>\nUs") == ("</i>", false))
        #expect(matcher.push("e\nUser") == ("\nUse", false))
        #expect(matcher.push(": more") == ("", true))
        #expect(matcher.push("more") == ("", true))
        #expect(matcher.finish() == "")
    }

    @Test("The end of the text releases what was held")
    func release() {
        var matcher = StopMatcher(stops: ["STOP"])
        #expect(matcher.push("a STO") == ("a ", false))
        #expect(matcher.finish() == "STO")
        #expect(matcher.finish() == "")
    }

    @Test("The first to be complete wins; of those that end together, the first to start")
    func earliest() {
        #expect(Self.run(["bc", "abcd"], ["xabcd"]) == ("xa", true))
        #expect(Self.run(["bcd", "abcd"], ["xabcd"]) == ("x", true))
        #expect(Self.run(["aab"], ["aaaab"]) == ("aa", true))
        #expect(Self.run(["", "b"], ["ab"]) == ("a", true))
        #expect(Self.run([], ["ab", "c"]) == ("abc", false))
    }

    @Test("Characters that share bytes with a stop string pass whole")
    func unicode() {
        #expect(Self.run(["é"], ["è", "e\u{301}", "é", "x"]) == ("èe\u{301}", true))
        #expect(Self.run(["🙂🙃"], ["a🙂", "🙂", "🙃"]) == ("a🙂", true))
        var matcher = StopMatcher(stops: ["🙂🙃"])
        #expect(matcher.push("a🙂") == ("a", false))
        #expect(matcher.push("🙄") == ("🙂🙄", false))
    }

    /// The same by definition: the earliest end, then the earliest start.
    static func reference(_ stops: [String], _ text: String) -> (text: String, stopped: Bool) {
        let bytes = Array(text.utf8)
        for end in 0...bytes.count {
            let lengths = stops.map { Array($0.utf8) }.filter {
                !$0.isEmpty && bytes[..<end].reversed().starts(with: $0.reversed())
            }
            .map(\.count)
            if let longest = lengths.max() {
                return (String(decoding: bytes[..<(end - longest)], as: UTF8.self), true)
            }
        }
        return (text, false)
    }

    @Test("Any text cut anywhere gives the text up to the earliest stop string", arguments: 0..<8)
    func property(seed: Int) {
        var generator = SplitMix64(seed: UInt64(seed))
        var stopped = 0
        for _ in 0..<300 {
            // A small alphabet makes overlaps and false starts common.
            let alphabet = ["a", "b", "ab", "é", "🙂", "c", "d", "e"]
            func word(_ lengths: ClosedRange<Int>) -> String {
                (0..<Int.random(in: lengths, using: &generator)).map { _ in
                    alphabet.randomElement(using: &generator) ?? ""
                }.joined()
            }
            let stops = (0..<Int.random(in: 0...4, using: &generator)).map { _ in word(1...5) }
            let text = word(0...60)
            var pieces: [String] = [""]
            for scalar in text.unicodeScalars {
                if Bool.random(using: &generator) { pieces.append("") }
                pieces[pieces.count - 1].unicodeScalars.append(scalar)
            }
            let expected = Self.reference(stops, text)
            let found = Self.run(stops, pieces)
            #expect(Array(found.text.utf8) == Array(expected.text.utf8) && found.stopped == expected.stopped)
            if found.stopped { stopped += 1 }
        }
        #expect((30..<300).contains(stopped), "both cases occur")
    }
}
