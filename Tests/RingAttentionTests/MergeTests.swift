// The reference merge.
import Foundation
import RingAttention
import Testing

@Suite struct MergeTests {
    @Test func agreesWithOneSoftmax() throws {
        var (o, l): ([Float], [Float]) = ([1, 2], [Float(log(3.0))])  // weight 3
        try merge(output: &o, logSumExp: &l, with: [5, -2], [0], headSize: 2)  // weight 1
        #expect(abs(o[0] - 2) < 1e-6 && abs(o[1] - 1) < 1e-6)
        #expect(abs(l[0] - Float(log(4.0))) < 1e-6)
    }

    @Test func aFullyMaskedPartialChangesNothing() throws {
        var (o, l): ([Float], [Float]) = ([0.1, 0.3], [1e4])
        let before = (o, l)
        try merge(output: &o, logSumExp: &l, with: [0, 0], [-.infinity], headSize: 2)
        #expect(o == before.0 && l == before.1)
        var empty = AttentionPartial(heads: 1, headSize: 2)
        try empty.merge(AttentionPartial(heads: 1, headSize: 2))
        #expect(empty == AttentionPartial(heads: 1, headSize: 2))
        try merge(output: &empty.output, logSumExp: &empty.logSumExp, with: before.0, before.1, headSize: 2)
        #expect(empty.output == before.0 && empty.logSumExp == before.1)
    }

    @Test(arguments: [-1e4, 1e4, 0] as [Float]) func largeLogitsStayFinite(at: Float) throws {
        var (o, l): ([Float], [Float]) = ([1], [at])
        try merge(output: &o, logSumExp: &l, with: [3], [at], headSize: 1)
        #expect(o == [2] && abs(l[0] - (at + Float(log(2.0)))) < 1e-3)
        try merge(output: &o, logSumExp: &l, with: [7], [at + 200], headSize: 1)
        #expect(o == [7] && l == [at + 200])
        try merge(output: &o, logSumExp: &l, with: [9], [at - 2e4], headSize: 1)
        #expect(o == [7] && l == [at + 200])
    }

    @Test func otherShapesAreRefused() {
        var (o, l): ([Float], [Float]) = ([1, 2], [0])
        #expect(throws: RingError.self) {
            try merge(output: &o, logSumExp: &l, with: [1], [0], headSize: 2)
        }
        #expect(throws: RingError.self) {
            try merge(output: &o, logSumExp: &l, with: [1, 2], [0], headSize: 0)
        }
        #expect(throws: RingError.self) {
            try AttentionPartial(BytesPayload([1, 2, 3]), from: 4, heads: 1, headSize: 2)
        }
    }

    @Test func partialsSurviveTheWire() throws {
        var partial = AttentionPartial(heads: 2, headSize: 3)
        partial.output = [1, -2, 3.5, 1e-30, .leastNonzeroMagnitude, 7]
        partial.logSumExp = [-.infinity, 12.25]
        #expect(try AttentionPartial(partial.payload, from: 1, heads: 2, headSize: 3) == partial)
    }
}
