// From a template's text to tokens, with Jinja's rules for white space as chat templates have them set: trim_blocks and
// lstrip_blocks are on, keep_trailing_newline is off.

import Numerals

struct Token: Equatable {
    enum Kind: Equatable {
        /// Text that stands for itself.
        case data([UInt8])
        case variableBegin
        case variableEnd
        case blockBegin
        case blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case number(Double)
        case symbol(String)
        case end
    }

    var kind: Kind
    var line: Int
}

struct Lexer {
    private let source: [UInt8]
    private var at = 0
    private var line = 1
    private var tokens: [Token] = []

    static func tokens(of text: String) throws(JinjaError) -> [Token] {
        guard text.utf8.count <= JinjaLimits.longestTemplate else {
            throw JinjaError(
                .limit, line: 1,
                "the template has \(text.utf8.count.grouped) bytes; \(JinjaLimits.longestTemplate.grouped) are possible"
            )
        }
        var lexer = Lexer(text)
        while lexer.at < lexer.source.count { try lexer.lexText() }
        lexer.add(.end)
        return lexer.tokens
    }

    private init(_ text: String) {
        var source: [UInt8] = []
        var previous: UInt8 = 0
        for byte in text.utf8 {
            if byte == 0x0A, previous == 0x0D {
                previous = byte
                continue
            }
            source.append(byte == 0x0D ? 0x0A : byte)
            previous = byte
        }
        if source.last == 0x0A { source.removeLast() }
        self.source = source
    }

    private mutating func add(_ kind: Token.Kind) { tokens.append(Token(kind: kind, line: line)) }

    private func fail(_ problem: String) -> JinjaError { JinjaError(.syntax, line: line, problem) }

    private func has(_ text: String, at place: Int) -> Bool {
        source[min(place, source.count)...].starts(with: text.utf8)
    }

    private mutating func move(to place: Int) {
        while at < place {
            if source[at] == 0x0A { line += 1 }
            at += 1
        }
    }

    private mutating func skipBlanks() {
        while at < source.count, isBlank(at) { move(to: at + 1) }
    }

    private func isBlank(_ place: Int) -> Bool {
        source[place] == 0x20 || (0x09...0x0D).contains(source[place])
    }

    // MARK: text

    private func nextTag(from start: Int) -> Int? {
        var place = start
        while place + 1 < source.count {
            if source[place] == UInt8(ascii: "{"),
                [UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#")].contains(source[place + 1])
            {
                return place
            }
            place += 1
        }
        return nil
    }

    /// Text up to the next tag, and the tag.
    private mutating func lexText() throws(JinjaError) {
        guard let tag = nextTag(from: at) else {
            addData(source[at...])
            move(to: source.count)
            return
        }
        let kind = source[tag + 1]
        addText(upTo: tag, isVariable: kind == UInt8(ascii: "{"))
        move(to: tag + 2)
        if has("-", at: at) || has("+", at: at) { move(to: at + 1) }
        switch kind {
        case UInt8(ascii: "#"): try skipComment()
        case UInt8(ascii: "{"):
            add(.variableBegin)
            try lexExpression(end: "}}", as: .variableEnd)
        default:
            if let end = rawBegin() {
                move(to: end)
                try lexRaw()
            } else {
                add(.blockBegin)
                try lexExpression(end: "%}", as: .blockEnd)
            }
        }
    }

    private mutating func addData(_ data: ArraySlice<UInt8>) {
        if !data.isEmpty { add(.data(Array(data))) }
    }

    /// The text from here up to a tag, less the white space that the tag takes away.
    private mutating func addText(upTo tag: Int, isVariable: Bool) {
        var end = tag
        let sign = tag + 2 < source.count ? source[tag + 2] : 0
        if sign == UInt8(ascii: "-") {
            while end > at, isBlank(end - 1) { end -= 1 }
        } else if sign != UInt8(ascii: "+"), !isVariable {
            var start = end
            while start > at, isBlank(start - 1), source[start - 1] != 0x0A { start -= 1 }
            if start == 0 || source[start - 1] == 0x0A { end = start }
        }
        addData(source[at..<end])
    }

    private mutating func skipComment() throws(JinjaError) {
        var end = at
        while end < source.count, !has("#}", at: end) { end += 1 }
        guard end < source.count else { throw fail("a comment is never closed with #}") }
        let sign = end > at ? source[end - 1] : 0
        move(to: end + 2)
        endTag(sign)
    }

    /// What a tag's end takes away behind it.
    private mutating func endTag(_ sign: UInt8) {
        if sign == UInt8(ascii: "-") {
            skipBlanks()
        } else if sign != UInt8(ascii: "+"), at < source.count, source[at] == 0x0A {
            move(to: at + 1)
        }
    }

    /// The end of a `raw` tag that begins here.
    private func rawBegin() -> Int? { tagEnd("raw", from: at) }

    private func tagEnd(_ name: String, from start: Int) -> Int? {
        var place = start
        while place < source.count, isBlank(place) { place += 1 }
        guard has(name, at: place) else { return nil }
        place += name.utf8.count
        while place < source.count, isBlank(place) { place += 1 }
        if has("-%}", at: place) {
            place += 3
            while place < source.count, isBlank(place) { place += 1 }
            return place
        }
        if has("+%}", at: place) { return place + 3 }
        return has("%}", at: place) ? place + 2 : nil
    }

    private mutating func lexRaw() throws(JinjaError) {
        var tag = at
        while tag < source.count {
            if has("{%", at: tag) {
                let signed = has("-", at: tag + 2) || has("+", at: tag + 2)
                if let end = tagEnd("endraw", from: tag + (signed ? 3 : 2)) {
                    addText(upTo: tag, isVariable: false)
                    move(to: end)
                    if source[end - 1] == UInt8(ascii: "}"), !has("+%}", at: end - 3) { endTag(0) }
                    return
                }
            }
            tag += 1
        }
        throw fail("a raw block is never closed with {% endraw %}")
    }

    // MARK: expressions

    private mutating func lexExpression(end: String, as kind: Token.Kind) throws(JinjaError) {
        var open: [UInt8] = []
        while true {
            skipBlanks()
            guard at < source.count else { throw fail("a tag is never closed with \(end)") }
            if open.isEmpty {
                if has(end, at: at) || has("-" + end, at: at) || (kind == .blockEnd && has("+" + end, at: at))
                {
                    let sign = source[at]
                    add(kind)
                    move(to: at + (has(end, at: at) ? 2 : 3))
                    if kind == .blockEnd || sign == UInt8(ascii: "-") { endTag(sign) }
                    return
                }
            }
            let byte = source[at]
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""): try lexString(byte)
            case UInt8(ascii: "0")...UInt8(ascii: "9"): try lexNumber()
            case _ where isNameByte(byte): lexName()
            default: try lexSymbol(&open)
            }
        }
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "_") || byte >= 0x80
    }
    private func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private mutating func lexName() {
        var end = at
        while end < source.count, isNameByte(source[end]) { end += 1 }
        add(.name(String(decoding: source[at..<end], as: UTF8.self)))
        move(to: end)
    }

    private mutating func lexNumber() throws(JinjaError) {
        func digits(from start: Int) -> Int {
            var end = start
            while end < source.count, isDigit(source[end]) || source[end] == UInt8(ascii: "_") { end += 1 }
            return end
        }
        var end = digits(from: at)
        var isInteger = true
        if has(".", at: end), end + 1 < source.count, isDigit(source[end + 1]) {
            end = digits(from: end + 1)
            isInteger = false
        }
        if end < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
            let sign = has("+", at: end + 1) || has("-", at: end + 1) ? 1 : 0
            if end + 1 + sign < source.count, isDigit(source[end + 1 + sign]) {
                end = digits(from: end + 1 + sign)
                isInteger = false
            }
        }
        let text = String(decoding: source[at..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        if isInteger, let value = Int(text) {
            add(.integer(value))
        } else if !isInteger, let value = Double(text) {
            add(.number(value))
        } else {
            throw fail("the number \(text.prefix(40)) is too large")
        }
        move(to: end)
    }

    private static let symbols = [
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">",
        "<",
        "=", ".", ":", "|", ",", ";",
    ]

    private mutating func lexSymbol(_ open: inout [UInt8]) throws(JinjaError) {
        guard let symbol = Self.symbols.first(where: { has($0, at: at) }) else {
            throw fail(
                "the character \(String(decoding: [source[at]], as: UTF8.self)) has no meaning in a tag")
        }
        switch symbol {
        case "(": open.append(UInt8(ascii: ")"))
        case "[": open.append(UInt8(ascii: "]"))
        case "{": open.append(UInt8(ascii: "}"))
        case ")", "]", "}":
            guard open.popLast() == source[at] else { throw fail("\(symbol) closes nothing") }
        default: break
        }
        add(.symbol(symbol))
        move(to: at + symbol.utf8.count)
    }

    private mutating func lexString(_ quote: UInt8) throws(JinjaError) {
        let start = line
        var bytes: [UInt8] = []
        var place = at + 1
        while place < source.count, source[place] != quote {
            guard source[place] == UInt8(ascii: "\\"), place + 1 < source.count else {
                bytes.append(source[place])
                place += 1
                continue
            }
            place = try unescape(place + 1, &bytes)
        }
        guard place < source.count else {
            throw fail("a text is never closed with \(quote == 0x22 ? "\"" : "'")")
        }
        move(to: place + 1)
        tokens.append(Token(kind: .string(String(decoding: bytes, as: UTF8.self)), line: start))
    }

    /// One of Python's escapes, from the byte behind its backslash.
    private func unescape(_ place: Int, _ bytes: inout [UInt8]) throws(JinjaError) -> Int {
        func code(_ digits: Range<Int>, radix: Int) throws(JinjaError) -> Unicode.Scalar {
            guard digits.upperBound <= source.count,
                let value = UInt32(String(decoding: source[digits], as: UTF8.self), radix: radix),
                let scalar = Unicode.Scalar(value)
            else { throw fail("an escape in a text is no character") }
            return scalar
        }
        let simple: [UInt8: UInt8] = [
            UInt8(ascii: "n"): 0x0A, UInt8(ascii: "t"): 0x09, UInt8(ascii: "r"): 0x0D,
            UInt8(ascii: "a"): 0x07,
            UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "v"): 0x0B,
            UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "'"): 0x27, UInt8(ascii: "\""): 0x22,
        ]
        let byte = source[place]
        if let plain = simple[byte] {
            bytes.append(plain)
            return place + 1
        }
        let lengths: [UInt8: Int] = [UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8]
        if let length = lengths[byte] {
            bytes += String(Character(try code(place + 1..<place + 1 + length, radix: 16))).utf8
            return place + 1 + length
        }
        if (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) {
            var end = place
            while end < source.count, end < place + 3,
                (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(source[end])
            {
                end += 1
            }
            bytes += String(Character(try code(place..<end, radix: 8))).utf8
            return end
        }
        if byte == 0x0A { return place + 1 }
        bytes += [UInt8(ascii: "\\"), byte]
        return place + 1
    }
}
