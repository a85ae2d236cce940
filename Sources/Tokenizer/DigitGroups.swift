// Digits in groups of three from the right, as numbers are written: 1|234|567.

/// Finds the places that `(?=(\d{3})+(?!\d))` matches: where a multiple of three decimal digits follow, and no more.
///
/// It remembers how far the digits go behind the last place, so that a long number is looked at once.
struct DigitGroups {
    /// Up to here there are digits, a multiple of three of them behind the last place that was found.
    private var runEnd = 0

    /// The first such place behind `start`; `end` when there is none in `text[start..<end]`.
    mutating func cut(_ text: Span<UInt8>, after start: Int, _ end: Int) -> Int {
        if start < runEnd, runEnd <= end {
            let place = Self.past(3, text, start, end)
            if place < runEnd { return place }
        }
        var at = start
        while at < end {
            let first = at
            var digits = 0
            while at < end, let width = Self.digit(text, at, end) {
                digits += 1
                at += width
            }
            guard digits > 0 else {
                at += ScalarClass.at(at, text, end).width
                continue
            }
            let ahead = digits % 3
            // A place at the start itself cuts nothing off.
            let place = Self.past(ahead == 0 && first == start ? 3 : ahead, text, first, end)
            if digits >= 3, place < at {
                runEnd = at
                return place
            }
        }
        return end
    }

    /// The place behind so many digits.
    private static func past(_ digits: Int, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var at = start
        for _ in 0..<digits where at < end { at += digit(text, at, end) ?? 1 }
        return at
    }

    /// The width of the decimal digit (`\d`) at `at`; nil for other numbers and all else.
    private static func digit(_ text: Span<UInt8>, _ at: Int, _ end: Int) -> Int? {
        if text[at] < 0x80 { return (0x30...0x39).contains(text[at]) ? 1 : nil }
        guard let (value, width) = scalar(text, at, end), ScalarClass.of(value) == .number,
            Unicode.Scalar(value)?.properties.generalCategory == .decimalNumber
        else { return nil }
        return width
    }
}
