// A ring's transport inside one process: bounded links, slow links, ranks that die, hang or send nonsense.
import Foundation
public import RingAttention

/// All links of a ring in one process. `peer(r)` is rank r's end.
public final class LoopbackRing: Sendable {
    /// What a link makes of its n-th message (from 0): nothing, the same, several, another.
    public typealias Tamper =
        @Sendable (_ message: RingMessage, _ from: Int, _ to: Int, _ number: Int) -> [RingMessage]

    struct State {
        var queues: [[(ready: ContinuousClock.Instant, message: RingMessage)]]
        var numbers: [Int]
        var sends: [[String]]
        var receives: [[String]]
        var killed: Set<Int> = []
        var frozen: Set<Int> = []
        var abandoned: Set<Int> = []
    }

    public let ranks: Int
    let capacity: Int
    let bytesPerSecond: Double?
    let delay: Duration
    let tamper: Tamper?
    let state: Monitor<State>

    /// - Parameters:
    ///   - capacity: messages that fit on a link.
    ///   - bytesPerSecond: the sender sleeps while its bytes go out; nil: no limit.
    ///   - delay: from the end of sending to arrival.
    public init(
        ranks: Int, capacity: Int = 1, bytesPerSecond: Double? = nil, delay: Duration = .zero,
        tamper: Tamper? = nil
    ) {
        self.ranks = ranks
        self.capacity = capacity
        self.bytesPerSecond = bytesPerSecond
        self.delay = delay
        self.tamper = tamper
        state = Monitor(
            State(
                queues: Array(repeating: [], count: ranks * ranks),
                numbers: Array(repeating: 0, count: ranks * ranks),
                sends: Array(repeating: [], count: ranks), receives: Array(repeating: [], count: ranks)))
    }

    public func peer(_ rank: Int) -> LoopbackPeer { LoopbackPeer(ring: self, rank: rank) }

    /// Breaks all links of a rank, with what is on them.
    public func kill(_ rank: Int) {
        state.update { state in
            state.killed.insert(rank)
            for other in 0..<ranks {
                state.queues[rank * ranks + other] = []
                state.queues[other * ranks + rank] = []
            }
        }
    }

    /// A rank that hangs: its calls wait to their deadlines, and it tells nobody anything.
    public func freeze(_ rank: Int) { state.update { _ = $0.frozen.insert(rank) } }

    /// What a rank sent, in order: "to 1: stripe 0 of 2, layer 0".
    public func sends(of rank: Int) -> [String] { state.update { $0.sends[rank] } }
    /// What a rank received, in order.
    public func receives(of rank: Int) -> [String] { state.update { $0.receives[rank] } }
}

/// One rank's end of a `LoopbackRing`.
public struct LoopbackPeer: RingPeer {
    let ring: LoopbackRing
    public let rank: Int

    public func send(
        _ message: RingMessage, to other: Int, deadline: ContinuousClock.Instant
    ) throws(RingError) {
        if let rate = ring.bytesPerSecond {
            Thread.sleep(forTimeInterval: Double(Self.bytes(message)) / rate)
        }
        let link = rank * ring.ranks + other
        let start = ContinuousClock.now
        let number = ring.state.update { state in
            state.numbers[link] += 1
            return state.numbers[link] - 1
        }
        for message in ring.tamper?(message, rank, other, number) ?? [message] {
            let result = ring.state.wait(until: deadline) { state -> Result<Void, RingError>? in
                if let error = lost(other, state) { return .failure(error) }
                if state.frozen.contains(rank) { return nil }
                if state.abandoned.contains(other) {
                    return .failure(.gaveUp(rank: other, what: "it left"))
                }
                guard state.queues[link].count < ring.capacity else { return nil }
                state.queues[link].append((.now + ring.delay, message))
                state.sends[rank].append("to \(other): \(Self.text(message))")
                return .success(())
            }
            try (result ?? .failure(stalled(other, since: start))).get()
        }
    }

    public func receive(
        from other: Int, deadline: ContinuousClock.Instant
    ) throws(RingError) -> RingMessage {
        let link = other * ring.ranks + rank
        let start = ContinuousClock.now
        typealias Arrival = (ready: ContinuousClock.Instant, message: RingMessage)
        let result = ring.state.wait(until: deadline) { state -> Result<Arrival, RingError>? in
            if let error = lost(other, state) { return .failure(error) }
            if state.frozen.contains(rank) { return nil }
            guard let first = state.queues[link].first else {
                return state.abandoned.contains(other)
                    ? .failure(.gaveUp(rank: other, what: "it left")) : nil
            }
            state.queues[link].removeFirst()
            state.receives[rank].append("from \(other): \(Self.text(first.message))")
            return .success(first)
        }
        if let result {
            let (ready, message) = try result.get()
            Thread.sleep(forTimeInterval: max(0, (ready - .now) / .seconds(1)))
            return message
        }
        throw stalled(other, since: start)
    }

    public func abandon() { ring.state.update { _ = $0.abandoned.insert(rank) } }

    private func lost(_ other: Int, _ state: LoopbackRing.State) -> RingError? {
        if state.abandoned.contains(rank) || state.killed.contains(rank) { return .cancelled }
        if state.killed.contains(other) { return .peer(rank: other, what: "connection closed") }
        return nil
    }

    private func stalled(_ other: Int, since start: ContinuousClock.Instant) -> RingError {
        .stalled(rank: other, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private static func bytes(_ message: RingMessage) -> Int {
        switch message {
        case .keyValues(let piece): piece.payload.count
        case .query(_, _, let payload), .partial(_, _, let payload): payload.count
        case .end: 0
        }
    }

    private static func text(_ message: RingMessage) -> String {
        switch message {
        case .keyValues(let piece): "stripe \(piece.stripe) of \(piece.origin), layer \(piece.layer)"
        case .query(let layer, let position, _): "query \(position), layer \(layer)"
        case .partial(let layer, let from, _): "partial of \(from), layer \(layer)"
        case .end: "end"
        }
    }
}

/// Runs `body(0)`, ..., `body(count - 1)` on a thread each, as ranks would. A result that is not there within
/// the limit is nil; its thread is left alone.
public func onThreads<R: Sendable>(
    _ count: Int, within limit: Duration = .seconds(60), _ body: @escaping @Sendable (Int) throws -> R
) -> [Result<R, any Error>?] {
    let results = Monitor([Result<R, any Error>?](repeating: nil, count: count))
    for rank in 0..<count {
        let thread = Thread {
            let result = Result { try body(rank) }
            results.update { $0[rank] = result }
        }
        thread.stackSize = 1 << 20
        thread.start()
    }
    _ = results.wait(until: .now + limit) { $0.contains { $0 == nil } ? nil : () }
    return results.update { $0 }
}

/// Runs `body` on a thread of its own: long work on the cooperative pool would starve every other test.
public func offThePool<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try body() }) }
        thread.stackSize = 8 << 20
        thread.start()
    }
}
