// Timelines: what is merged, what is left out, and the limit.
import RingAttention
import Testing

@Suite struct TimelineTests {
    private let start = ContinuousClock.now

    private func span(
        _ kind: TimelineSpan.Kind, step: Int = 0, at: Int, for duration: Int, bytes: Int = 0
    ) -> TimelineSpan {
        TimelineSpan(
            kind, layer: 3, step: step, start: start + .microseconds(at), duration: .microseconds(duration),
            bytes: bytes)
    }

    @Test func piecesOfOneStepAreOneSpan() {
        var timeline = Timeline()
        timeline.note(span(.attention, at: 0, for: 500, bytes: 10))
        timeline.note(span(.wait, at: 500, for: 20))
        timeline.note(span(.transfer, at: 100, for: 300, bytes: 7))
        timeline.note(span(.attention, at: 520, for: 480, bytes: 20))
        timeline.note(span(.attention, step: 1, at: 1000, for: 100))
        timeline.note(span(.wait, step: 1, at: 1100, for: 400))
        timeline.note(span(.attention, step: 1, at: 1500, for: 100))
        #expect(
            timeline.spans == [
                span(.attention, at: 0, for: 1000, bytes: 30), span(.transfer, at: 100, for: 300, bytes: 7),
                span(.attention, step: 1, at: 1000, for: 100), span(.wait, step: 1, at: 1100, for: 400),
                span(.attention, step: 1, at: 1500, for: 100),
            ])
    }

    @Test func piecesThatArriveDoNotOverlap() {
        var timeline = Timeline()
        timeline.note(span(.transfer, at: 0, for: 900, bytes: 7))
        timeline.note(span(.transfer, step: 1, at: 600, for: 800, bytes: 8))
        timeline.note(span(.transfer, step: 2, at: 700, for: 300, bytes: 9))
        #expect(
            timeline.spans == [
                span(.transfer, at: 0, for: 900, bytes: 7),
                span(.transfer, step: 1, at: 900, for: 500, bytes: 8),
                span(.transfer, step: 2, at: 1400, for: 0, bytes: 9),
            ])
    }

    @Test func tokensStayApart() {
        var timeline = Timeline()
        for token in 0..<3 { timeline.note(span(.decode, at: token * 100, for: 100)) }
        #expect(timeline.spans.count == 3)
    }

    @Test func theLimitHolds() {
        var timeline = Timeline(limit: 2)
        for step in 0..<5 { timeline.note(span(.dense, step: step, at: step * 1000, for: 10)) }
        #expect(timeline.spans.count == 2 && timeline.dropped == 3)
        #expect(timeline.take().count == 2)
        timeline.note(span(.dense, at: 9000, for: 10))
        #expect(timeline.spans.count == 1)
    }
}
