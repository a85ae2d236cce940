// Tensors that lie in memory instead of in a file: for tests and measurements of kernels.

extension GGUFTensor {
    /// A tensor `[rows, columns]` with a copy of the given bytes.
    package init(
        _ name: String = "tensor", type: GGUFTensorType, rows: Int, columns: Int, copying bytes: [UInt8]
    ) throws(GGUFError) {
        let (elements, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard rows > 0, columns > 0, columns % type.elementsPerBlock == 0, !overflow,
            bytes.count == elements / type.elementsPerBlock * type.bytesPerBlock
        else {
            throw GGUFError(
                kind: .malformed, path: name,
                problem: "\(bytes.count) bytes are not a tensor of \(rows) x \(columns) in \(type)")
        }
        self.init(
            name: name, type: type, dimensions: [columns, rows],
            mapping: try Mapping(copying: bytes, path: name), range: 0..<bytes.count)
    }

    /// Random weights `[rows, columns]` whose scales are ordinary numbers. The blocks repeat after 256 KiB.
    package static func random(
        type: GGUFTensorType, rows: Int, columns: Int, using generator: inout some RandomNumberGenerator
    ) throws(GGUFError) -> GGUFTensor {
        let count = rows * columns / type.elementsPerBlock * type.bytesPerBlock
        let period = max(1, (256 << 10) / type.bytesPerBlock) * type.bytesPerBlock
        var pattern: [UInt8] = []
        pattern.reserveCapacity(period + 8)
        while pattern.count < min(period, count) {
            var bits = generator.next()
            for _ in 0..<8 {
                pattern.append(UInt8(truncatingIfNeeded: bits))
                bits >>= 8
            }
        }
        pattern.removeLast(pattern.count - min(period, count))
        for block in stride(from: 0, to: pattern.count, by: type.bytesPerBlock) {
            for part in type.numbers {
                // The exponent's upper byte is fixed, but for the sign.
                let at = block + part.offset
                pattern[at] = pattern[at] & ~part.mask | part.bits
            }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count { bytes += pattern.prefix(count - bytes.count) }
        return try GGUFTensor(type: type, rows: rows, columns: columns, copying: bytes)
    }
}

extension GGUFTensorType {
    /// The highest bytes of a block's floating point numbers: where they stand, which of their bits are given, and
    /// what these are.
    fileprivate var numbers: [(offset: Int, mask: UInt8, bits: UInt8)] {
        // Half precision: five bits of exponent after the sign, of which `bits` gives all.
        func half(_ offset: Int, exponent: Int) -> (Int, UInt8, UInt8) {
            (offset + 1, 0x7c, UInt8(exponent + 15) << 2)
        }
        return switch self {
        case .f32: [(3, 0x7f, 0x3d)]
        case .bf16: [(1, 0x7f, 0x3d)]
        case .f16: [half(0, exponent: -4)]
        case .q4_0, .q5_0, .q8_0: [half(0, exponent: -4)]
        case .q4_1, .q5_1, .q4_K, .q5_K: [half(0, exponent: -7), half(2, exponent: -4)]
        case .q6_K: [half(208, exponent: -9)]
        }
    }
}
