// Counts as people read them, in messages, tables and pictures: the same on every machine, whatever its locale.

extension BinaryInteger {
    /// The digits by threes: `65,536`. Not for what is typed or what programs read: options, ids, JSON, metrics.
    package var grouped: String {
        let digits = String(magnitude)
        var text = self < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}
