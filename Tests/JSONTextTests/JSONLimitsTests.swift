// JSON text from outside: what is refused before a parser sees it.

import Foundation
import JSONText
import Testing

@Suite struct JSONLimitsTests {
    private let limits = JSONLimits(depth: 4, values: 20)

    @Test(
        arguments: [
            "{}", "null", " [1, 2,\t3]\r\n", "[[[[]]]]", #"{"a":"[[[[[[,,,,,,,,,,,,,,,,,,,,,,,,,,"}"#,
            #"["\"","\\"]"#,
            #"["a,]"]"#, "\"\u{7f}é\u{2028}\"",
        ])
    func passes(text: String) throws {
        try limits.check(Array(text.utf8))
        _ = try JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed])
    }

    @Test(
        arguments: [
            ("[[[[[]]]]]", "deeper"), (#"{"a":{"a":{"a":{"a":{"a":1}}}}}"#, "deeper"),
            ("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", "more values"),
            (#"[{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}]"#, "more values"),
            ("[1,]", "comma"), (#"{"a":1, }"#, "comma"), (#"["a" , ]"#, "comma"),
            ("[\"a\u{0}b\"]", "control"),
            ("[1\u{0}]", "control"), ("\"a\nb\"", "control"), ("\u{b}1", "control"),
        ])
    func refuses(text: String, words: String) {
        let fault = #expect(throws: JSONFault.self) { try limits.check(Array(text.utf8)) }
        #expect(fault?.description.contains(words) == true)
    }

    /// Foundation takes these for JSON too, and would read other text than the check did.
    @Test(arguments: [
        String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf32LittleEndian, .utf32BigEndian,
    ])
    func refusesOtherEncodings(encoding: String.Encoding) throws {
        let data = try #require(#"{"a":1}"#.data(using: encoding))
        _ = try JSONSerialization.jsonObject(with: data)
        #expect(throws: JSONFault.self) { try limits.check(Array(data)) }
    }

    /// However deep it goes: in constant memory, without recursion.
    @Test func manyBrackets() {
        let many = JSONLimits(depth: 100, values: .max)
        for byte in "[{" {
            let text = String(repeating: byte, count: 1_000_000)
            #expect(throws: JSONFault.self) { try many.check(Array(text.utf8)) }
        }
        let closing = [UInt8](repeating: UInt8(ascii: "]"), count: 1_000_000)
        #expect(throws: Never.self) { try many.check(closing) }
    }
}
