// Text that remembers which of its bytes came from outside, however the template cuts and joins it.

/// UTF-8 text, and which of its bytes are foreign: they came in with the values that a template was given, not from the
/// template itself.
///
/// Cutting, joining, trimming and replacing keep this apart byte for byte. Whoever looks for control tokens in a
/// rendering looks at the template's own bytes only, so that what a message says never becomes one.
public struct JinjaText: Sendable, Equatable {
    public private(set) var bytes: [UInt8]
    /// The foreign bytes: ranges of offsets in `bytes`, in ascending order, none empty, no two adjacent.
    public private(set) var foreign: [Range<Int>]
    /// Jinja's `Markup`, which the filters `safe` and `escape` make: what is added to it is escaped for HTML.
    var isMarkup = false

    public init() {
        bytes = []
        foreign = []
    }

    /// Text whose bytes are all the template's own.
    public init(own text: String) {
        bytes = Array(text.utf8)
        foreign = []
    }

    /// Text whose bytes are all foreign.
    public init(foreign text: String) { self.init(Array(text.utf8), isForeign: true) }

    init(_ bytes: [UInt8], isForeign: Bool) {
        self.bytes = bytes
        foreign = isForeign && !bytes.isEmpty ? [0..<bytes.count] : []
    }

    public var string: String { String(decoding: bytes, as: UTF8.self) }
    public var isEmpty: Bool { bytes.isEmpty }

    /// Whether every byte of the range is the template's own.
    public func isOwn(_ range: Range<Int>) -> Bool {
        let next = firstForeign(endingAfter: range.lowerBound)
        return next == foreign.count || foreign[next].lowerBound >= range.upperBound
    }

    mutating func append(_ other: JinjaText) { append(other, 0..<other.bytes.count) }

    /// Appends a part of another text.
    mutating func append(_ other: JinjaText, _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let shift = bytes.count - range.lowerBound
        bytes += other.bytes[range]
        var index = other.firstForeign(endingAfter: range.lowerBound)
        while index < other.foreign.count, other.foreign[index].lowerBound < range.upperBound {
            let part = other.foreign[index].clamped(to: range)
            markForeign(part.lowerBound + shift..<part.upperBound + shift)
            index += 1
        }
    }

    mutating func append(_ other: some Sequence<UInt8>, isForeign: Bool) {
        let start = bytes.count
        bytes += other
        if isForeign, bytes.count > start { markForeign(start..<bytes.count) }
    }

    /// A part of it.
    /// - Parameter range: offsets in `bytes`.
    public func slice(_ range: Range<Int>) -> JinjaText {
        if range == 0..<bytes.count { return self }
        var result = JinjaText()
        result.isMarkup = isMarkup
        result.append(self, range)
        return result
    }

    private mutating func markForeign(_ range: Range<Int>) {
        if let last = foreign.last, last.upperBound == range.lowerBound {
            foreign[foreign.count - 1] = last.lowerBound..<range.upperBound
        } else {
            foreign.append(range)
        }
    }

    /// The index of the first foreign range that ends behind `offset`.
    private func firstForeign(endingAfter offset: Int) -> Int {
        var low = 0
        var high = foreign.count
        while low < high {
            let middle = (low + high) / 2
            if foreign[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

// MARK: Characters, which are code points as in Python

extension JinjaText {
    /// The number of code points.
    var length: Int {
        var count = 0
        for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// The offset behind the code point at `offset`.
    func offset(after offset: Int) -> Int {
        var next = offset + 1
        while next < bytes.count, bytes[next] & 0xC0 == 0x80 { next += 1 }
        return next
    }

    func offset(before offset: Int) -> Int {
        var previous = offset - 1
        while previous > 0, bytes[previous] & 0xC0 == 0x80 { previous -= 1 }
        return previous
    }

    /// The offset of each code point, and the end.
    var characterOffsets: [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(bytes.count + 1)
        for (offset, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 { offsets.append(offset) }
        offsets.append(bytes.count)
        return offsets
    }

    /// The code point between two offsets.
    func scalar(_ start: Int, _ end: Int) -> Unicode.Scalar {
        guard bytes[start] >= 0x80 else { return Unicode.Scalar(bytes[start]) }
        return String(decoding: bytes[start..<end], as: UTF8.self).unicodeScalars.first ?? "\u{FFFD}"
    }

    /// Each code point replaced, and marked as the code point it stands for is.
    func mapCharacters(_ body: (Unicode.Scalar) -> String) -> JinjaText {
        var result = JinjaText()
        result.isMarkup = isMarkup
        var at = 0
        while at < bytes.count {
            let end = offset(after: at)
            result.append(body(scalar(at, end)).utf8, isForeign: !isOwn(at..<end))
            at = end
        }
        return result
    }

    /// With HTML's special characters written as entities, unless it is markup already.
    var escaped: JinjaText {
        guard !isMarkup else { return self }
        var result = mapCharacters { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&#34;"
            case "'": "&#39;"
            default: String(Character(scalar))
            }
        }
        result.isMarkup = true
        return result
    }

    /// The first place of `part` from `start` on, or the last one. Knuth, Morris and Pratt's way, so that no text makes it
    /// take longer than the two are long.
    func find(_ part: JinjaText, from start: Int = 0, last: Bool = false) -> Int? {
        let wanted = part.bytes
        guard !wanted.isEmpty else { return last ? bytes.count : start }
        // How much of the part's beginning is matched again where a match of so many bytes breaks off.
        var borders = [Int](repeating: 0, count: wanted.count)
        var matched = 0
        for index in 1..<wanted.count {
            while matched > 0, wanted[index] != wanted[matched] { matched = borders[matched - 1] }
            if wanted[index] == wanted[matched] { matched += 1 }
            borders[index] = matched
        }
        var found: Int?
        matched = 0
        for at in start..<max(start, bytes.count) {
            while matched > 0, wanted[matched] != bytes[at] { matched = borders[matched - 1] }
            if wanted[matched] == bytes[at] { matched += 1 }
            guard matched == wanted.count else { continue }
            found = at + 1 - matched
            guard last else { break }
            matched = borders[matched - 1]
        }
        return found
    }

    func hasPrefix(_ part: JinjaText) -> Bool { bytes.starts(with: part.bytes) }
    func hasSuffix(_ part: JinjaText) -> Bool {
        bytes.count >= part.bytes.count && bytes.suffix(part.bytes.count).elementsEqual(part.bytes)
    }
}

/// What Python's `str.strip` takes for white space.
func isBlank(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
}
