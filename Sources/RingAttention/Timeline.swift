// What a rank does when: spans for a picture of a job, and counters for those who look on while it runs.
import Synchronization

/// One thing that a rank did for a while.
public struct TimelineSpan: Sendable, Equatable {
    public enum Kind: Sendable {
        /// A layer's products before or after attention.
        case dense
        /// Over the pieces of one step.
        case attention
        /// For pieces of one step, or for its own to be sent.
        case wait
        /// A piece's way in, from its first to its last byte.
        case transfer
        /// One token of the answer; `layer` says which.
        case decode
    }
    public var kind: Kind
    public var layer: Int
    /// Of the ring; 0 outside it.
    public var step: Int
    public var start: ContinuousClock.Instant
    public var duration: Duration
    /// Of the pieces.
    public var bytes: Int

    public init(
        _ kind: Kind, layer: Int, step: Int = 0, start: ContinuousClock.Instant, duration: Duration,
        bytes: Int = 0
    ) {
        self.kind = kind
        self.layer = layer
        self.step = step
        self.start = start
        self.duration = duration
        self.bytes = bytes
    }
}

/// Spans, nearly in the order in which they began, as many as fit a limit. Spans of one kind and step with next to nothing
/// between them are one; waits too short to see are left out.
public struct Timeline: Sendable {
    public private(set) var spans: [TimelineSpan] = []
    /// Spans that found no room.
    public private(set) var dropped = 0
    private let limit: Int

    /// Shorter waits are the cost of asking, not of waiting.
    static let shortestWait: Duration = .microseconds(100)
    /// Spans that are as close as this are one.
    static let closest: Duration = .microseconds(100)

    public init(limit: Int = 4096) { self.limit = limit }

    public mutating func note(_ span: TimelineSpan) {
        if span.kind == .wait, span.duration < Self.shortestWait { return }
        var span = span
        // A piece's beginning is reckoned back from its arrival: it did not begin before the piece before it was there.
        if span.kind == .transfer, let before = spans.suffix(4).last(where: { $0.kind == .transfer }) {
            let overlap = max(.zero, before.start + before.duration - span.start)
            span.start += overlap
            span.duration = max(.zero, span.duration - overlap)
        }
        // Waits, transfers and attention take turns: the last one of a kind is among the last few.
        if span.kind != .decode,
            let index = spans.indices.suffix(4).last(where: { spans[$0].kind == span.kind }),
            spans[index].layer == span.layer, spans[index].step == span.step
        {
            let gap = span.start - (spans[index].start + spans[index].duration)
            if gap.magnitude <= Self.closest {
                spans[index].duration = max(
                    spans[index].duration, span.start + span.duration - spans[index].start)
                spans[index].bytes += span.bytes
                return
            }
        }
        guard spans.count < limit else {
            dropped += 1
            return
        }
        spans.append(span)
    }

    /// The spans noted so far; there is room for as many again.
    public mutating func take() -> [TimelineSpan] {
        defer { spans = [] }
        return spans
    }
}

/// Where a rank stands, for other threads to read.
public final class RingMeter: Sendable {
    private let layers = Atomic<Int>(0)
    private let steps = Atomic<Int>(0)
    private let compute = Atomic<Int>(0)
    private let waited = Atomic<Int>(0)
    /// 1 + the rank that the compute thread waits for; 0: it computes.
    private let awaited = Atomic<Int>(0)
    private let receiving = Atomic<Int>(0)

    public init() {}

    /// Layers of prefill that are done.
    public var layersDone: Int {
        get { layers.load(ordering: .relaxed) }
        set { layers.store(newValue, ordering: .relaxed) }
    }
    /// Of the ring, in the layer under way.
    public var step: Int {
        get { steps.load(ordering: .relaxed) }
        set { steps.store(newValue, ordering: .relaxed) }
    }
    /// Since the job's start.
    public var computeTime: Duration { .microseconds(compute.load(ordering: .relaxed)) }
    public var waitTime: Duration { .microseconds(waited.load(ordering: .relaxed)) }
    /// That blocks took to come in, beside compute or not.
    public var wireTime: Duration { .microseconds(receiving.load(ordering: .relaxed)) }

    /// The rank whose message the compute thread waits for; nil: it computes.
    public var waitsFor: Int? {
        let rank = awaited.load(ordering: .relaxed)
        return rank == 0 ? nil : rank - 1
    }

    /// Shows, while `body` runs, that the compute thread waits for a rank.
    func waiting<R>(for rank: Int, _ body: () throws(RingError) -> R) throws(RingError) -> R {
        awaited.store(rank + 1, ordering: .relaxed)
        defer { awaited.store(0, ordering: .relaxed) }
        return try body()
    }

    public func computed(for duration: Duration) {
        compute.add(Int(duration / .microseconds(1)), ordering: .relaxed)
    }
    public func waited(for duration: Duration) {
        waited.add(Int(duration / .microseconds(1)), ordering: .relaxed)
    }
    public func received(for duration: Duration) {
        receiving.add(Int(duration / .microseconds(1)), ordering: .relaxed)
    }
}

extension Duration {
    fileprivate var magnitude: Duration { self < .zero ? .zero - self : self }
}
