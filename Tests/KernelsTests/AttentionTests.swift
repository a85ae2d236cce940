// Prefill and decode attention against a double precision oracle, on every instruction set of this processor.
import Foundation
import Kernels
import Testing

private func bf16Bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
}

private func bf16Rounded(_ value: Float) -> Float { Float(bitPattern: UInt32(bf16Bits(value)) << 16) }

/// Queries with positions, and the keys and values of positions 0..<keyCount.
private struct Problem {
    let shape: AttentionShape
    let element: KVElement
    var queryRuns: [Range<Int>]
    let keyCount: Int
    var queries: [Float]
    /// As the kernels see it: rounded when the element is bf16.
    var values: [Float]
    var rows: [UInt8]

    init(
        _ shape: AttentionShape, _ element: KVElement, queries queryRuns: [Range<Int>],
        keys keyCount: Int, logits: Float = 1, seed: UInt64 = 1
    ) {
        self.shape = shape
        self.element = element
        self.queryRuns = queryRuns
        self.keyCount = keyCount
        var noise = Noise(seed)
        let queryCount = queryRuns.reduce(0) { $0 + $1.count }
        queries = noise.numbers(queryCount * shape.queryRowElements).map { $0 * logits }
        values = noise.numbers(keyCount * shape.kvRowElements)
        let half = shape.kvRowElements / 2
        for index in values.indices where index / half % 2 == 0 { values[index] *= logits }
        if element == .bf16 {
            values = values.map(bf16Rounded)
            rows = values.map(bf16Bits).withUnsafeBytes { Array($0) }
        } else {
            rows = values.withUnsafeBytes { Array($0) }
        }
    }

    var queryCount: Int { queryRuns.reduce(0) { $0 + $1.count } }
    var rowBytes: Int { shape.kvRowElements * element.bytes }

    func isCoarse(_ isa: ISA) -> Bool { element == .bf16 && isa == .avx512bf16 }

    /// By definition: sum over the visible keys of exp(q . k scale) v, in double precision.
    func oracle(queriesRoundedFor isa: ISA?) -> (output: [Double], logSumExp: [Double]) {
        let (d, heads) = (shape.headDimension, shape.heads)
        let factor = shape.scale * 1.442_695_04
        var queries = queries
        if let isa, isCoarse(isa) { queries = queries.map { bf16Rounded($0 * factor) / factor } }
        let queryAt = queryRuns.flatMap { Array($0) }
        var output = [Double](repeating: 0, count: queries.count)
        var sums = [Double](repeating: -.infinity, count: queryAt.count * heads)
        for n in queryAt.indices {
            for h in 0..<heads {
                let q = (n * heads + h) * d
                let k = h / (heads / shape.kvHeads) * d
                let seen = (0..<keyCount).filter { $0 <= queryAt[n] }
                let logits = seen.map { key in
                    (0..<d).reduce(0.0) {
                        $0 + Double(queries[q + $1]) * Double(values[key * shape.kvRowElements + k + $1])
                    } * Double(shape.scale)
                }
                guard let top = logits.max() else { continue }
                let weights = logits.map { exp($0 - top) }
                let sum = weights.reduce(0, +)
                sums[n * heads + h] = top + log(sum)
                for (weight, key) in zip(weights, seen) {
                    let v = key * shape.kvRowElements + shape.kvRowElements / 2 + k
                    for i in 0..<d { output[q + i] += weight / sum * Double(values[v + i]) }
                }
            }
        }
        return (output, sums)
    }

    /// What the queries have seen.
    struct Seen: Equatable {
        var output: [Float]
        var logSumExp: [Float]
    }

    /// Attends over blocks that end at `cuts`; what is packed is attended behind each.
    func attend(_ compute: Compute, cuts: [Int] = [], with state: AttentionState? = nil) -> Seen {
        let state = state ?? AttentionState(queriesAt: queryRuns, shape: shape, element: element)
        let matrix = Matrix(rows: queryCount, columns: shape.queryRowElements, values: queries)
        var start = 0
        for end in cuts + [keyCount] {
            rows.withUnsafeBytes { bytes in
                compute.attend(
                    queries: matrix,
                    over: UnsafeRawBufferPointer(rebasing: bytes[start * rowBytes..<end * rowBytes]),
                    into: state)
            }
            compute.attendRest(queries: matrix, last: end == keyCount, into: state)
            start = end
        }
        return seen(compute, state)
    }

    /// In two parts, as callers do.
    private func seen(_ compute: Compute, _ state: AttentionState) -> Seen {
        let output = Matrix(rows: queryCount, columns: shape.queryRowElements)
        let sums = Matrix(rows: queryCount, columns: shape.heads)
        let half = queryCount / 2
        for rows in [0..<half, half..<queryCount] {
            compute.finish(rows, of: state, into: output.rows(rows), logSumExp: sums.rows(rows))
        }
        return Seen(output: output.values(), logSumExp: sums.values())
    }

    /// - Parameter pageRows: rows of a page.
    func decode(_ compute: Compute, query: Int, pageRows: Int = 1024) -> (output: [Float], logSumExp: [Float])
    {
        let width = shape.queryRowElements
        let q = Array(queries[query * width..<(query + 1) * width])
        var output = [Float](repeating: .nan, count: width)
        var sums = [Float](repeating: .nan, count: shape.heads)
        var outputSpan = output.mutableSpan
        var sumSpan = sums.mutableSpan
        let pageBytes = pageRows * shape.kvRowElements * element.bytes
        rows.withUnsafeBytes { bytes in
            let pages = stride(from: 0, to: bytes.count, by: pageBytes).map {
                UnsafeRawBufferPointer(rebasing: bytes[$0..<min($0 + pageBytes, bytes.count)])
            }
            compute.attendOne(
                query: q.span, over: pages, element: element, shape: shape,
                output: &outputSpan, logSumExp: &sumSpan)
        }
        return (output, sums)
    }
}

/// The largest differences of output (absolute) and log-sum-exp (relative above 1); infinite when one is NaN.
private func difference(
    _ output: [Float], _ sums: [Float], _ exact: (output: [Double], logSumExp: [Double])
) -> (output: Double, sum: Double) {
    func worst(_ pairs: some Sequence<(Float, Double)>) -> Double {
        pairs.reduce(0) { worst, pair in
            let (got, wanted) = pair
            if Double(got) == wanted { return worst }
            let difference = abs(Double(got) - wanted) / max(1, abs(wanted))
            return difference.isNaN ? .infinity : max(worst, difference)
        }
    }
    return (worst(zip(output, exact.output)), worst(zip(sums, exact.logSumExp)))
}

/// What the number format allows: float32 sums, or probabilities rounded to bf16 (half a step of 2^-8) besides.
private func limits(coarse: Bool) -> (output: Double, sum: Double) { coarse ? (2.5e-3, 1e-4) : (5e-6, 2e-6) }

private struct Case: Sendable, CustomTestStringConvertible {
    let isa: ISA
    let element: KVElement
    var testDescription: String { "\(isa) \(element)" }

    static let all = ISA.available.flatMap { isa in KVElement.allCases.map { Case(isa: isa, element: $0) } }
}

@Suite struct AttentionTests {
    @Test(arguments: Case.all)
    private func agreesWithTheDefinition(_ test: Case) throws {
        let compute = try Compute(threads: 2, isa: test.isa, precision: .f32)
        let groups = [1, 3, 4, 8]
        var index = 0
        for d in [32, 64, 80, 96, 128, 256] {
            for n in [1, 2, 47, 49, 129] {
                index += 1
                let shape = try AttentionShape(
                    heads: groups[index % 4] * (1 + index % 2), kvHeads: 1 + index % 2, headDimension: d)
                let problem = Problem(
                    shape, test.element, queries: [max(0, n - 20)..<n], keys: n, seed: UInt64(index))
                let state = problem.attend(compute)
                let worst = difference(
                    state.output, state.logSumExp, problem.oracle(queriesRoundedFor: test.isa))
                let limit = limits(coarse: problem.isCoarse(test.isa))
                #expect(
                    worst.output < limit.output && worst.sum < limit.sum, "\(shape) \(n) tokens: \(worst)")
            }
        }
    }

    /// How keys arrive, and which queries are beside one, does not show in a single bit.
    @Test(arguments: Case.all)
    private func cutsAndNeighboursDoNotChangeBits(_ test: Case) throws {
        let shape = try AttentionShape(heads: 6, kvHeads: 2, headDimension: 64)
        let all = Problem(shape, test.element, queries: [0..<700], keys: 700)
        let compute = try Compute(threads: 2, isa: test.isa, precision: .f32)
        let whole = all.attend(compute)
        let worst = difference(whole.output, whole.logSumExp, all.oracle(queriesRoundedFor: test.isa))
        let limit = limits(coarse: all.isCoarse(test.isa))
        #expect(worst.output < limit.output && worst.sum < limit.sum, "\(worst)")
        for cuts in [[1], [128], [49, 50, 51], [33, 33, 140, 200, 640], [16, 32, 48, 64, 80, 256, 600]] {
            #expect(all.attend(compute, cuts: cuts) == whole, "cuts \(cuts)")
        }
        // Stripes, an empty run, single tokens, a late run first.
        for runs in [[600..<700, 0..<33], [5..<6, 131..<132, 127..<129, 300..<300, 640..<699], [699..<700]] {
            var some = all
            some.queryRuns = runs
            let rows = runs.flatMap { Array($0) }
            func picked(_ values: [Float], _ width: Int) -> [Float] {
                rows.flatMap { values[$0 * width..<($0 + 1) * width] }
            }
            some.queries = picked(all.queries, shape.queryRowElements)
            let got = some.attend(compute, cuts: [77, 512])
            #expect(got.output == picked(whole.output, shape.queryRowElements), "\(runs)")
            #expect(got.logSumExp == picked(whole.logSumExp, shape.heads), "\(runs)")
        }
    }

    @Test(arguments: Case.all)
    private func keysThatNobodySeesChangeNothing(_ test: Case) throws {
        let compute = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let shape = try AttentionShape(heads: 3, kvHeads: 1, headDimension: 80)
        let problem = Problem(shape, test.element, queries: [0..<30], keys: 400)
        let state = AttentionState(queriesAt: problem.queryRuns, shape: shape, element: test.element)
        // A state is used again for the next layer.
        let first = problem.attend(compute, cuts: [200], with: state)
        state.begin()
        #expect(state.keys == 0)
        #expect(problem.attend(compute, with: state) == first)
        var short = Problem(shape, test.element, queries: [0..<30], keys: 30)
        short.queries = problem.queries
        short.rows = Array(problem.rows[..<(30 * problem.rowBytes)])
        #expect(short.attend(compute) == first)

        let unseen = AttentionState(queriesAt: [0..<30], shape: shape, element: test.element)
        let output = Matrix(rows: 30, columns: 240, values: .init(repeating: .nan, count: 30 * 240))
        let sums = Matrix(rows: 30, columns: 3)
        compute.finish(0..<30, of: unseen, into: output, logSumExp: sums)
        #expect(output.values().allSatisfy { $0 == 0 } && sums.values().allSatisfy { $0 == -.infinity })

        let nobody = Problem(shape, test.element, queries: [], keys: 3)
        #expect(nobody.attend(compute).output.isEmpty)
    }

    @Test(arguments: Case.all)
    private func hugeLogitsStayFinite(_ test: Case) throws {
        let compute = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let shape = try AttentionShape(heads: 2, kvHeads: 1, headDimension: 64)
        let problem = Problem(shape, test.element, queries: [150..<200], keys: 200, logits: 110)
        let exact = problem.oracle(queriesRoundedFor: test.isa)
        #expect((exact.logSumExp.max() ?? 0) > 10_000)
        let state = problem.attend(compute, cuts: [77])
        let worst = difference(state.output, state.logSumExp, exact)
        // A float32 sum near 1e4 is off by about 1e-3, and so is the exponent.
        #expect(worst.output < 3e-2 && worst.sum < 2e-6, "\(worst)")
    }

    @Test(arguments: Case.all)
    private func decodeAgreesWithTheDefinitionAndPrefill(_ test: Case) throws {
        let compute = try Compute(threads: 2, isa: test.isa, precision: .f32)
        for (index, d) in [32, 64, 72, 80, 96, 128, 256].enumerated() {
            for n in [1, 49, 300, 1100] {
                let group = [1, 3, 4, 8][(index + n) % 4]
                let shape = try AttentionShape(heads: 2 * group, kvHeads: 2, headDimension: d)
                let problem = Problem(shape, test.element, queries: [n - 1..<n], keys: n)
                let (output, sums) = problem.decode(compute, query: 0)
                let worst = difference(output, sums, problem.oracle(queriesRoundedFor: nil))
                #expect(worst.output < 5e-6 && worst.sum < 2e-6, "head \(d), \(n) tokens: \(worst)")

                let state = problem.attend(compute)
                let prefill = (state.output.map(Double.init), state.logSumExp.map(Double.init))
                let apart = difference(output, sums, prefill)
                // Prefill rounds the query to bf16 besides: 2^-9 of each product.
                let limit = problem.isCoarse(test.isa) ? 8e-3 : 1e-5
                #expect(apart.output < limit && apart.sum < limit, "head \(d), \(n) tokens: \(apart)")
            }
        }
    }

    @Test(arguments: Case.all)
    private func threadsDoNotChangeBits(_ test: Case) throws {
        let shape = try AttentionShape(heads: 6, kvHeads: 2, headDimension: 64)
        let problem = Problem(shape, test.element, queries: [600..<700], keys: 1300)
        let one = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let three = try Compute(threads: 3, isa: test.isa, precision: .f32)
        #expect(problem.attend(one) == problem.attend(three))
        let (c, d) = (problem.decode(one, query: 3), problem.decode(three, query: 3))
        #expect(c.output == d.output && c.logSumExp == d.logSumExp)
    }

    @Test func pagesDoNotShowInDecode() throws {
        let compute = try Compute(threads: 2, precision: .f32)
        let shape = try AttentionShape(heads: 4, kvHeads: 2, headDimension: 32)
        let problem = Problem(shape, .f32, queries: [2999..<3000], keys: 3000)
        let whole = problem.decode(compute, query: 0, pageRows: 3072)
        for pageRows in [512, 1024, 1536] {
            let paged = problem.decode(compute, query: 0, pageRows: pageRows)
            #expect(paged.output == whole.output && paged.logSumExp == whole.logSumExp)
        }
    }

    @Test func decodeWithoutKeysSeesNothing() throws {
        let compute = try Compute(threads: 1, precision: .f32)
        let shape = try AttentionShape(heads: 2, kvHeads: 2, headDimension: 32)
        let problem = Problem(shape, .f32, queries: [0..<1], keys: 0)
        let (output, sums) = problem.decode(compute, query: 0)
        #expect(output.allSatisfy { $0 == 0 } && sums.allSatisfy { $0 == -.infinity })
    }

    @Test func badShapesAreRefused() {
        #expect(throws: KernelError.self) { try AttentionShape(heads: 9, kvHeads: 4, headDimension: 64) }
        #expect(throws: KernelError.self) { try AttentionShape(heads: 0, kvHeads: 1, headDimension: 64) }
        #expect(throws: KernelError.self) { try AttentionShape(heads: 1, kvHeads: 0, headDimension: 64) }
        #expect(throws: KernelError.self) { try AttentionShape(heads: 1, kvHeads: 1, headDimension: 63) }
        #expect(throws: KernelError.self) { try AttentionShape(heads: 1, kvHeads: 1, headDimension: 514) }
        #expect(throws: KernelError.self) {
            try AttentionShape(heads: 1, kvHeads: 1, headDimension: 64, scale: .nan)
        }
    }

    @Test func instructionSetsAreOrdered() {
        #expect(ISA.allCases.sorted() == ISA.allCases)
        #expect(ISA.available.first == .scalar && ISA.available.last == ISA.best)
    }
}
