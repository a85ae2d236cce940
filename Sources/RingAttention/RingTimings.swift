// What the ring costs one rank: computing, waiting and transfers, step by step.

/// One step of the ring: the pieces that made the same number of hops.
public struct RingStep: Sendable, Equatable {
    /// In attention.
    public var compute: Duration = .zero
    /// Until the pieces were there.
    public var wait: Duration = .zero
    /// Between the arrival of the pieces' first and last bytes.
    public var wire: Duration = .zero
    /// Bytes of the pieces, whether received or this rank's own.
    public var bytes = 0

    public init() {}

    public static func += (sum: inout RingStep, more: RingStep) {
        sum.compute += more.compute
        sum.wait += more.wait
        sum.wire += more.wire
        sum.bytes += more.bytes
    }
}

/// What one layer's ring took on one rank, or many layers together.
public struct RingTimings: Sendable {
    /// By hops: step 0 is the rank's own pieces, step d those of the rank d places before it.
    public var steps: [RingStep] = []
    /// Time the caller waited at the end of a layer for its pieces to be sent.
    public var sending: Duration = .zero
    /// Bytes of payload handed to the transport.
    public var bytesSent = 0
    /// What happened when, in one layer's ring; sums leave it out.
    public var timeline = Timeline()

    public init() {}

    /// No time yet, in a ring of so many ranks.
    init(ranks: Int) { steps = Array(repeating: RingStep(), count: ranks) }

    /// Time in the caller's attention.
    public var attend: Duration { steps.reduce(.zero) { $0 + $1.compute } }
    /// Time the caller waited: for pieces, and for its own to be sent.
    public var wait: Duration { steps.reduce(sending) { $0 + $1.wait } }
    /// Bytes of payload of other ranks.
    public var bytesReceived: Int { steps.dropFirst().reduce(0) { $0 + $1.bytes } }

    public static func += (sum: inout RingTimings, more: RingTimings) {
        if sum.steps.isEmpty { sum.steps = Array(repeating: RingStep(), count: more.steps.count) }
        for (step, cost) in zip(sum.steps.indices, more.steps) { sum.steps[step] += cost }
        sum.sending += more.sending
        sum.bytesSent += more.bytesSent
    }
}
