// Prefill's ring on real threads: one sends, one receives, the caller attends.

/// Runs a `RingSchedule` layer after layer. A sender thread and a receiver thread live from init to `close()` (or
/// deinit); the caller's thread attends.
///
/// Memory is bounded: at most `inboxPieces` received pieces wait to be attended, and at most as many to be forwarded
/// (mostly the same ones). A piece is forwarded when it arrives, before it is attended. Nothing is received for a
/// layer before `run` is called for it; what arrives earlier waits in the transport.
///
/// Deadlines: each call to the transport has `stall`, which must exceed the time a healthy rank needs for
/// `inboxPieces` pieces and for the dense part between two layers. Waits between the threads of one rank end with the
/// call to the transport, or the attention, that they wait for. After an error the exchange cannot be used again.
public final class RingExchange: Sendable {
    private let core: Core
    private let meter: RingMeter

    /// - Parameters:
    ///   - pieces: when given, the positions of every received piece are compared with it.
    ///   - bytesPerToken: when given, so is the size of its payload.
    ///   - meter: shows others where the ring stands.
    public init(
        peer: any RingPeer, rank: Int, schedule: RingSchedule, inboxPieces: Int = 4, stall: Duration,
        pieces: PiecePlan? = nil, bytesPerToken: Int? = nil, meter: RingMeter = RingMeter()
    ) throws(RingError) {
        guard rank == schedule.rank else {
            throw .invalidPlan("the schedule is rank \(schedule.rank)'s, not rank \(rank)'s")
        }
        guard (1...1024).contains(inboxPieces), stall > .zero else {
            throw .invalidPlan("an inbox of \(inboxPieces) pieces (1 to 1024) and a stall limit of \(stall)")
        }
        if let pieces, pieces.counts != schedule.pieceCounts {
            throw .invalidPlan("the schedule was made for other pieces")
        }
        self.meter = meter
        core = Core(
            peer: peer, schedule: schedule, capacity: inboxPieces, stall: stall, pieces: pieces,
            bytesPerToken: bytesPerToken)
        if !schedule.sends.isEmpty { RingThread.start("ring send", core.sendLoop) }
        if !schedule.receives.isEmpty { RingThread.start("ring receive", core.receiveLoop) }
    }

    deinit { close() }

    /// One layer's ring. Returns when every piece is attended and everything is handed to the transport.
    ///
    /// - Parameters:
    ///   - own: this rank's pieces, in order.
    ///   - attend: called on this thread for each piece, in the schedule's order; what it throws stops the ring.
    /// - Throws: the first error of any of the three threads, about the neighbour that it met: `Blame` finds the rank at
    ///   fault from the errors of all.
    public func run(
        layer: Int, own: [RingPiece], attend: (RingPiece) throws -> Void
    ) throws(RingError) -> RingTimings {
        let schedule = core.schedule
        guard own.count == schedule.pieceCounts[schedule.rank],
            own.enumerated().allSatisfy({
                $1.layer == layer && $1.origin == schedule.rank && $1.piece == $0
            })
        else {
            throw .invalidPlan(
                "layer \(layer) needs this rank's \(schedule.pieceCounts[schedule.rank]) pieces in order")
        }
        try core.begin(layer: layer, own: own)
        var timings = RingTimings(ranks: schedule.ranks)
        for slot in schedule.attends {
            let step = schedule.hops(slot)
            meter.step = step
            let asked = ContinuousClock.now
            let piece =
                slot.origin == schedule.rank
                ? own[slot.piece]
                : try meter.waiting(for: schedule.previous) { () throws(RingError) in try core.nextReceived()
                }
            let given = ContinuousClock.now
            timings.steps[step].wait += given - asked
            timings.steps[step].wire += piece.transfer
            timings.steps[step].bytes += piece.payload.count
            timings.timeline.note(
                TimelineSpan(.wait, layer: layer, step: step, start: asked, duration: given - asked))
            if let arrived = piece.arrived {
                timings.timeline.note(
                    TimelineSpan(
                        .transfer, layer: layer, step: step, start: arrived - piece.transfer,
                        duration: piece.transfer, bytes: piece.payload.count))
            }
            meter.waited(for: given - asked)
            meter.received(for: piece.transfer)
            // Checked here too: own pieces would otherwise keep a cancelled ring busy.
            try core.check()
            let began = ContinuousClock.now
            do {
                try attend(piece)
            } catch {
                throw core.fail(error as? RingError ?? .attention("\(error)"))
            }
            let took = ContinuousClock.now - began
            timings.steps[step].compute += took
            timings.timeline.note(
                TimelineSpan(
                    .attention, layer: layer, step: step, start: began, duration: took,
                    bytes: piece.payload.count))
            meter.computed(for: took)
        }
        let attended = ContinuousClock.now
        timings.bytesSent = try meter.waiting(for: schedule.next) { () throws(RingError) in try core.finish()
        }
        timings.sending = .now - attended
        timings.timeline.note(
            TimelineSpan(
                .wait, layer: layer, step: schedule.ranks - 1, start: attended, duration: timings.sending))
        meter.waited(for: timings.sending)
        return timings
    }

    /// The same for a value that attends.
    public func run(
        layer: Int, own: [RingPiece], attention: inout some BlockAttention
    ) throws(RingError) -> RingTimings {
        try run(layer: layer, own: own) { try attention.attend($0) }
    }

    /// Stops the ring from any thread: `run` throws `.cancelled`, and so does every later one.
    public func cancel() { core.stop() }

    /// Ends the two threads. They leave at once, or when the transport lets them.
    public func close() { core.close() }
}

/// What the three threads share. They hold this, not the exchange, so that dropping the exchange ends them.
private final class Core: Sendable {
    struct State {
        /// Counts calls of `run`; the threads work on one after another.
        var run = 0
        var busy = false
        var layer = 0
        var own: [RingPiece] = []
        var inbox: [RingPiece] = []
        var forward: [RingPiece] = []
        var sent = 0
        var bytesSent = 0
        var failure: RingError?
        var closed = false

        var over: Bool { closed || failure != nil }
    }

    let peer: any RingPeer
    let schedule: RingSchedule
    let capacity: Int
    let pieces: PiecePlan?
    let bytesPerToken: Int?
    let stall: Duration
    let state = Monitor(State())

    init(
        peer: any RingPeer, schedule: RingSchedule, capacity: Int, stall: Duration, pieces: PiecePlan?,
        bytesPerToken: Int?
    ) {
        self.peer = peer
        self.schedule = schedule
        self.capacity = capacity
        self.pieces = pieces
        self.bytesPerToken = bytesPerToken
        self.stall = stall
    }

    // MARK: The caller's thread

    func begin(layer: Int, own: [RingPiece]) throws(RingError) {
        let error = state.update { state -> RingError? in
            if let failure = state.failure { return failure }
            if state.closed { return .cancelled }
            if state.busy { return .invalidPlan("the ring is running a layer already") }
            state.busy = true
            state.run += 1
            state.layer = layer
            state.own = own
            state.sent = 0
            state.bytesSent = 0
            return nil
        }
        if let error { throw error }
    }

    func check() throws(RingError) {
        let error = state.update { $0.failure ?? ($0.closed ? .cancelled : nil) }
        if let error { throw error }
    }

    func nextReceived() throws(RingError) -> RingPiece {
        let got = wait { $0.inbox.isEmpty ? nil : $0.inbox.removeFirst() }
        guard let got else { throw failure }
        return got
    }

    /// Waits for the sender to finish; bytes sent.
    func finish() throws(RingError) -> Int {
        let total = schedule.sends.count
        let bytes = wait { state -> Int? in
            guard state.sent == total else { return nil }
            state.busy = false
            state.own = []
            return state.bytesSent
        }
        guard let bytes else { throw failure }
        return bytes
    }

    // MARK: Stopping

    /// Ends the ring for all threads of this rank because of an error, and returns the one to throw: the first.
    @discardableResult
    func fail(_ error: RingError) -> RingError {
        let first = state.update { state -> RingError in
            let first = state.failure ?? (state.closed ? .cancelled : error)
            state.failure = first
            return first
        }
        peer.abandon()
        return first
    }

    func stop() {
        state.update { if $0.failure == nil { $0.failure = .cancelled } }
        peer.abandon()
    }

    func close() {
        let interrupts = state.update { state -> Bool in
            state.closed = true
            return state.busy && state.failure == nil
        }
        // Between layers nothing is under way, and the transport may be needed for decoding.
        if interrupts { peer.abandon() }
    }

    private var failure: RingError { state.update { $0.failure } ?? .cancelled }

    /// Waits for `body` until the ring is over. Needs no deadline of its own: what it waits for is done by another
    /// thread of this rank, which is in attention or in a call to the transport that has a deadline, and its failure
    /// ends this wait.
    private func wait<R>(_ body: (inout State) -> R?) -> R? {
        while true {
            let result = state.wait(until: .now + .seconds(60)) { state -> R?? in
                if state.over { return .some(nil) }
                return body(&state).map { .some($0) }
            }
            if let result { return result }
        }
    }

    // MARK: The two threads

    func sendLoop() {
        var done = 0
        while let (run, layer, own) = next(after: done) {
            for slot in schedule.sends {
                let piece: RingPiece
                if slot.origin == schedule.rank {
                    piece = own[slot.piece]
                } else {
                    let taken = wait { $0.forward.isEmpty ? nil : $0.forward.removeFirst() }
                    guard let taken else { return }
                    piece = taken
                }
                guard piece.layer == layer, piece.origin == slot.origin, piece.piece == slot.piece else {
                    fail(.invalidPlan("the forward queue holds another piece than the schedule says"))
                    return
                }
                do {
                    try peer.send(.keyValues(piece), to: schedule.next, deadline: .now + stall)
                } catch {
                    fail(error)
                    return
                }
                state.update {
                    $0.sent += 1
                    $0.bytesSent += piece.payload.count
                }
            }
            done = run
        }
    }

    func receiveLoop() {
        var done = 0
        while let (run, layer, _) = next(after: done) {
            for slot in schedule.receives {
                let forwards = schedule.forwards(slot)
                let limit = capacity
                let room: Void? = wait {
                    $0.inbox.count < limit && (!forwards || $0.forward.count < limit) ? () : nil
                }
                guard room != nil else { return }
                do {
                    let message = try peer.receive(from: schedule.previous, deadline: .now + stall)
                    let piece = try expect(slot, layer: layer, in: message)
                    state.update {
                        $0.inbox.append(piece)
                        if forwards { $0.forward.append(piece) }
                    }
                } catch {
                    fail(error)
                    return
                }
            }
            done = run
        }
    }

    private func next(after done: Int) -> (run: Int, layer: Int, own: [RingPiece])? {
        wait { $0.run > done ? ($0.run, $0.layer, $0.own) : nil }
    }

    private func expect(
        _ slot: RingSchedule.Slot, layer: Int, in message: RingMessage
    ) throws(RingError) -> RingPiece {
        let from = schedule.previous
        guard case .keyValues(let piece) = message, piece.layer == layer, piece.origin == slot.origin,
            piece.piece == slot.piece
        else {
            throw .protocolViolation(
                rank: from,
                what:
                    "piece \(slot.piece) of rank \(slot.origin), layer \(layer), was due; it sent \(message.summary)"
            )
        }
        if let pieces, pieces.pieces[slot.origin][slot.piece].runs != piece.runs {
            throw .protocolViolation(rank: from, what: "\(message.summary) has other positions than the plan")
        }
        if let bytesPerToken {
            var tokens = 0
            for run in piece.runs {
                let (sum, overflow) = tokens.addingReportingOverflow(run.count)
                tokens = overflow ? .max : sum
            }
            let (bytes, overflow) = tokens.multipliedReportingOverflow(by: bytesPerToken)
            guard !overflow, piece.payload.count == bytes else {
                throw .protocolViolation(
                    rank: from,
                    what:
                        "\(message.summary) has \(piece.payload.count) bytes for \(tokens) tokens of \(bytesPerToken)"
                )
            }
        }
        return piece
    }
}
