// What the processor and its memory can do at most, measured: what kernels are held against.
internal import CLariatKernels

/// A limit of the machine that can be measured.
public enum Peak: String, CaseIterable, Sendable {
    /// Multiplications and additions of float32, operations a second.
    case f32
    /// Multiplications and additions of bfloat16 with float32 sums, operations a second.
    case bf16
    /// Multiplications and additions of int8 with int32 sums, operations a second.
    case int8
    /// Reading memory, bytes a second.
    case read
    /// Copying memory, bytes copied a second (each is read once and written once).
    case copy
}

extension Compute {
    /// Measures a limit with all threads at once, on the instruction set of this engine.
    ///
    /// - Parameters:
    ///   - seconds: how long it measures, at least.
    ///   - memory: what `read` reads, and whose first half `copy` copies to the second: larger than the caches, or
    ///     the limit is that of the caches.
    /// - Returns: operations or bytes a second; nil when this instruction set has no such instruction.
    public func measure(_ peak: Peak, seconds: Double, memory: Matrix) -> Double? {
        switch peak {
        case .f32: measureOperations(seconds) { lariat_peak_f32($0, $1) }
        case .bf16: measureOperations(seconds) { lariat_peak_bf16($0, $1) }
        case .int8: measureOperations(seconds) { lariat_peak_int8($0, $1) }
        case .read: measureReading(seconds, memory)
        case .copy: measureCopying(seconds, memory)
        }
    }

    /// Bytes a second or operations a second of `round`, which says how much it did.
    private func measure(_ seconds: Double, _ round: () -> Double) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        var done = 0.0
        var elapsed = 0.0
        repeat {
            done += round()
            elapsed = (clock.now - start) / .seconds(1)
        } while elapsed < seconds
        return done / max(elapsed, 1e-9)
    }

    private func measureOperations(
        _ seconds: Double, _ loop: (lariat_isa, UInt64) -> UInt64
    ) -> Double? {
        let isa = isa.c
        let each = loop(isa, 1)
        guard each > 0 else { return nil }
        // About a millisecond an item, and several for each thread, so that all end together.
        let iterations: UInt64 = 500_000
        let items = 4 * threads
        return measure(seconds) {
            forEach(items) { _, _ in _ = loop(isa, iterations) }
            return Double(items) * Double(iterations) * Double(each)
        }
    }

    private func measureReading(_ seconds: Double, _ memory: Matrix) -> Double {
        let isa = isa.c
        return unsafe memory.withUnsafeBytes { bytes in
            let pieces = Self.pieces(bytes.count)
            return measure(seconds) {
                forEach(pieces.count) { item, _ in
                    let words = unsafe UnsafeRawBufferPointer(rebasing: bytes[pieces[item]])
                        .bindMemory(to: UInt64.self)
                    if let base = words.baseAddress { unsafe _ = lariat_peak_read(isa, base, words.count) }
                }
                return Double(pieces.reduce(0) { $0 + $1.count })
            }
        }
    }

    private func measureCopying(_ seconds: Double, _ memory: Matrix) -> Double {
        unsafe memory.withUnsafeMutableBuffer { floats in
            let bytes = UnsafeMutableRawBufferPointer(floats)
            let half = bytes.count / 2 / 64 * 64
            let pieces = Self.pieces(half)
            guard let from = bytes.baseAddress else { return 0 }
            return measure(seconds) {
                forEach(pieces.count) { item, _ in
                    let piece = pieces[item]
                    unsafe lariat_peak_copy(
                        from + half + piece.lowerBound, from + piece.lowerBound, piece.count)
                }
                return Double(half)
            }
        }
    }

    /// 0..<count in pieces of 1 MiB.
    private static func pieces(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: 1 << 20).map { $0..<min(count, $0 + 1 << 20) }
    }
}
