// Timelines as files: valid JSON, tracks without overlap, names.
import Foundation
import Messages
import Protobuf
import Testing
import lariat

@Suite struct TraceFileTests {
    private func span(
        _ kind: TraceSpanMessage.Kind, _ start: UInt64, _ duration: UInt64, step: UInt32 = 0
    ) -> TraceSpanMessage {
        .with {
            $0.kind = kind
            $0.layer = 2
            $0.step = step
            $0.startMicroseconds = start
            $0.durationMicroseconds = duration
            $0.bytes = kind == .transfer ? 64 : 0
        }
    }

    @Test func partsBecomeOneDocument() throws {
        var file = TraceFile(workers: ["alpha", "be\"ta"])
        var text = TraceFile.beginning
        text += file.events(
            .with {
                $0.rank = 0
                $0.worker = "alpha"
                $0.spans = [span(.attention, 50, 10), span(.dense, 0, 40)]
            })
        text += file.events(
            .with {
                $0.rank = 1
                $0.worker = "be\"ta"
                // The second overlaps the first, as transfers that are measured apart may.
                $0.spans = [span(.transfer, 5, 20, step: 1), span(.transfer, 15, 20, step: 1)]
            })
        text += file.events(
            .with {
                $0.rank = 0
                $0.worker = "alpha"
                $0.spans = [span(.decode, 100, 7), span(.unspecified, 0, 1)]
            })
        text += TraceFile.end
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let events = try #require(document["traceEvents"] as? [[String: Any]])
        let slices = events.filter { $0["ph"] as? String == "X" }
        #expect(
            slices.map { $0["name"] as? String } == [
                "dense", "attention, step 0", "block, step 1", "block, step 1", "token 2",
            ])
        #expect(slices.map { $0["ts"] as? Int } == [0, 50, 5, 25, 100])
        #expect(slices.map { $0["dur"] as? Int } == [40, 10, 20, 10, 7])
        #expect(slices.map { $0["pid"] as? Int } == [1, 1, 2, 2, 1])
        let names = events.filter { $0["name"] as? String == "thread_name" }
            .compactMap { ($0["args"] as? [String: Any])?["name"] as? String }
        #expect(names == ["compute", "wait", "blocks from be\"ta", "compute", "wait", "blocks from alpha"])
    }

    @Test func nothingIsValidToo() throws {
        let text = TraceFile.beginning + TraceFile.end
        #expect(try JSONSerialization.jsonObject(with: Data(text.utf8)) is [String: Any])
    }
}
