// Durations as people write them.

/// `90s`, `45m`, `1h`, `2h30m`; a bare number is seconds.
package enum DurationText {
    /// Nil for anything else.
    package static func seconds(_ text: String) -> Double? {
        if let value = Double(text) { return value.isFinite && value >= 0 ? value : nil }
        var total = 0.0
        var digits = ""
        var units: [(name: Character, seconds: Double)] = [("h", 3600), ("m", 60), ("s", 1)]
        for character in text {
            guard character.isLetter else {
                digits.append(character)
                continue
            }
            // Each unit once, the largest first.
            guard let place = units.firstIndex(where: { $0.name == character }),
                let value = Double(digits), value.isFinite, value >= 0
            else { return nil }
            total += value * units[place].seconds
            units.removeFirst(place + 1)
            digits = ""
        }
        return digits.isEmpty && units.count < 3 ? total : nil
    }
}
