// Tensors and matrices with known contents.
import GGUF
import Kernels

/// Small repeatable random numbers.
struct Noise: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// In -1..<1.
    mutating func number() -> Float { Float(next() >> 40) / Float(1 << 23) - 1 }

    mutating func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in number() } }

    mutating func matrix(_ rows: Int, _ columns: Int) -> Matrix {
        Matrix(rows: rows, columns: columns, values: numbers(rows * columns))
    }
}

extension GGUFTensor {
    /// A tensor `[rows, columns]` with the given bytes.
    static func make(type: GGUFTensorType, rows: Int, columns: Int, bytes: [UInt8]) throws -> GGUFTensor {
        try GGUFTensor(type: type, rows: rows, columns: columns, copying: bytes)
    }

    /// A float32 tensor with the given values.
    static func make(rows: Int, columns: Int, values: [Float]) throws -> GGUFTensor {
        let bytes = values.flatMap { value in
            Swift.withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }
        return try make(type: .f32, rows: rows, columns: columns, bytes: bytes)
    }

    /// Random weights of any type, with scales of ordinary size.
    static func random(type: GGUFTensorType, rows: Int, columns: Int, seed: UInt64) throws -> GGUFTensor {
        var noise = Noise(seed)
        return try random(type: type, rows: rows, columns: columns, using: &noise)
    }
}

/// x times w transposed in double precision, `[x.rows][rows]`; and the sum of the absolute terms, the measure of what
/// rounding may do.
func reference(_ x: Matrix, _ w: [Float], rows: Int) -> (sums: [Double], sizes: [Double]) {
    var sums: [Double] = []
    var sizes: [Double] = []
    for m in 0..<x.rows {
        for r in 0..<rows {
            var sum = 0.0
            var size = 0.0
            for c in 0..<x.columns {
                let term = Double(x[m, c]) * Double(w[r * x.columns + c])
                sum += term
                size += abs(term)
            }
            sums.append(sum)
            sizes.append(size)
        }
    }
    return (sums, sizes)
}

/// Rounded to bfloat16, to nearest even.
func bf16(_ value: Float) -> Float {
    let bits = value.bitPattern
    return Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
}
