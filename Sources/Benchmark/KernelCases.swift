// The kernels that are measured, at the sizes that real models have.
import GGUF
import Kernels
import LongRoPE
import Sampling

extension KernelCase {
    static func all(_ sizes: KernelSizes, compute: Compute) -> [KernelCase] {
        attention(sizes, compute) + decode(sizes, compute) + linear(sizes, compute) + dot(sizes)
            + dequantise(sizes) + rows(sizes)
    }

    // MARK: Attention

    /// Heads of the models that Lariat runs, by head size: SmolLM2, then two shapes of Phi, Llama, Gemma.
    private static let headShapes = [
        (heads: 9, kvHeads: 3, size: 64), (8, 2, 80), (8, 2, 96), (8, 2, 128), (8, 2, 256),
    ]

    /// Half of the products of queries and keys are masked; those that are not cost 2 operations for each element of
    /// the head, twice (scores, and the sum of values).
    private static func attention(_ sizes: KernelSizes, _ compute: Compute) -> [KernelCase] {
        headShapes.map { heads, kvHeads, size in
            let tokens = sizes.attentionTokens
            return KernelCase(
                group: .attention, name: "causal, \(tokens) tokens, \(heads):\(kvHeads) heads of \(size)",
                yardstick: .operations(compute.usesBF16 ? .bf16 : .f32),
                work: 2 * Double(tokens) * Double(tokens) * Double(heads * size)
            ) { compute throws(BenchmarkError) in
                let element = kvElement(compute)
                let (shape, rows) = try keysAndValues(tokens, heads, kvHeads, size, compute)
                let queries = random(rows: tokens, columns: shape.queryRowElements)
                let state = AttentionState(queriesAt: [0..<tokens], shape: shape, element: element)
                return { () throws(KernelError) in
                    state.begin()
                    rows.withUnsafeBytes { compute.attend(queries: queries, over: $0, into: state) }
                    compute.attendRest(queries: queries, last: true, into: state)
                }
            }
        }
    }

    private static func decode(_ sizes: KernelSizes, _ compute: Compute) -> [KernelCase] {
        [(9, 3, 64), (32, 8, 128)].map { heads, kvHeads, size in
            let rowBytes = 2 * kvHeads * size * kvElement(compute).bytes
            let tokens = sizes.memoryBytes / rowBytes
            return KernelCase(
                group: .decode, name: "one query, \(tokens) tokens, \(heads):\(kvHeads) heads of \(size)",
                yardstick: .reading, work: Double(tokens * rowBytes)
            ) { compute throws(BenchmarkError) in
                let element = kvElement(compute)
                let (shape, rows) = try keysAndValues(tokens, heads, kvHeads, size, compute)
                let query = random(rows: 1, columns: shape.queryRowElements)
                let output = Matrix(rows: 1, columns: shape.queryRowElements)
                let sums = Matrix(rows: 1, columns: heads)
                return { () throws(KernelError) in
                    query.withRow(0) { query in
                        output.withMutableSpan { output in
                            sums.withMutableSpan { sums in
                                rows.withUnsafeBytes { rows in
                                    compute.attendOne(
                                        query: query, over: [rows], element: element,
                                        shape: shape,
                                        output: &output, logSumExp: &sums)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// How a cache of this precision holds keys and values.
    private static func kvElement(_ compute: Compute) -> KVElement {
        compute.precision == .bf16 ? .bf16 : .f32
    }

    /// Random keys and values of one layer, as the cache holds them.
    private static func keysAndValues(
        _ tokens: Int, _ heads: Int, _ kvHeads: Int, _ size: Int, _ compute: Compute
    ) throws(BenchmarkError) -> (AttentionShape, [UInt8]) {
        do throws(KernelError) {
            let shape = try AttentionShape(heads: heads, kvHeads: kvHeads, headDimension: size)
            let element = kvElement(compute)
            let rowBytes = shape.kvRowElements * element.bytes
            var rows = [UInt8](repeating: 0, count: tokens * rowBytes)
            // Some rows at a time: as float32 they would take twice the memory.
            let part = random(rows: min(tokens, 4096), columns: shape.kvRowElements)
            for first in stride(from: 0, to: tokens, by: part.capacity) {
                part.reshape(rows: min(part.capacity, tokens - first))
                // The closure's error type is not inferred.
                let stored = rows.withUnsafeMutableBytes { bytes -> Result<Void, KernelError> in
                    do throws(KernelError) {
                        try compute.storeKV(
                            keys: part, keyColumn: 0, values: part, valueColumn: kvHeads * size,
                            width: kvHeads * size, into: bytes, firstRow: first, element: element)
                        return .success(())
                    } catch { return .failure(error) }
                }
                try stored.get()
            }
            return (shape, rows)
        } catch { throw .kernel(error) }
    }

    // MARK: Weights

    /// The products of SmolLM2's layers, and one of a large model's.
    private static func linear(_ sizes: KernelSizes, _ compute: Compute) -> [KernelCase] {
        let large = sizes.largestProduct
        return [(576, 576), (576, 192), (576, 1536), (1536, 576), (large, large)].map { inputs, outputs in
            KernelCase(
                group: .linear, name: "\(sizes.rows) rows, \(inputs) to \(outputs)",
                yardstick: .operations(compute.usesBF16 ? .bf16 : .f32),
                work: 2 * Double(sizes.rows) * Double(inputs) * Double(outputs)
            ) { compute throws(BenchmarkError) in
                let weights = try randomWeights(.q8_0, rows: outputs, columns: inputs)
                let packed: PackedWeights
                do throws(KernelError) { packed = try compute.pack(WeightStack(weights)) } catch {
                    throw .kernel(error)
                }
                let x = random(rows: sizes.rows, columns: inputs)
                let y = Matrix(rows: sizes.rows, columns: outputs)
                return { () throws(KernelError) in try compute.linear(x, packed, into: y) }
            }
        }
    }

    /// Inputs of the weights that are read from memory.
    private static let inputs = 4096

    private static func dot(_ sizes: KernelSizes) -> [KernelCase] {
        GGUFTensorType.allCases.map { type in
            let rowBytes = inputs / type.elementsPerBlock * type.bytesPerBlock
            let outputs = max(16, sizes.memoryBytes / rowBytes)
            return KernelCase(
                group: .dot, name: "\(type), 1 row, \(inputs) to \(outputs)", yardstick: .reading,
                work: Double(outputs * rowBytes), elements: Double(outputs * inputs)
            ) { compute throws(BenchmarkError) in
                let weights = WeightStack(try randomWeights(type, rows: outputs, columns: inputs))
                let x = random(rows: 1, columns: inputs)
                let y = Matrix(rows: 1, columns: outputs)
                return { () throws(KernelError) in compute.linear(x, weights, into: y) }
            }
        }
    }

    private static func dequantise(_ sizes: KernelSizes) -> [KernelCase] {
        GGUFTensorType.allCases.map { type in
            let rows = max(1, sizes.memoryBytes / (inputs * 4))
            return KernelCase(
                group: .dequantise, name: "\(type), \(rows) x \(inputs)", yardstick: .writing,
                work: Double(rows * inputs * 4), elements: Double(rows * inputs)
            ) { compute throws(BenchmarkError) in
                let weights = try randomWeights(type, rows: rows, columns: inputs)
                let y = Matrix(rows: rows, columns: inputs)
                return { () throws(KernelError) in compute.dequantise(weights, rows: 0..<rows, into: y) }
            }
        }
    }

    private static func randomWeights(
        _ type: GGUFTensorType, rows: Int, columns: Int
    ) throws(BenchmarkError) -> WeightMatrix {
        var generator = SplitMix64(seed: 1)
        let tensor: GGUFTensor
        do throws(GGUFError) {
            tensor = try .random(type: type, rows: rows, columns: columns, using: &generator)
        } catch { throw .weights(error) }
        do throws(KernelError) { return try WeightMatrix(tensor) } catch { throw .kernel(error) }
    }

    // MARK: Rows

    /// Floating point operations of one exponential as the kernels compute it: 3 for the power of two, 4 for the
    /// rest, 14 for the polynomial, 2 for the result.
    private static let exponential = 23.0

    private static func rows(_ sizes: KernelSizes) -> [KernelCase] {
        let width = 576
        let many = max(16, sizes.memoryBytes / (width * 4))
        let pairs = 32
        let positions = max(16, sizes.memoryBytes / (2 * pairs * 4))
        // Few enough rows to stay in the cache, as they do in a layer: the exponential is to be measured.
        let gates = 256
        let feedForward = 1536
        let scored = 16
        return [
            KernelCase(
                group: .angles, name: "\(positions) positions, \(pairs) pairs", yardstick: .writing,
                work: Double(positions * pairs * 8), elements: Double(positions * pairs)
            ) { compute throws(BenchmarkError) in
                let table = try angles(pairs: pairs, positions: positions)
                let cosine = Matrix(rows: positions, columns: pairs)
                let sine = Matrix(rows: positions, columns: pairs)
                return { () throws(KernelError) in
                    compute.fillAngles(table, at: [0..<positions], cosine: cosine, sine: sine)
                }
            },
            KernelCase(
                group: .norms, name: "RMS norm, \(many) rows of \(width)", yardstick: .moving,
                work: Double(many * width * 8), elements: Double(many * width)
            ) { compute throws(BenchmarkError) in
                let x = random(rows: many, columns: width)
                let y = Matrix(rows: many, columns: width)
                let weight = [Float](repeating: 1, count: width)
                return { () throws(KernelError) in compute.rmsNorm(x, weight: weight, epsilon: 1e-5, into: y)
                }
            },
            KernelCase(
                group: .exp, name: "SwiGLU, \(gates) rows of \(feedForward)", yardstick: .operations(.f32),
                work: Double(gates * feedForward) * (exponential + 4), elements: Double(gates * feedForward)
            ) { compute throws(BenchmarkError) in
                let gateUp = random(rows: gates, columns: 2 * feedForward)
                let y = Matrix(rows: gates, columns: feedForward)
                return { () throws(KernelError) in compute.swiGLU(gateUp: gateUp, into: y) }
            },
            KernelCase(
                group: .exp, name: "log-likelihood, \(scored) rows of \(sizes.vocabulary)",
                yardstick: .operations(.f32), work: Double(scored * sizes.vocabulary) * (exponential + 3),
                elements: Double(scored * sizes.vocabulary)
            ) { compute throws(BenchmarkError) in
                let logits = random(rows: scored, columns: sizes.vocabulary)
                let targets = (0..<scored).map { Int32($0) }
                return { () throws(KernelError) in
                    _ = try compute.logSoftmaxPick(logits: logits, targets: targets)
                }
            },
        ]
    }

    private static func angles(pairs: Int, positions: Int) throws(BenchmarkError) -> AngleTable {
        do throws(LongRoPEError) {
            return AngleTable(
                try RotaryProfile(
                    name: "benchmark", theta: 100_000, rotaryDimension: 2 * pairs,
                    factors: (0..<pairs).map { 1 + Double($0) / 8 }, window: positions))
        } catch { throw .setting("\(error)") }
    }

    /// Numbers between -1 and 1.
    private static func random(rows: Int, columns: Int) -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        var generator = SplitMix64(seed: UInt64(rows))
        matrix.withMutableSpan { values in
            for index in values.indices {
                values[index] = Float(Int64(bitPattern: generator.next()) >> 40) * 0x1p-23
            }
        }
        return matrix
    }
}
