// Quantised weights: values as the reference package makes them, and products straight from them.
import GGUF
import Kernels
import Testing

private func bytes(hex: String) -> [UInt8] {
    let digits = Array(hex.utf8).map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

private func floats(hex: String) -> [Float] {
    let raw = bytes(hex: hex)
    return stride(from: 0, to: raw.count, by: 4).map { at in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(raw[at + $1]) << UInt32(8 * $1) })
    }
}

@Suite struct WeightsTests {
    @Test(arguments: ISA.available, QuantisedBlocks.all)
    func valuesAreThoseOfTheReference(isa: ISA, blocks: QuantisedBlocks) throws {
        let type = try #require(GGUFTensorType(rawValue: blocks.type))
        let wanted = floats(hex: blocks.values)
        let tensor = try GGUFTensor.make(
            type: type, rows: 1, columns: wanted.count, bytes: bytes(hex: blocks.bytes))
        let compute = try Compute(threads: 1, isa: isa, precision: .f32)
        #expect(try compute.vector(tensor) == wanted)
    }

    @Test(arguments: ISA.available, GGUFTensorType.allCases)
    func productsFromQuantisedWeights(isa: ISA, type: GGUFTensorType) throws {
        let columns = type.elementsPerBlock == 1 ? 203 : 512
        let rows = 37
        let w = try WeightMatrix(GGUFTensor.random(type: type, rows: rows, columns: columns, seed: 7))
        let values = Matrix(rows: rows, columns: columns)
        var noise = Noise(8)
        let x = noise.matrix(9, columns)
        for precision in Precision.allCases {
            let one = try Compute(threads: 1, isa: isa, precision: precision)
            let two = try Compute(threads: 2, isa: isa, precision: precision)
            one.dequantise(w, rows: 0..<rows, into: values)
            // In fast precision: the exact product with the rounded activations.
            let exact =
                precision == .bf16 && type.elementsPerBlock > 1
                ? Matrix(rows: 9, columns: columns, values: Self.rounded(x.values())) : x
            let (sums, sizes) = reference(exact, values.values(), rows: rows)
            let y = Matrix(rows: 9, columns: rows)
            one.linear(x, WeightStack(w), into: y)
            for (got, (sum, size)) in zip(y.values(), zip(sums, sizes)) {
                #expect(abs(Double(got) - sum) <= 1e-6 * size, "\(precision)")
            }
            let shared = Matrix(rows: 9, columns: rows)
            two.linear(x, WeightStack(w), into: shared)
            #expect(shared.values() == y.values())
            // Row by row and added to what is there.
            for row in 0..<9 {
                one.linear(
                    x.rows(row..<row + 1), WeightStack(w), into: shared.rows(row..<row + 1), accumulate: true)
            }
            #expect(shared.values() == y.values().map { $0 + $0 })
        }
    }

    /// Activations in whole numbers of a 16,319th of the greatest of each 32.
    private static func rounded(_ x: [Float]) -> [Float] {
        stride(from: 0, to: x.count, by: 32).flatMap { start -> [Float] in
            let block = x[start..<start + 32]
            let step = (block.map(abs).max() ?? 0) / 16319
            let inverse = step > 0 ? 1 / step : 0
            return block.map { ($0 * inverse).rounded(.toNearestOrEven) * step }
        }
    }

    @Test func rowsAndStacks() throws {
        let compute = try Compute(threads: 2, precision: .f32)
        let values = (0..<48).map(Float.init)
        let w = try WeightMatrix(GGUFTensor.make(rows: 12, columns: 4, values: values))
        let y = Matrix(rows: 2, columns: 4)
        compute.dequantise(w, rows: 5..<7, into: y)
        #expect(y.values() == Array(values[20..<28]))
        let other = try WeightMatrix(GGUFTensor.make(rows: 3, columns: 5, values: Array(values[0..<15])))
        let stack = try WeightStack([w, w])
        #expect(stack.rows == 24 && stack.columns == 4)
        #expect(throws: KernelError.self) { try WeightStack([w, other]) }
        #expect(throws: KernelError.self) { try WeightStack([]) }
        try compute.embed(w, tokens: [11, 0], into: y)
        #expect(y.values() == Array(values[44..<48] + values[0..<4]))
        #expect(throws: KernelError.token(12, vocabulary: 12)) {
            try compute.embed(w, tokens: [0, 12], into: y)
        }
        #expect(throws: KernelError.token(-1, vocabulary: 12)) { try compute.embed(w, tokens: [-1], into: y) }
    }
}
