// Prefill and decode attention against a double precision oracle, on every instruction set of this processor.
import Foundation
import Kernels
import Testing

private func bf16Bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
}

private func bf16Rounded(_ value: Float) -> Float { Float(bitPattern: UInt32(bf16Bits(value)) << 16) }

/// Queries and a block, with positions.
private struct Problem {
    let shape: AttentionShape
    let element: KVElement
    var queryRuns: [Range<Int>]
    var keyRuns: [Range<Int>]
    var queries: [Float]
    /// As the kernels see it: rounded when the element is bf16.
    var values: [Float]
    var rows: [UInt8]

    init(
        _ shape: AttentionShape, _ element: KVElement, queries queryRuns: [Range<Int>],
        keys keyRuns: [Range<Int>], logits: Float = 1, seed: UInt64 = 1
    ) {
        self.shape = shape
        self.element = element
        self.queryRuns = queryRuns
        self.keyRuns = keyRuns
        var noise = Noise(seed)
        let queryCount = queryRuns.reduce(0) { $0 + $1.count }
        queries = noise.numbers(queryCount * shape.queryRowElements).map { $0 * logits }
        values = noise.numbers(keyRuns.reduce(0) { $0 + $1.count } * shape.kvRowElements)
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
    var keyCount: Int { keyRuns.reduce(0) { $0 + $1.count } }
    var rowBytes: Int { shape.kvRowElements * element.bytes }

    func isCoarse(_ isa: ISA) -> Bool { element == .bf16 && isa == .avx512bf16 }

    /// By definition: sum over the visible keys of exp(q . k scale) v, in double precision.
    func oracle(queriesRoundedFor isa: ISA?) -> (output: [Double], logSumExp: [Double]) {
        let (d, heads) = (shape.headDimension, shape.heads)
        let factor = shape.scale * 1.442_695_04
        var queries = queries
        if let isa, isCoarse(isa) { queries = queries.map { bf16Rounded($0 * factor) / factor } }
        let queryAt = queryRuns.flatMap { Array($0) }
        let keyAt = keyRuns.flatMap { Array($0) }
        var output = [Double](repeating: 0, count: queries.count)
        var sums = [Double](repeating: -.infinity, count: queryAt.count * heads)
        for n in queryAt.indices {
            for h in 0..<heads {
                let q = (n * heads + h) * d
                let k = h / (heads / shape.kvHeads) * d
                let seen = keyAt.indices.filter { keyAt[$0] <= queryAt[n] }
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

    /// Attends over the block in pieces that end at `cuts`.
    func attend(_ compute: Compute, cuts: [Int] = []) -> AttentionState {
        let state = AttentionState(queries: queryCount, shape: shape)
        let matrix = Matrix(rows: queryCount, columns: shape.queryRowElements, values: queries)
        let ends = cuts + [keyCount]
        var start = 0
        for end in ends {
            rows.withUnsafeBytes { bytes in
                compute.attend(
                    queries: matrix, at: queryRuns,
                    over: UnsafeRawBufferPointer(rebasing: bytes[start * rowBytes..<end * rowBytes]),
                    at: part(start..<end), element: element, shape: shape, into: state)
            }
            start = end
        }
        return state
    }

    /// The positions of some of the keys as runs.
    private func part(_ keys: Range<Int>) -> [Range<Int>] {
        var first = 0
        return keyRuns.map { run in
            defer { first += run.count }
            let low = min(max(keys.lowerBound - first, 0), run.count)
            let high = min(max(keys.upperBound - first, 0), run.count)
            return run.lowerBound + low..<run.lowerBound + high
        }
    }

    func decode(_ compute: Compute, query: Int) -> (output: [Float], logSumExp: [Float]) {
        let width = shape.queryRowElements
        let q = Array(queries[query * width..<(query + 1) * width])
        var output = [Float](repeating: .nan, count: width)
        var sums = [Float](repeating: .nan, count: shape.heads)
        var outputSpan = output.mutableSpan
        var sumSpan = sums.mutableSpan
        rows.withUnsafeBytes { bytes in
            compute.attendOne(
                query: q.span, over: bytes, count: keyCount, element: element, shape: shape,
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
                    shape, test.element, queries: [max(0, n - 20)..<n], keys: [0..<n], seed: UInt64(index))
                let state = problem.attend(compute)
                let worst = difference(
                    state.output.values(), state.logSumExp.values(),
                    problem.oracle(queriesRoundedFor: test.isa))
                let limit = limits(coarse: problem.isCoarse(test.isa))
                #expect(
                    worst.output < limit.output && worst.sum < limit.sum, "\(shape) \(n) tokens: \(worst)")
            }
        }
    }

    @Test(arguments: Case.all)
    private func runsGapsAndCutsDoNotMatter(_ test: Case) throws {
        let compute = try Compute(threads: 2, isa: test.isa, precision: .f32)
        let shape = try AttentionShape(heads: 6, kvHeads: 2, headDimension: 64)
        // A zigzag shard, an empty run, single tokens, keys of the far future, and a late run first: some queries
        // see nothing until a later tile.
        let problem = Problem(
            shape, test.element, queries: [100..<127, 900..<900, 400..<431],
            keys: [
                405..<425, 5_000_000_000..<5_000_000_140, 0..<49, 90..<120, 7000..<7000, 380..<381, 395..<405,
                425..<440, 5_000_000_140..<5_000_000_280, 60..<85,
            ])
        let exact = problem.oracle(queriesRoundedFor: test.isa)
        let limit = limits(coarse: problem.isCoarse(test.isa))
        for cuts in [[], [1], [49, 50], [33, 33, 140, 200], [160, 290]] {
            let state = problem.attend(compute, cuts: cuts)
            let worst = difference(state.output.values(), state.logSumExp.values(), exact)
            #expect(worst.output < limit.output && worst.sum < limit.sum, "cuts \(cuts): \(worst)")
        }
    }

    @Test(arguments: Case.all)
    private func fullyMaskedBlockChangesNothing(_ test: Case) throws {
        let compute = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let shape = try AttentionShape(heads: 3, kvHeads: 1, headDimension: 80)
        let later = Problem(shape, test.element, queries: [10..<40], keys: [40..<170])
        let state = later.attend(compute)
        #expect(state.output.values().allSatisfy { $0 == 0 })
        #expect(state.logSumExp.values().allSatisfy { $0 == -.infinity })

        // Half of the queries see the first of these keys; then a block that nobody sees follows.
        let partly = Problem(shape, test.element, queries: [10..<40], keys: [25..<90])
        let half = partly.attend(compute)
        let (output, sums) = (half.output.values(), half.logSumExp.values())
        #expect(output[0..<15 * 240].allSatisfy { $0 == 0 } && output[15 * 240] != 0)
        #expect(sums[0..<45].allSatisfy { $0 == -.infinity } && sums[45...].allSatisfy(\.isFinite))
        let matrix = Matrix(rows: 30, columns: 240, values: later.queries)
        later.rows.withUnsafeBytes { bytes in
            compute.attend(
                queries: matrix, at: later.queryRuns, over: bytes, at: later.keyRuns, element: test.element,
                shape: shape, into: half)
        }
        #expect(half.output.values() == output && half.logSumExp.values() == sums)

        half.reset(queries: 31)
        #expect(half.output.rows == 31 && half.logSumExp.values().allSatisfy { $0 == -.infinity })
        half.reset(queries: 0)
        compute.attend(
            queries: Matrix(rows: 0, columns: 240), at: [],
            over: UnsafeRawBufferPointer(start: nil, count: 0),
            at: [3..<3], element: test.element, shape: shape, into: half)
        #expect(half.output.values().isEmpty)
    }

    @Test(arguments: Case.all)
    private func hugeLogitsStayFinite(_ test: Case) throws {
        let compute = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let shape = try AttentionShape(heads: 2, kvHeads: 1, headDimension: 64)
        let problem = Problem(shape, test.element, queries: [150..<200], keys: [0..<200], logits: 110)
        let exact = problem.oracle(queriesRoundedFor: test.isa)
        #expect((exact.logSumExp.max() ?? 0) > 10_000)
        let state = problem.attend(compute, cuts: [77])
        let worst = difference(state.output.values(), state.logSumExp.values(), exact)
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
                let problem = Problem(shape, test.element, queries: [n - 1..<n], keys: [0..<n])
                let (output, sums) = problem.decode(compute, query: 0)
                let worst = difference(output, sums, problem.oracle(queriesRoundedFor: nil))
                #expect(worst.output < 5e-6 && worst.sum < 2e-6, "head \(d), \(n) tokens: \(worst)")

                let state = problem.attend(compute)
                let prefill = (
                    state.output.values().map(Double.init), state.logSumExp.values().map(Double.init)
                )
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
        let problem = Problem(shape, test.element, queries: [600..<700], keys: [0..<1300])
        let one = try Compute(threads: 1, isa: test.isa, precision: .f32)
        let three = try Compute(threads: 3, isa: test.isa, precision: .f32)
        let (a, b) = (problem.attend(one), problem.attend(three))
        #expect(a.output.values() == b.output.values() && a.logSumExp.values() == b.logSumExp.values())
        let (c, d) = (problem.decode(one, query: 3), problem.decode(three, query: 3))
        #expect(c.output == d.output && c.logSumExp == d.logSumExp)
    }

    @Test func decodeWithoutKeysSeesNothing() throws {
        let compute = try Compute(threads: 1, precision: .f32)
        let shape = try AttentionShape(heads: 2, kvHeads: 2, headDimension: 32)
        let problem = Problem(shape, .f32, queries: [0..<1], keys: [])
        let (output, sums) = problem.decode(compute, query: 0)
        #expect(output.allSatisfy { $0 == 0 } && sums.allSatisfy { $0 == -.infinity })
    }

    @Test func mergingPartialsGivesTheWhole() throws {
        let compute = try Compute(threads: 2, precision: .f32)
        let shape = try AttentionShape(heads: 4, kvHeads: 2, headDimension: 32)
        let whole = Problem(shape, .f32, queries: [0..<150], keys: [0..<150])
        let exact = whole.oracle(queriesRoundedFor: nil)
        var left = whole
        left.keyRuns = [0..<70]
        left.rows = Array(whole.rows[..<(70 * whole.rowBytes)])
        var right = whole
        right.keyRuns = [70..<150]
        right.rows = Array(whole.rows[(70 * whole.rowBytes)...])
        let running = left.attend(compute)
        let partial = right.attend(compute)
        let (output, sums) = (partial.output.values(), partial.logSumExp.values())
        var plainOutput = running.output.values()
        var plainSums = running.logSumExp.values()
        compute.merge(output: output.span, logSumExp: sums.span, into: running)
        let worst = difference(running.output.values(), running.logSumExp.values(), exact)
        #expect(worst.output < 5e-6 && worst.sum < 2e-6, "\(worst)")

        var outputSpan = plainOutput.mutableSpan
        var sumSpan = plainSums.mutableSpan
        compute.merge(
            partialOutput: output.span, partialLogSumExp: sums.span, shape: shape, intoOutput: &outputSpan,
            logSumExp: &sumSpan)
        #expect(plainOutput == running.output.values() && plainSums == running.logSumExp.values())
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
