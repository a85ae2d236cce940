// What one layer's ring takes, noted once: sums by step, spans for a picture, and counters for those who look on.

/// Notes one layer of one rank. Confined to the thread that attends.
struct RingRecorder {
    private(set) var timings: RingTimings
    private let layer: Int
    private let schedule: RingSchedule
    private let meter: RingMeter

    init(layer: Int, schedule: RingSchedule, meter: RingMeter) {
        self.layer = layer
        self.schedule = schedule
        self.meter = meter
        timings = RingTimings(ranks: schedule.ranks)
    }

    /// Runs `body`, which waits until a stripe is there.
    mutating func waiting<R>(forStripe stripe: Int, _ body: () throws(RingError) -> R) throws(RingError) -> R
    {
        let hops = schedule.hops(stripe)
        meter.step = stripe * schedule.ranks / max(schedule.stripes, 1)
        guard hops > 0 else { return try body() }
        let (result, start, took) = try timed { () throws(RingError) in
            try meter.waiting(for: schedule.previous, body)
        }
        timings.steps[hops].wait += took
        note(.wait, step: hops, start, took)
        meter.waited(for: took)
        return result
    }

    /// Runs `body`, which attends these stripes. Their time is shared out by their tokens.
    mutating func attending(_ pieces: [RingPiece], _ body: () throws(RingError) -> Void) throws(RingError) {
        for piece in pieces {
            let hops = schedule.hops(piece.stripe)
            timings.steps[hops].wire += piece.transfer
            timings.steps[hops].bytes += piece.payload.count
            meter.received(for: piece.transfer)
            if let arrived = piece.arrived {
                note(.transfer, step: hops, arrived - piece.transfer, piece.transfer, piece.payload.count)
            }
        }
        var (_, start, took) = try timed(body)
        let tokens = pieces.reduce(0) { $0 + $1.positions.count }
        // A sweep meets stripes of several ranks at once: one span for each step that has a part in it.
        let steps = Dictionary(grouping: pieces) { schedule.hops($0.stripe) }
        for (hops, mine) in steps.sorted(by: { $0.key < $1.key }) {
            let part = took * (Double(mine.reduce(0) { $0 + $1.positions.count }) / Double(max(tokens, 1)))
            timings.steps[hops].compute += part
            note(.attention, step: hops, start, part, mine.reduce(0) { $0 + $1.payload.count })
            start += part
        }
        meter.computed(for: took)
    }

    /// Runs `body`, which waits until everything is handed to the transport and returns the bytes.
    mutating func sending(_ body: () throws(RingError) -> Int) throws(RingError) {
        let (bytes, start, took) = try timed { () throws(RingError) in
            try meter.waiting(for: schedule.next, body)
        }
        timings.bytesSent = bytes
        timings.sending = took
        note(.wait, step: schedule.ranks - 1, start, took)
        meter.waited(for: took)
    }

    private func timed<R>(
        _ body: () throws(RingError) -> R
    ) throws(RingError) -> (R, ContinuousClock.Instant, Duration) {
        let start = ContinuousClock.now
        let result = try body()
        return (result, start, .now - start)
    }

    private mutating func note(
        _ kind: TimelineSpan.Kind, step: Int, _ start: ContinuousClock.Instant, _ took: Duration,
        _ bytes: Int = 0
    ) {
        timings.timeline.note(
            TimelineSpan(kind, layer: layer, step: step, start: start, duration: took, bytes: bytes))
    }
}
