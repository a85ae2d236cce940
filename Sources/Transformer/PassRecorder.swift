// What a run's passes take on one rank, noted once: sums, a timeline, and counters for those who look on.
public import RingAttention

/// Notes the passes of one run. Confined to the engine's thread; only `meter` may be read from elsewhere.
public final class PassRecorder {
    /// What prefill's ring has cost so far.
    public private(set) var timings = RingTimings()
    /// What happened when, since it was taken last.
    public var timeline = Timeline()
    /// Shows other threads where the run stands.
    public let meter: RingMeter

    public init(meter: RingMeter = RingMeter()) { self.meter = meter }

    /// Runs `body` and notes when it did.
    public func noting(
        _ kind: TimelineSpan.Kind, _ layer: Int, _ body: () throws(ModelError) -> Void
    ) throws(ModelError) {
        let start = ContinuousClock.now
        try body()
        let took = ContinuousClock.now - start
        timeline.note(TimelineSpan(kind, layer: layer, start: start, duration: took))
        meter.computed(for: took)
    }

    /// Adds one layer's ring.
    func add(_ ring: RingTimings) {
        timings += ring
        for span in ring.timeline.spans { timeline.note(span) }
    }
}
