// Dense products with unpacked weights, on every instruction set and in both precisions.
import GGUF
import Kernels
import Testing

@Suite struct LinearTests {
    struct Shape: Sendable {
        var rows, columns: Int
        var type = GGUFTensorType.f32
    }
    /// Outputs and inputs: of a model, of tiny models, and such as fit no block.
    static let shapes = [
        Shape(rows: 192, columns: 576, type: .q4_1), Shape(rows: 320, columns: 64),
        Shape(rows: 23, columns: 37),
        Shape(rows: 65, columns: 33, type: .f16), Shape(rows: 1, columns: 1),
        Shape(rows: 48, columns: 256, type: .q6_K),
    ]

    @Test(arguments: ISA.available, shapes)
    func agreesWithTheReference(isa: ISA, shape: Shape) throws {
        let w = try WeightMatrix(
            GGUFTensor.random(type: shape.type, rows: shape.rows, columns: shape.columns, seed: 3))
        var noise = Noise(4)
        let x = noise.matrix(79, shape.columns)
        for precision in Precision.allCases {
            let compute = try Compute(threads: 2, isa: isa, precision: precision)
            let values = Matrix(rows: shape.rows, columns: shape.columns)
            compute.dequantise(w, rows: 0..<shape.rows, into: values)
            let packed = try compute.pack(WeightStack(w))
            let y = Matrix(rows: 79, columns: shape.rows)
            try compute.linear(x, packed, into: y)
            // With bfloat16 operands: the same as the exact product of the rounded operands.
            let round: (Float) -> Float = compute.usesBF16 ? { bf16($0) } : { $0 }
            let rounded = Matrix(rows: 79, columns: shape.columns, values: x.values().map(round))
            let (sums, sizes) = reference(rounded, values.values().map(round), rows: shape.rows)
            for (got, (sum, size)) in zip(y.values(), zip(sums, sizes)) {
                #expect(abs(Double(got) - sum) <= 2e-6 * size, "\(precision)")
            }
            let first = y.values()
            try compute.linear(x, packed, into: y, accumulate: true)
            #expect(y.values() == first.map { $0 + $0 }, "\(precision)")
        }
    }

    @Test(arguments: ISA.available, Precision.allCases)
    func rowsDoNotDependOnTheirNumberOrOnThreads(isa: ISA, precision: Precision) throws {
        let w = try WeightMatrix(GGUFTensor.random(type: .q4_1, rows: 200, columns: 576, seed: 5))
        var noise = Noise(6)
        let x = noise.matrix(300, 576)
        let one = try Compute(threads: 1, isa: isa, precision: precision)
        let whole = Matrix(rows: 300, columns: 200)
        try one.linear(x, one.pack(WeightStack(w)), into: whole)
        for threads in [2, 3] {
            let compute = try Compute(threads: threads, isa: isa, precision: precision)
            let packed = try compute.pack(WeightStack(w))
            let y = Matrix(rows: 300, columns: 200)
            try compute.linear(x, packed, into: y)
            #expect(y.values() == whole.values())
            for range in [0..<1, 5..<12, 100..<133, 7..<300] {
                let part = Matrix(rows: range.count, columns: 200)
                try compute.linear(x.rows(range), packed, into: part)
                #expect(part.values() == whole.rows(range).values(), "\(range)")
            }
        }
    }

    @Test(arguments: ISA.available)
    func memoryIsUsedAgain(isa: ISA) throws {
        let compute = try Compute(threads: 1, isa: isa, precision: .bf16)
        let large = try compute.pack(
            WeightStack(WeightMatrix(GGUFTensor.random(type: .q8_0, rows: 128, columns: 96, seed: 1))))
        let small = try WeightMatrix(GGUFTensor.random(type: .q8_0, rows: 40, columns: 32, seed: 2))
        let reused = try compute.pack(WeightStack(small), reusing: large)
        #expect(reused === large && reused.rows == 40 && reused.columns == 32)
        var noise = Noise(9)
        let x = noise.matrix(5, 32)
        let y = Matrix(rows: 5, columns: 40)
        let z = Matrix(rows: 5, columns: 40)
        try compute.linear(x, reused, into: y)
        try compute.linear(x, compute.pack(WeightStack(small)), into: z)
        #expect(y.values() == z.values())
    }

    /// Parts of different types, with numbers of rows that no layout likes.
    @Test(arguments: ISA.available, Precision.allCases)
    func stacksAreTheirPartsUnderOneAnother(isa: ISA, precision: Precision) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: precision)
        let parts = try [(GGUFTensorType.q4_1, 70), (.q8_0, 9), (.f16, 33), (.q5_0, 64)].map {
            try WeightMatrix(GGUFTensor.random(type: $0.0, rows: $0.1, columns: 96, seed: 11))
        }
        let stack = try WeightStack(parts)
        var noise = Noise(12)
        let x = noise.matrix(21, 96)
        let together = Matrix(rows: 21, columns: stack.rows)
        let direct = Matrix(rows: 21, columns: stack.rows)
        try compute.linear(x, compute.pack(stack), into: together)
        compute.linear(x, stack, into: direct)
        var column = 0
        for part in parts {
            let alone = Matrix(rows: 21, columns: part.rows)
            try compute.linear(x, compute.pack(WeightStack(part)), into: alone)
            let quantised = Matrix(rows: 21, columns: part.rows)
            compute.linear(x, WeightStack(part), into: quantised)
            for row in 0..<21 {
                for at in 0..<part.rows {
                    #expect(together[row, column + at] == alone[row, at])
                    #expect(direct[row, column + at] == quantised[row, at])
                }
            }
            column += part.rows
        }
        #expect(column == stack.rows)
    }
}
