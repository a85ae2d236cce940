// Numbers of about 106 bits as the sum of two doubles. Only as much of it as exact rotary frequencies need:
// IEEE double arithmetic and fused multiply-add, so the same bits on every platform.

/// The unevaluated sum `high` + `low`, where |low| is at most half a unit in the last place of `high`.
struct DoubleDouble {
    var high: Double
    var low: Double

    init(_ high: Double, _ low: Double = 0) {
        self.high = high
        self.low = low
    }

    /// a + b without error, for any a and b (Knuth).
    static func sum(_ a: Double, _ b: Double) -> DoubleDouble {
        let sum = a + b
        let partOfB = sum - a
        return DoubleDouble(sum, (a - (sum - partOfB)) + (b - partOfB))
    }

    /// a * b without error.
    static func product(_ a: Double, _ b: Double) -> DoubleDouble {
        let product = a * b
        return DoubleDouble(product, (-product).addingProduct(a, b))
    }

    static func * (a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
        let main = product(a.high, b.high)
        return sum(main.high, main.low + (a.high * b.low + a.low * b.high))
    }

    static func * (a: DoubleDouble, b: Double) -> DoubleDouble { a * DoubleDouble(b) }

    static func / (a: DoubleDouble, b: Double) -> DoubleDouble {
        let quotient = a.high / b
        let back = product(quotient, b)
        let rest = ((a.high - back.high) - back.low) + a.low
        return sum(quotient, rest / b)
    }

    /// The same number to a whole power, 0 or more, by squaring.
    func power(_ exponent: Int) -> DoubleDouble {
        var result = DoubleDouble(1)
        var square = self
        var rest = exponent
        while rest > 0 {
            if rest & 1 == 1 { result = result * square }
            square = square * square
            rest >>= 1
        }
        return result
    }

    /// The number modulo 1, in units of 2^-64, rounded to the nearest. The number is finite.
    var fractionInUnitsOf2ToMinus64: UInt64 {
        let scale = 0x1p64
        // Dropping whole parts, and scaling by a power of two, is exact.
        let fraction = Self.sum(high - high.rounded(.towardZero), low - low.rounded(.towardZero))
        let whole = (fraction.high * scale).rounded(.down)
        let rest = (fraction.high * scale - whole) + fraction.low * scale
        return UInt64(truncatingIfNeeded: Int128(whole) + Int128(rest.rounded()))
    }
}
