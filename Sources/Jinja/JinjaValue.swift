// What a template is given.

/// A value for a template: JSON's kinds, with the order of members kept and texts that know where they come from.
public enum JinjaValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(JinjaText)
    case list([JinjaValue])
    case map([JinjaMember])

    /// Text that came from outside.
    public static func foreign(_ text: String) -> JinjaValue { .text(JinjaText(foreign: text)) }
    /// Text that counts as the template's own, such as the name of a control token.
    public static func own(_ text: String) -> JinjaValue { .text(JinjaText(own: text)) }
}

/// A member of a mapping. Where a key occurs twice the last one counts.
public struct JinjaMember: Sendable, Equatable {
    public var key: JinjaText
    public var value: JinjaValue

    public init(_ key: JinjaText, _ value: JinjaValue) {
        self.key = key
        self.value = value
    }
}

/// A moment as a calendar and a clock show it, for `strftime_now`.
public struct JinjaMoment: Sendable, Equatable {
    public let year: Int
    /// 1 to 12.
    public let month: Int
    /// 1 to 31.
    public let day: Int
    public let hour: Int
    public let minute: Int
    public let second: Int
    /// Since 1 January 1970.
    let dayNumber: Int

    /// The moment in UTC.
    /// - Parameter seconds: since 1 January 1970 in UTC.
    public init(secondsSince1970 seconds: Int) {
        // Beyond these years nothing is a date; the bounds keep the arithmetic below from overflowing.
        let seconds = min(max(seconds, -62_135_596_800), 253_402_300_799)
        let days = seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400)
        let rest = seconds - days * 86_400
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        hour = rest / 3600
        minute = rest / 60 % 60
        second = rest % 60
        dayNumber = days
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ]
    private static let days = [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ]

    /// The moment in the form of C's `strftime`; nil for a form that is not known.
    func formatted(_ format: String) -> String? {
        var result = ""
        var characters = format.unicodeScalars.makeIterator()
        while let character = characters.next() {
            guard character == "%" else {
                result.unicodeScalars.append(character)
                continue
            }
            guard var field = characters.next() else { return nil }
            var pads = true
            if field == "-" {
                guard let next = characters.next() else { return nil }
                field = next
                pads = false
            }
            guard let text = self.field(field, pads: pads) else { return nil }
            result += text
        }
        return result
    }

    private func field(_ field: Unicode.Scalar, pads: Bool) -> String? {
        func padded(_ value: Int, _ width: Int = 2, with fill: Character = "0") -> String {
            let digits = String(value)
            return String(repeating: fill, count: pads ? max(0, width - digits.count) : 0) + digits
        }
        let month = Self.months[self.month - 1]
        // 1 January 1970 was a Thursday.
        let weekday = Self.days[((dayNumber + 3) % 7 + 7) % 7]
        switch field {
        case "Y": return padded(year, 4)
        case "y": return padded(year % 100)
        case "m": return padded(self.month)
        case "d": return padded(day)
        case "e": return padded(day, with: " ")
        case "H": return padded(hour)
        case "I": return padded((hour + 11) % 12 + 1)
        case "M": return padded(minute)
        case "S": return padded(second)
        case "p": return hour < 12 ? "AM" : "PM"
        case "B": return month
        case "b", "h": return String(month.prefix(3))
        case "A": return weekday
        case "a": return String(weekday.prefix(3))
        case "F": return formatted("%Y-%m-%d")
        case "T": return formatted("%H:%M:%S")
        case "Z": return "UTC"
        case "%": return "%"
        default: return nil
        }
    }
}
