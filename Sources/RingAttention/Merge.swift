// Partial attention results and the reference for merging them (design, section 5).
import Foundation

/// Merges normalised partial attention (o, l) into (O, L), fp32, natural logarithm:
/// m = max(L, l); O = (O e^(L-m) + o e^(l-m)) / (e^(L-m) + e^(l-m)); L = m + ln(e^(L-m) + e^(l-m)).
///
/// A fully masked partial (0, -inf) changes nothing; -inf minus -inf is never formed.
/// - Parameters:
///   - output: O, shape (rows, headSize), where a row is one query and head; `o` likewise.
///   - logSumExp: L, shape (rows); `l` likewise.
/// - Throws: `.invalidPlan` when the shapes differ.
public func merge(
    output: inout [Float], logSumExp: inout [Float], with o: [Float], _ l: [Float], headSize: Int
) throws(RingError) {
    guard headSize > 0, output.count == o.count, logSumExp.count == l.count,
        output.count.isMultiple(of: headSize), output.count / headSize == l.count
    else {
        throw .invalidPlan(
            "partials of different shape: \(output.count) and \(o.count) values, \(logSumExp.count) and "
                + "\(l.count) rows, head size \(headSize)")
    }
    for row in l.indices where l[row] > -.infinity {
        let m = max(logSumExp[row], l[row])
        let old = exp(logSumExp[row] - m)
        let new = exp(l[row] - m)
        for at in row * headSize..<(row + 1) * headSize {
            output[at] = (output[at] * old + o[at] * new) / (old + new)
        }
        logSumExp[row] = m + log(old + new)
    }
}

/// Attention of one token's heads over some KV: normalised output and log-sum-exp (natural logarithm).
public struct AttentionPartial: Sendable, Equatable {
    public let headSize: Int
    /// Shape (heads, headSize).
    public var output: [Float]
    /// Shape (heads); -inf: nothing was visible.
    public var logSumExp: [Float]

    /// What attention over nothing gives, and what merging starts from.
    public init(heads: Int, headSize: Int) {
        self.headSize = headSize
        output = [Float](repeating: 0, count: max(0, heads) * max(0, headSize))
        logSumExp = [Float](repeating: -.infinity, count: max(0, heads))
    }

    /// Reads the form of the wire: output, then log-sum-exp, little-endian float32.
    /// - Throws: `.protocolViolation(rank:)` when the size does not match.
    public init(_ payload: any RingPayload, from rank: Int, heads: Int, headSize: Int) throws(RingError) {
        self.init(heads: heads, headSize: headSize)
        let size = 4 * (output.count + logSumExp.count)
        guard payload.count == size else {
            throw .protocolViolation(
                rank: rank,
                what: "a partial of \(payload.count) bytes; \(heads) heads of \(headSize) have \(size)")
        }
        var values: [Float] = []
        values.reserveCapacity(size / 4)
        payload.withUnsafeBytes { bytes in
            for at in stride(from: 0, to: min(size, bytes.count), by: 4) {
                let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
                values.append(Float(bitPattern: bits))
            }
        }
        guard values.count == size / 4 else {
            throw .protocolViolation(rank: rank, what: "a partial shorter than it said")
        }
        let cut = output.count
        output = Array(values[..<cut])
        logSumExp = Array(values[cut...])
    }

    /// The form of the wire.
    public var payload: BytesPayload {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * (output.count + logSumExp.count))
        for value in [output, logSumExp].joined() {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
        }
        return BytesPayload(bytes)
    }

    /// Merges another partial of the same query into this one.
    public mutating func merge(_ other: AttentionPartial) throws(RingError) {
        try RingAttention.merge(
            output: &output, logSumExp: &logSumExp, with: other.output, other.logSumExp, headSize: headSize)
    }
}
