// The `grpc-timeout` header: at most 8 digits and a unit.

package enum RPCTimeout {
    /// The longest deadline kept; a longer one is cut to this (about 3 years).
    package static let longest = Duration.seconds(100_000_000)

    /// nil: not a timeout.
    package static func parse(_ text: String) -> Duration? {
        let bytes = Array(text.utf8)
        guard (2...9).contains(bytes.count), let unit = bytes.last else { return nil }
        var value: Int64 = 0
        for byte in bytes.dropLast() {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        // 8 digits of hours are 3.6e11 seconds: no overflow anywhere.
        let timeout: Duration
        switch unit {
        case UInt8(ascii: "H"): timeout = .seconds(value * 3600)
        case UInt8(ascii: "M"): timeout = .seconds(value * 60)
        case UInt8(ascii: "S"): timeout = .seconds(value)
        case UInt8(ascii: "m"): timeout = .milliseconds(value)
        case UInt8(ascii: "u"): timeout = .microseconds(value)
        case UInt8(ascii: "n"): timeout = .nanoseconds(value)
        default: return nil
        }
        return min(timeout, longest)
    }

    /// The finest unit that fits 8 digits, rounded up so that no budget becomes none.
    package static func format(_ timeout: Duration) -> String {
        let timeout = max(.nanoseconds(1), min(timeout, longest))
        let (seconds, attoseconds) = timeout.components
        let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        let units: [(Int64, String)] = [
            (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
        ]
        for (size, name) in units {
            let value = (nanoseconds + size - 1) / size
            if value <= 99_999_999 { return "\(value)\(name)" }
        }
        return "\(nanoseconds / 3_600_000_000_000)H"
    }
}
