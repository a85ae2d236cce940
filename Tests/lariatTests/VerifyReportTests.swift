// The verdict of `lariat verify`.
import JSONText
import Testing
import lariat

@Suite struct VerifyReportTests {
    private func report(_ scores: [Float]...) -> VerifyReport {
        var report = VerifyReport()
        for (at, scores) in scores.enumerated() {
            report.add(.init(workers: at + 1, scores: scores, seconds: Double(at + 1)))
        }
        return report
    }

    @Test func equalBitsAgree() {
        let same = report([1, 2.5], [1, 2.5], [1, 2.5])
        #expect(same.agrees)
        #expect(
            same.lines() == [
                "workers  tokens  mean NLL    time  digest",
                "      1       3  1.750000  1.00 s  \(same.runs[0].digest)",
                "      2       3  1.750000  2.00 s  \(same.runs[0].digest)",
                "      3       3  1.750000  3.00 s  \(same.runs[0].digest)", "",
                "The same bits on 1, 2 and 3 workers.",
            ])
        // printf '\\0\\0\\200\\77\\0\\0\\40\\100' | sha256sum
        #expect(same.runs[0].digest == "1285d5d5bd056255")
    }

    @Test func oneBitIsSeen() throws {
        let other = report([1, 2.5, 3], [1, 2.5, 3], [1, Float(2.5).nextUp, 4])
        #expect(!other.agrees)
        #expect(other.runs[2].firstDifference(from: other.runs[0]) == 2)
        #expect(other.lines().last?.hasPrefix("Other bits on 3 workers than on 1: from token 2 on.") == true)
        #expect(other.json.text.contains(#""agrees":false"#) || other.json.text.contains(#""agrees": false"#))
        // Numbers that compare as equal and have other bits.
        #expect(!report([0], [-0.0]).agrees)
        // A run that scored fewer tokens.
        #expect(report([1, 2], [1]).runs[1].firstDifference(from: report([1, 2]).runs[0]) == 2)
    }

    @Test func oneRunSaysNothing() {
        #expect(report([1]).agrees)
        #expect(report([1]).lines().last?.hasPrefix("Nothing to compare") == true)
    }
}
