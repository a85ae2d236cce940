// Row-wise steps against double precision: norm, SwiGLU, sums, log-likelihood, rotation, the KV cache's rows.
import Foundation
import Kernels
import Testing

@Suite struct ElementwiseTests {
    private func near(_ got: Float, _ wanted: Double, _ relative: Double, least: Double = 1e-30) -> Bool {
        abs(Double(got) - wanted) <= relative * abs(wanted) + least
    }

    @Test(arguments: ISA.available)
    func norm(isa: ISA) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: .f32)
        var noise = Noise(1)
        let x = noise.matrix(70, 577)
        let weight = noise.numbers(577)
        let y = Matrix(rows: 70, columns: 577)
        compute.rmsNorm(x, weight: weight, epsilon: 1e-5, into: y)
        for row in 0..<70 {
            let squares = (0..<577).reduce(0.0) { $0 + Double(x[row, $1]) * Double(x[row, $1]) }
            let scale = 1 / (squares / 577 + 1e-5).squareRoot()
            for c in 0..<577 {
                #expect(near(y[row, c], Double(x[row, c]) * scale * Double(weight[c]), 1e-6))
            }
        }
    }

    @Test(arguments: ISA.available)
    func swiGLU(isa: ISA) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: .f32)
        var noise = Noise(2)
        let both = noise.matrix(9, 202)
        for row in 0..<9 { for c in 0..<101 { both[row, c] *= 90 } }
        let y = Matrix(rows: 9, columns: 101)
        compute.swiGLU(gateUp: both, into: y)
        for row in 0..<9 {
            for c in 0..<101 {
                let g = Double(both[row, c])
                #expect(near(y[row, c], g / (1 + exp(-g)) * Double(both[row, 101 + c]), 6e-7, least: 1e-36))
            }
        }
    }

    @Test(arguments: ISA.available)
    func logLikelihood(isa: ISA) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: .f32)
        var noise = Noise(3)
        let logits = Matrix(rows: 5, columns: 4999, values: noise.numbers(5 * 4999).map { $0 * 30 })
        let targets: [Int32] = [0, 4998, 17, 2500, 1]
        let got = try compute.logSoftmaxPick(logits: logits, targets: targets)
        for row in 0..<5 {
            let total = (0..<4999).reduce(0.0) { $0 + exp(Double(logits[row, $1])) }
            #expect(near(got[row], log(total) - Double(logits[row, Int(targets[row])]), 2e-7, least: 3e-6))
        }
        #expect(throws: KernelError.token(4999, vocabulary: 4999)) {
            try compute.logSoftmaxPick(logits: logits, targets: [0, 0, 0, 0, 4999])
        }
        // Far below e^-87 nothing may overflow or become NaN.
        let steep = Matrix(rows: 1, columns: 3, values: [-1000, 0, 1000])
        #expect(try compute.logSoftmaxPick(logits: steep, targets: [0]) == [2000])
    }

    @Test(arguments: ISA.available, RotaryLayout.allCases)
    func rotation(isa: ISA, layout: RotaryLayout) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: .f32)
        var noise = Noise(4)
        let x = noise.matrix(40, 100)
        let old = Matrix(rows: 40, columns: 100, values: x.values())
        let cosine = noise.matrix(40, 8)
        let sine = noise.matrix(40, 8)
        compute.rotate(
            x, column: 10, heads: 3, headDimension: 20, rotaryDimension: 16, cos: cosine, sin: sine,
            layout: layout)
        var wanted = old.values()
        for row in 0..<40 {
            for head in 0..<3 {
                for i in 0..<8 {
                    let first = row * 100 + 10 + head * 20
                    let a = first + (layout == .adjacentPairs ? 2 * i : i)
                    let b = first + (layout == .adjacentPairs ? 2 * i + 1 : i + 8)
                    let (u, v) = (wanted[a], wanted[b])
                    wanted[a] = u * cosine[row, i] - v * sine[row, i]
                    wanted[b] = u * sine[row, i] + v * cosine[row, i]
                }
            }
        }
        for (got, wanted) in zip(x.values(), wanted) { #expect(abs(got - wanted) <= 3e-7) }
        // Everything outside the rotated elements is untouched.
        #expect((0..<40).allSatisfy { row in (0..<10).allSatisfy { x[row, $0] == old[row, $0] } })
        #expect((0..<40).allSatisfy { row in (26..<30).allSatisfy { x[row, $0] == old[row, $0] } })
    }

    @Test(arguments: ISA.available)
    func cacheRows(isa: ISA) throws {
        let compute = try Compute(threads: 2, isa: isa, precision: .bf16)
        var noise = Noise(5)
        let qkv = noise.matrix(3, 50)
        let width = 19
        for element in [KVElement.f32, .bf16] {
            let line = 2 * width * element.bytes
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 5 * line, alignment: 64)
            defer { bytes.deallocate() }
            for at in bytes.indices { bytes[at] = 0xaa }
            try compute.storeKV(
                keys: qkv, keyColumn: 5, values: qkv, valueColumn: 30, width: width, into: bytes, firstRow: 1,
                element: element)
            #expect(
                bytes[..<line].allSatisfy { $0 == 0xaa } && bytes[(4 * line)...].allSatisfy { $0 == 0xaa })
            for token in 0..<3 {
                for c in 0..<2 * width {
                    let source = c < width ? qkv[token, 5 + c] : qkv[token, 30 + c - width]
                    let at = (token + 1) * line + c * element.bytes
                    let got =
                        element == .f32
                        ? bytes.loadUnaligned(fromByteOffset: at, as: Float.self)
                        : Float(
                            bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)) << 16
                        )
                    #expect(got == (element == .f32 ? source : bf16(source)))
                }
            }
            #expect(throws: KernelError.bufferTooSmall(needed: 4 * line, given: 4 * line - 1)) {
                try compute.storeKV(
                    keys: qkv, keyColumn: 5, values: qkv, valueColumn: 30, width: width,
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<(4 * line - 1)]), firstRow: 1,
                    element: element)
            }
        }
    }

    @Test func checksum() {
        // RFC 3720, B.4.
        let rising = [UInt8](0..<32)
        #expect(rising.withUnsafeBytes { crc32c($0) } == 0x46dd_794e)
        #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { crc32c($0) } == 0x8a91_36aa)
        #expect([UInt8]().withUnsafeBytes { crc32c($0) } == 0)
        var noise = Noise(6)
        let bytes = (0..<1001).map { _ in UInt8(truncatingIfNeeded: noise.next()) }
        let whole = bytes.withUnsafeBytes { crc32c($0) }
        #expect(bytes.withUnsafeBytes { crc32cReference($0) } == whole)
        let first = bytes[..<333].withUnsafeBytes { crc32c($0) }
        #expect(bytes[333...].withUnsafeBytes { crc32c($0, seed: first) } == whole)
    }
}
