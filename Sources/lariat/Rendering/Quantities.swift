// Numbers as people read them: counts, bytes, durations, rates, shares, times of day. No I/O.

import Foundation
import Numerals

/// Numbers as text for people. JSON output never goes through here.
package enum Quantity {
    /// With thousands separators: `1,234,567`.
    package static func count(_ value: UInt64) -> String {
        value.grouped
    }

    /// With the thing's name, in the plural unless it is one: `1 token`, `2,000 tokens`.
    package static func counted(_ value: UInt64, _ name: String, plural: String? = nil) -> String {
        "\(count(value)) \(value == 1 ? name : plural ?? name + "s")"
    }

    /// The same for a number that is never negative.
    package static func counted(_ value: Int, _ name: String, plural: String? = nil) -> String {
        counted(UInt64(max(0, value)), name, plural: plural)
    }

    /// In binary units with three significant figures at least: `17 B`, `1.50 KiB`, `12.3 GiB`, `512 MiB`.
    package static func bytes(_ value: UInt64) -> String {
        guard value >= 1024 else { return "\(value) B" }
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var scaled = Double(value) / 1024
        var unit = 0
        while scaled >= 1023.5, unit + 1 < units.count {
            scaled /= 1024
            unit += 1
        }
        return "\(figures(scaled)) \(units[unit])"
    }

    /// `850 ms`, `5.63 s`, `2 min 03 s`, `1 h 04 min`, `3 d 02 h`. Negative or not a number: `-`.
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0 else { return "-" }
        if seconds < 0.9995 { return "\(Int((seconds * 1000).rounded())) ms" }
        if seconds < 59.95 { return "\(figures(seconds)) s" }
        guard seconds < 1e9 else { return "more than 30 years" }
        let whole = Int(seconds.rounded())
        if whole < 3600 { return "\(whole / 60) min \(padded(whole % 60)) s" }
        if whole < 86400 { return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min" }
        return "\(whole / 86400) d \(padded(whole % 86400 / 3600)) h"
    }

    /// Tokens per second with three significant figures; `-` when it is not known.
    package static func rate(_ tokensPerSecond: Double?) -> String {
        guard let rate = tokensPerSecond, rate.isFinite, rate > 0 else { return "-" }
        return rate < 1e15 && rate >= 999.5 ? count(UInt64(rate.rounded())) : figures(rate)
    }

    /// `part` of `whole` in percent with one decimal: `33.3%`.
    package static func share(_ part: UInt64, of whole: UInt64) -> String {
        whole == 0 ? "-" : String(format: "%.1f%%", Double(part) / Double(whole) * 100)
    }

    /// A plain number with `decimals` places; `-` when it is not finite.
    package static func number(_ value: Double, decimals: Int) -> String {
        value.isFinite ? String(format: "%.\(decimals)f", value) : "-"
    }

    /// Microseconds since 1970 in UTC: `2026-11-23 21:41:27`, with `.123` when `milliseconds` is set; `-` for 0.
    package static func time(microseconds: UInt64, milliseconds: Bool = false) -> String {
        guard microseconds > 0 else { return "-" }
        let seconds = microseconds / 1_000_000
        let (year, month, day) = date(daysSince1970: Int(seconds / 86400))
        let inDay = Int(seconds % 86400)
        let clock = "\(padded(inDay / 3600)):\(padded(inDay / 60 % 60)):\(padded(inDay % 60))"
        let date = "\(year)-\(padded(month))-\(padded(day)) \(clock)"
        guard milliseconds else { return date }
        let thousandths = String(microseconds / 1000 % 1000)
        return date + "." + String(repeating: "0", count: 3 - thousandths.count) + thousandths
    }

    /// Gregorian date from a day number. Years run from March here, so that the leap day comes last and month
    /// lengths follow one linear rule (153 days in five months).
    private static func date(daysSince1970 days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    /// Three significant figures for values from 0.01 up to 1023.
    private static func figures(_ value: Double) -> String {
        String(format: value < 9.995 ? "%.2f" : value < 99.95 ? "%.1f" : "%.0f", value)
    }

    private static func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

extension String {
    /// Without control characters, which a terminal could take for commands: each becomes `?`.
    package var printable: String {
        String(
            String.UnicodeScalarView(
                unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }
}

extension [String] {
    /// `a`, `a and b`, `a, b and c`.
    package var listed: String {
        guard let last, count > 1 else { return first ?? "" }
        return dropLast().joined(separator: ", ") + " and " + last
    }
}
