// The order of workers in the ring: that of the specification, else that of their names as people count.
package import Messages

extension MemberRecord {
    /// Whether this worker stands before another one. Those with a place in the specification come first, in that order;
    /// the others, and those of one place, follow their names, in which numbers count as numbers: w2 before w10.
    package func precedes(_ other: MemberRecord) -> Bool {
        let (mine, theirs) = (order == 0 ? .max : order, other.order == 0 ? .max : other.order)
        return mine == theirs ? Self.naturally(name, before: other.name) : mine < theirs
    }

    /// Digits are compared by value, all else by byte. Names that differ in leading zeros only differ by bytes.
    package static func naturally(_ one: String, before other: String) -> Bool {
        var (a, b) = (one.utf8[...], other.utf8[...])
        while let x = a.first, let y = b.first {
            if isDigit(x), isDigit(y) {
                let (m, n) = (takeNumber(&a), takeNumber(&b))
                if m.count != n.count { return m.count < n.count }
                if !m.elementsEqual(n) { return m.lexicographicallyPrecedes(n) }
            } else {
                if x != y { return x < y }
                a.removeFirst()
                b.removeFirst()
            }
        }
        if a.isEmpty != b.isEmpty { return a.isEmpty }
        return one.utf8.lexicographicallyPrecedes(other.utf8)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// The digits at the beginning, without leading zeros.
    private static func takeNumber(_ text: inout Substring.UTF8View) -> Substring.UTF8View {
        let digits = text.prefix(while: isDigit)
        text = text[digits.endIndex...]
        return digits.drop { $0 == 0x30 }
    }
}
