// Prefill's ring on real threads: one sends, one receives, the caller attends.

/// Runs a `RingSchedule` layer after layer. A sender thread and a receiver thread live from init to `close()` (or
/// deinit); the caller's thread attends.
///
/// Memory is bounded: at most the stripes of two rounds wait to be attended, and at most as many to be forwarded
/// (mostly the same ones). A stripe is forwarded when it arrives, before it is attended. Nothing is received for a
/// layer before `run` is called for it; what arrives earlier waits in the transport.
///
/// Deadlines: each call to the transport has `stall`, which must exceed the time a healthy rank needs for two rounds
/// and for the dense part between two layers. Waits between the threads of one rank end with the call to the
/// transport, or the attention, that they wait for. After an error the exchange cannot be used again.
public final class RingExchange: Sendable {
    /// Stripes that have arrived are attended together up to so many tokens, unless somebody says otherwise.
    public static let usualSweepTokens = 4096

    private let core: Core
    private let sweepTokens: Int
    private let meter: RingMeter

    /// - Parameters:
    ///   - bytesPerToken: when given, the size of a payload is compared with it.
    ///   - sweepTokens: stripes are attended together up to so many tokens; a wider one alone.
    ///   - meter: shows others where the ring stands.
    public init(
        peer: any RingPeer, schedule: RingSchedule, stall: Duration, bytesPerToken: Int? = nil,
        sweepTokens: Int = usualSweepTokens, meter: RingMeter = RingMeter()
    ) throws(RingError) {
        guard stall > .zero, sweepTokens >= 1 else {
            throw .invalidPlan("a stall limit of \(stall), sweeps of \(sweepTokens) tokens")
        }
        self.sweepTokens = sweepTokens
        self.meter = meter
        core = Core(peer: peer, schedule: schedule, stall: stall, bytesPerToken: bytesPerToken)
        if !schedule.sends.isEmpty { RingThread.start("ring send", core.sendLoop) }
        if !schedule.receives.isEmpty { RingThread.start("ring receive", core.receiveLoop) }
    }

    deinit { close() }

    /// One layer's ring. Returns when every stripe is attended and everything is handed to the transport.
    ///
    /// - Parameters:
    ///   - own: this rank's stripes, ascending.
    ///   - attend: called on this thread with the next stripes in ascending order, as many as are there; what it throws
    ///     stops the ring.
    /// - Throws: the first error of any of the three threads, about the neighbour that it met: `Blame` finds the rank at
    ///   fault from the errors of all.
    public func run(
        layer: Int, own: [RingPiece], attend: ([RingPiece]) throws -> Void
    ) throws(RingError) -> RingTimings {
        let schedule = core.schedule
        try core.begin(layer: layer, own: own)
        var recorder = RingRecorder(layer: layer, schedule: schedule, meter: meter)
        var stripe = 0
        while stripe < schedule.stripes {
            let pieces = try recorder.waiting(forStripe: stripe) { () throws(RingError) in
                try core.take(from: stripe, tokens: sweepTokens)
            }
            try recorder.attending(pieces) { () throws(RingError) in
                do { try attend(pieces) } catch {
                    throw core.fail(error as? RingError ?? .attention("\(error)"))
                }
            }
            stripe += pieces.count
        }
        try recorder.sending { () throws(RingError) in try core.finish() }
        return recorder.timings
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
        var own: [Int: RingPiece] = [:]
        /// Stripes that are here and not attended, this rank's own among them.
        var here: [Int: RingPiece] = [:]
        /// Received ones among them.
        var waiting = 0
        var forward: [RingPiece] = []
        var sent = 0
        var bytesSent = 0
        var failure: RingError?
        var closed = false

        var over: Bool { closed || failure != nil }
    }

    let peer: any RingPeer
    let schedule: RingSchedule
    let bytesPerToken: Int?
    let stall: Duration
    let state = Monitor(State())

    init(peer: any RingPeer, schedule: RingSchedule, stall: Duration, bytesPerToken: Int?) {
        self.peer = peer
        self.schedule = schedule
        self.bytesPerToken = bytesPerToken
        self.stall = stall
    }

    // MARK: The caller's thread

    func begin(layer: Int, own: [RingPiece]) throws(RingError) {
        guard own.map(\.stripe) == schedule.own, own.allSatisfy({ $0.layer == layer }) else {
            throw .invalidPlan("layer \(layer) needs this rank's \(schedule.own.count) stripes in order")
        }
        let mine = Dictionary(uniqueKeysWithValues: own.map { ($0.stripe, $0) })
        let error = state.update { state -> RingError? in
            if let failure = state.failure { return failure }
            if state.closed { return .cancelled }
            if state.busy { return .invalidPlan("the ring is running a layer already") }
            state.busy = true
            state.run += 1
            state.layer = layer
            state.own = mine
            state.here = mine
            state.sent = 0
            state.bytesSent = 0
            return nil
        }
        if let error { throw error }
    }

    /// Waits for a stripe; it and those that follow it and are here, up to so many tokens.
    func take(from first: Int, tokens: Int) throws(RingError) -> [RingPiece] {
        let taken = wait { state -> [RingPiece]? in
            var pieces: [RingPiece] = []
            var room = tokens
            while let piece = state.here[first + pieces.count],
                pieces.isEmpty || piece.positions.count <= room
            {
                pieces.append(piece)
                room -= piece.positions.count
            }
            if pieces.isEmpty { return nil }
            for piece in pieces {
                state.here[piece.stripe] = nil
                if piece.origin != self.schedule.rank { state.waiting -= 1 }
            }
            return pieces
        }
        guard let taken else { throw failure }
        return taken
    }

    /// Waits for the sender to finish; bytes sent.
    func finish() throws(RingError) -> Int {
        let total = schedule.sends.count
        let bytes = wait { state -> Int? in
            guard state.sent == total else { return nil }
            state.busy = false
            state.own = [:]
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
            for stripe in schedule.sends {
                let piece: RingPiece
                if let mine = own[stripe] {
                    piece = mine
                } else {
                    let taken = wait { $0.forward.isEmpty ? nil : $0.forward.removeFirst() }
                    guard let taken else { return }
                    piece = taken
                }
                guard piece.layer == layer, piece.stripe == stripe else {
                    fail(.invalidPlan("the forward queue holds another stripe than the schedule says"))
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
        let limit = schedule.inboxStripes
        while let (run, layer, _) = next(after: done) {
            for stripe in schedule.receives {
                let forwards = schedule.forwards(stripe)
                let room: Void? = wait {
                    $0.waiting < limit && (!forwards || $0.forward.count < limit) ? () : nil
                }
                guard room != nil else { return }
                do {
                    let message = try peer.receive(from: schedule.previous, deadline: .now + stall)
                    let piece = try expect(stripe, layer: layer, in: message)
                    state.update {
                        $0.here[stripe] = piece
                        $0.waiting += 1
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

    private func next(after done: Int) -> (run: Int, layer: Int, own: [Int: RingPiece])? {
        wait { $0.run > done ? ($0.run, $0.layer, $0.own) : nil }
    }

    private func expect(_ stripe: Int, layer: Int, in message: RingMessage) throws(RingError) -> RingPiece {
        let from = schedule.previous
        let owner = schedule.layout.owner(ofStripe: stripe)
        guard case .keyValues(let piece) = message, piece.layer == layer, piece.origin == owner,
            piece.stripe == stripe
        else {
            throw .protocolViolation(
                rank: from,
                what:
                    "stripe \(stripe) of rank \(owner), layer \(layer), was due; it sent \(message.summary)")
        }
        let positions = schedule.positions(stripe)
        guard piece.positions == positions else {
            throw .protocolViolation(rank: from, what: "\(message.summary) has other positions than the plan")
        }
        if let bytesPerToken {
            let (bytes, overflow) = positions.count.multipliedReportingOverflow(by: bytesPerToken)
            guard !overflow, piece.payload.count == bytes else {
                throw .protocolViolation(
                    rank: from,
                    what:
                        "\(message.summary) has \(piece.payload.count) bytes for \(positions.count) tokens of \(bytesPerToken)"
                )
            }
        }
        return piece
    }
}
