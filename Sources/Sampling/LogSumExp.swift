// The normaliser of a whole vocabulary's probabilities, quick enough to be taken for every token.
import Foundation

/// ln(sum of exp(x)) over all logits, to about 1e-6. `largest` is their maximum, finite.
func logSumExp(_ logits: Span<Float>, largest: Float) -> Double {
    var total = 0.0
    var index = 0
    while index + 8 <= logits.count {
        // Float lanes add up a short run only; runs are added in double precision.
        let end = min(logits.count, index + 1024)
        var lanes = SIMD8<Float>(repeating: 0)
        while index + 8 <= end {
            lanes += exponential(logits.eight(from: index) - largest)
            index += 8
        }
        total += Double(lanes.sum())
    }
    while index < logits.count {
        total += exp(Double(logits[index] - largest))
        index += 1
    }
    return Double(largest) + log(total)
}

/// e^x for x <= 0, relative error below 1e-6; for x below -87 e^-87, which is nothing beside the maximum's 1.
/// Plain arithmetic, so the compiler makes vectors of it.
private func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
    let lowest = SIMD8<Float>(repeating: -87)
    let scaled = x.replacing(with: lowest, where: x .< lowest) * Float(1.442_695_04)
    // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits.
    let magic = SIMD8<Float>(repeating: 12_582_912)
    let shifted = scaled + magic
    let f = scaled - (shifted - magic)
    // Taylor series of 2^f for |f| <= 1/2.
    var p = f * Float(1.540_353e-4) + Float(1.333_355_8e-3)
    p = p * f + Float(9.618_129_1e-3)
    p = p * f + Float(5.550_410_9e-2)
    p = p * f + Float(2.402_265_1e-1)
    p = p * f + Float(6.931_471_8e-1)
    p = p * f + Float(1)
    let whole = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- 0x4b40_0000
    let power = unsafeBitCast((whole &+ 127) &<< 23, to: SIMD8<Float>.self)
    return p * power
}

extension Span<Float> {
    /// Elements `index` to `index` + 7 in one load; its bounds are checked.
    func eight(from index: Int) -> SIMD8<Float> {
        bytes.unsafeLoadUnaligned(fromByteOffset: index * MemoryLayout<Float>.stride, as: SIMD8<Float>.self)
    }
}
