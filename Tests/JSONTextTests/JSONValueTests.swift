// JSON text: read back by another parser.

import Foundation
import JSONText
import Testing

@Suite struct JSONValueTests {
    private func parsed(_ value: JSONValue) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(value.text.utf8), options: [.fragmentsAllowed])
    }

    @Test func isReadBack() throws {
        let text = "quote \" backslash \\ line\nend \u{1} \u{85} \u{2028} é 𝄞"
        let value = JSONValue.object([
            ("b", .array([.integer(-1), .unsigned(.max), .bool(true), .null])), ("a", .string(text)),
            ("n", .number(0.1)),
        ])
        let object = try #require(try parsed(value) as? [String: Any])
        #expect(object["a"] as? String == text)
        #expect(object["n"] as? Double == 0.1)
        #expect((object["b"] as? [Any])?.count == 4)
        #expect(value.text.hasPrefix(#"{"b":[-1,18446744073709551615,true,null],"a":"#))
        #expect(!value.text.contains("\n"))
    }

    @Test(
        arguments: [
            (0, "0"), (-0.5, "-0.5"), (3, "3"), (1e-9, "1e-09"), (1e300, "1e+300"), (.nan, "null"),
            (.infinity, "null"),
        ] as [(Double, String)])
    func numbers(value: Double, text: String) { #expect(JSONValue.number(value).text == text) }

    @Test func floatsKeepTheirShortForm() { #expect(JSONValue.float(0.1).text == "0.1") }

    /// Also for those who read line by line: what ends a line anywhere is escaped.
    @Test(arguments: ["\n", "\r", "\u{b}", "\u{1c}", "\u{85}", "\u{2028}", "\u{2029}"])
    func isOneLine(separator: String) {
        let text = JSONValue.string("a\(separator)b").text
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.isASCII })
    }
}
