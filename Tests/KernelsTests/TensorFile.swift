// Tensors and matrices with known contents.
import Foundation
import GGUF
import Kernels

/// Small repeatable random numbers.
struct Noise {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func bits() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// In -1..<1.
    mutating func number() -> Float { Float(bits() >> 40) / Float(1 << 23) - 1 }

    mutating func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in number() } }

    mutating func matrix(_ rows: Int, _ columns: Int) -> Matrix {
        Matrix(rows: rows, columns: columns, values: numbers(rows * columns))
    }
}

extension GGUFTensor {
    /// A tensor `[rows, columns]` with the given bytes, by way of a GGUF file that is gone again on return.
    static func make(type: GGUFTensorType, rows: Int, columns: Int, bytes: [UInt8]) throws -> GGUFTensor {
        var file: [UInt8] = Array("GGUF".utf8)
        func put<T: FixedWidthInteger>(_ value: T) {
            Swift.withUnsafeBytes(of: value.littleEndian) { file += Array($0) }
        }
        put(UInt32(3))
        put(UInt64(1))
        put(UInt64(0))
        put(UInt64(1))
        file += Array("t".utf8)
        put(UInt32(2))
        put(UInt64(columns))
        put(UInt64(rows))
        put(type.rawValue)
        put(UInt64(0))
        file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
        file += bytes
        let url = FileManager.default.temporaryDirectory.appending(
            component: "lariat-\(UUID().uuidString).gguf")
        try Data(file).write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        return try GGUFFile(path: url.path).tensor("t")
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
        var bytes: [UInt8] = []
        for _ in 0..<rows * columns / type.elementsPerBlock {
            var block = (0..<type.bytesPerBlock).map { _ in UInt8(truncatingIfNeeded: noise.bits() >> 20) }
            func put(_ value: Float, at: Int) {
                Swift.withUnsafeBytes(of: Float16(value).bitPattern.littleEndian) { half in
                    block[at] = half[0]
                    block[at + 1] = half[1]
                }
            }
            let scale = noise.number() / 8
            switch type {
            case .f32: Swift.withUnsafeBytes(of: scale.bitPattern.littleEndian) { block = Array($0) }
            case .bf16: block[1] = block[1] & 0x80 | 0x3d
            case .q6_K: put(scale / 32, at: 208)
            case .q4_1, .q5_1, .q4_K, .q5_K:
                put(scale / 8, at: 0)
                put(noise.number() / 8, at: 2)
            default: put(scale, at: 0)
            }
            bytes += block
        }
        return try make(type: type, rows: rows, columns: columns, bytes: bytes)
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
