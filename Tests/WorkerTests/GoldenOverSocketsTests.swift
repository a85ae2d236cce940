// The golden logits again, with the blocks on real HTTP/2 connections.
import Kernels
import TestSupport
import Testing
import Transformer

@Suite(.serialized) struct GoldenOverSocketsTests {
    struct Reference: Decodable {
        struct Case: Decodable {
            let name: String
            let tokens: [Int32]
        }
        let cases: [Case]
    }

    @Test(arguments: ["short", "long"], [1, 2, 3, 4])
    func logitsEqualTheReference(name: String, workers: Int) async throws {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let reference: Reference = try Golden.json("tiny-phi3-longrope.json")
        let tokens = try #require(reference.cases.first { $0.name == name }).tokens
        let parts = try await SocketRing(model: model, workers: workers).run(tokens) { pass, assignment in
            let positions = assignment.runs.flatMap { Array($0) }
            var rows: [(Int, [Float])] = []
            try pass.eachLogits { range, logits in
                for (at, row) in range.enumerated() {
                    rows.append((positions[row], logits.withRow(at) { row in row.indices.map { row[$0] } }))
                }
            }
            return rows
        }
        let golden = try Golden.npy("tiny-phi3-longrope-\(name)-logits.npy")
        var seen = 0
        var worst: Float = 0
        for (position, row) in parts.joined() {
            seen += 1
            let expected = golden.values[position * golden.columns..<(position + 1) * golden.columns]
            worst = max(worst, zip(row, expected).map { abs($0 - $1) }.max() ?? .infinity)
        }
        #expect(seen == golden.rows)
        #expect(worst <= 2e-4)
    }
}
