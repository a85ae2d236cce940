// Whether anybody still waits for the tokens of a text.

/// Asks now and then. Most texts are done before it asks for the first time.
struct Patience {
    /// Nil: somebody always waits.
    var isAbandoned: (@Sendable () -> Bool)?
    private var steps = 0
    private var wasAbandoned = false

    /// A step takes some 100 ns, so that the answer is about a millisecond old at most.
    private static let stepsBetween = 1 << 12

    @inline(__always)
    mutating func isOver() -> Bool {
        steps &+= 1
        if steps & (Self.stepsBetween - 1) == 0, !wasAbandoned, let isAbandoned {
            wasAbandoned = isAbandoned()
        }
        return wasAbandoned
    }
}
