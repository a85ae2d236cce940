// The progress of a prefill as text: a bar that is redrawn, or a line every ten per cent. No I/O, no clock.

/// Says what to write to standard error as work proceeds.
package struct ProgressMeter {
    package enum Style: Sendable, Equatable {
        /// Redrawn in place on a terminal of this many columns, at most ten times a second.
        case bar(width: Int)
        /// A line at every full ten per cent, but none in the first two seconds nor within two seconds of another.
        case lines
    }

    private let style: Style
    private var first: (done: UInt64, seconds: Double)?
    private var lastDraw = -Double.infinity
    private var lastDone: UInt64 = 0
    private var tenth: UInt64 = 0
    private var isDrawn = false

    package init(style: Style) { self.style = style }

    /// `done` of `total` tokens at `seconds` on any clock that only goes forward. Returns what to write, if anything.
    ///
    /// The rate is the mean since the first report, because a client may come to a job that is half done.
    package mutating func update(done: UInt64, total: UInt64, at seconds: Double) -> String? {
        guard total > 0 else { return nil }
        let done = min(done, total)
        let start = first ?? (done, seconds)
        // A job that starts again counts from its new beginning.
        let base = done < lastDone ? (done, seconds) : start
        if done < lastDone { tenth = 0 }
        first = base
        lastDone = done
        let rate = Self.rate(done: done - min(base.0, done), seconds: seconds - base.1)
        switch style {
        case .bar(let width):
            guard seconds - lastDraw >= 0.1 || (done == total && !isDrawn) else { return nil }
            lastDraw = seconds
            isDrawn = true
            return "\r" + Self.bar(done: done, total: total, rate: rate, width: width) + "\u{1b}[K"
        case .lines:
            let reached = Self.percent(done, total) / 10
            guard reached > tenth, seconds - max(base.1, lastDraw) >= 2 else { return nil }
            tenth = reached
            lastDraw = seconds
            return Self.line(done: done, total: total, rate: rate) + "\n"
        }
    }

    /// What wipes the bar off the terminal, if one is there.
    package mutating func erase() -> String? {
        guard isDrawn else { return nil }
        isDrawn = false
        lastDraw = -Double.infinity
        return "\r\u{1b}[K"
    }

    /// Seconds that `remaining` tokens take at `rate`; nil when the rate is not known.
    package static func eta(remaining: UInt64, rate: Double?) -> Double? {
        guard let rate, rate > 0 else { return nil }
        return Double(remaining) / rate
    }

    /// `prefill  42% [########------------]  3,456/8,192 tokens  220 tokens/s  ETA 21.5 s`, cut to `width - 1` columns;
    /// the bar takes what the rest leaves, up to 40 columns, and is left out below 5.
    package static func bar(done: UInt64, total: UInt64, rate: Double?, width: Int) -> String {
        let head = "prefill \(padded(percent(done, total), to: 3))%"
        let tail = figures(done: done, total: total, rate: rate)
        let space = min(40, width - 1 - head.count - tail.count - 5)
        guard space >= 5 else { return String((head + "  " + tail).prefix(max(0, width - 1))) }
        return "\(head) \(Gauge.bar(Double(done) / Double(total), width: space + 2))  \(tail)"
    }

    private static func line(done: UInt64, total: UInt64, rate: Double?) -> String {
        "prefill \(padded(percent(done, total), to: 3))%  " + figures(done: done, total: total, rate: rate)
    }

    private static func figures(done: UInt64, total: UInt64, rate: Double?) -> String {
        var text = "\(Quantity.count(done))/\(Quantity.count(total)) tokens"
        if let rate { text += "  \(Quantity.rate(rate)) tokens/s" }
        if done < total, let eta = eta(remaining: total - done, rate: rate) {
            text += "  ETA \(Quantity.duration(eta))"
        }
        return text
    }

    private static func rate(done: UInt64, seconds: Double) -> Double? {
        done > 0 && seconds > 0 ? Double(done) / seconds : nil
    }

    private static func percent(_ done: UInt64, _ total: UInt64) -> UInt64 {
        total == 0 ? 0 : UInt64(Double(done) / Double(total) * 100)
    }

    private static func padded(_ value: UInt64, to width: Int) -> String {
        let digits = String(value)
        return String(repeating: " ", count: max(0, width - digits.count)) + digits
    }
}
