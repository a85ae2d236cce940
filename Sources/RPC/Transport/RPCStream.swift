// One call as seen from tasks and threads: a mailbox between them and the connection's event loop.
//
// Inbound: the loop delivers whole messages; bytes go back to the peer's window when a message is taken.
// Outbound: a writer waits while more than `outboundQueue` bytes of this call have not reached the socket.
// The lock is held for moments only; continuations are resumed outside of it.

import Dispatch
import NIOCore
import Synchronization

/// What the loop must do for a stream. Taken as one, so that a reply is one hop.
struct StreamWork {
    var frames = CircularBuffer<ByteBuffer>()
    var bytes = 0
    /// `.ok` for a client: the request is complete. For a server: the call's outcome.
    var finish: RPCStatus?
    /// The reader or the whole call is given up.
    var abandon = false
    /// Give bytes back to the peer's window.
    var credit = 0
}

final class RPCStream: Sendable {
    enum Waiter {
        case task(id: UInt64, CheckedContinuation<RPCStatus?, Never>)
        case thread(id: UInt64, DispatchSemaphore)

        var id: UInt64 {
            switch self {
            case .task(let id, _), .thread(let id, _): id
            }
        }

        /// nil: the queue has room.
        func wake(_ status: RPCStatus?) {
            switch self {
            case .task(_, let continuation): continuation.resume(returning: status)
            case .thread(_, let semaphore): semaphore.signal()
            }
        }
    }

    typealias Received = Result<ByteBuffer?, RPCStatus>

    private struct State {
        // Inbound.
        /// The HTTP/2 stream; 0 before it is open.
        var id: Int32 = 0
        var messages = CircularBuffer<ReceivedMessage>()
        /// Of the message taken last.
        var transfer = Duration.zero
        var messageBytes = 0
        /// Bytes of a message that is not complete.
        var partial = 0
        /// Bytes received and not given back.
        var held = 0
        var ended: RPCStatus?
        var reader: CheckedContinuation<Received, Never>? {
            didSet { waitingSince = reader == nil ? nil : .now }
        }
        /// Since when the reader waits.
        var waitingSince: ContinuousClock.Instant?
        var readerCancelled = false
        var metadata = RPCMetadata()

        // Outbound.
        var work = StreamWork()
        var scheduled = false
        /// Bytes accepted and not yet handed to the socket.
        var outbound = 0
        var finished = false
        /// No more writes: why.
        var closed: RPCStatus?
        var writers = CircularBuffer<Waiter>()
        var cancelledWriters: Set<UInt64> = []
        var nextID: UInt64 = 0
        var onCancel: [@Sendable () -> Void] = []

        /// Bytes that may go back now. While nothing waits to be read, an incomplete message is given back too:
        /// otherwise one longer than the window could never arrive.
        mutating func creditable(atLeast threshold: Int) -> Int {
            let count = max(0, held - messageBytes - (messages.isEmpty ? 0 : partial))
            guard count >= max(1, threshold) else { return 0 }
            held -= count
            return count
        }

        mutating func take() -> ByteBuffer? {
            guard let message = messages.popFirst() else { return nil }
            messageBytes -= message.bytes.readableBytes + MessageFraming.prefixLength
            transfer = message.transfer
            return message.bytes
        }
    }

    private let state = Mutex(State())
    private let connection: NIOLoopBound<RPCConnection>
    private let loop: any EventLoop
    private let queueLimit: Int
    private let creditThreshold: Int
    let deadline: ContinuousClock.Instant?

    init(
        loop: any EventLoop, handle: NIOLoopBound<RPCConnection>, limits: RPCLimits,
        deadline: ContinuousClock.Instant?
    ) {
        connection = handle
        self.loop = loop
        queueLimit = limits.outboundQueue
        creditThreshold = max(1, min(64 << 10, limits.streamWindow / 8))
        self.deadline = deadline
    }

    private func schedule() {
        loop.execute { self.connection.value.serve(self) }
    }

    // MARK: Reading

    /// The next message; nil at the clean end. One reader at a time.
    func next() async throws(RPCStatus) -> ByteBuffer? {
        let (ready, wake) = state.withLock { state -> (Received?, Bool) in
            state.readerCancelled = false
            return Self.poll(&state, threshold: creditThreshold)
        }
        if wake { schedule() }
        if let ready { return try ready.get() }
        let received = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Received, Never>) in
                let (ready, wake) = state.withLock { state -> (Received?, Bool) in
                    if state.readerCancelled {
                        return (.failure(RPCStatus(.cancelled, "the reading task was cancelled")), false)
                    }
                    if state.reader != nil {
                        return (.failure(RPCStatus(.internal, "two tasks read from one call")), false)
                    }
                    let (ready, wake) = Self.poll(&state, threshold: creditThreshold)
                    if ready == nil { state.reader = continuation }
                    return (ready, wake)
                }
                if wake { schedule() }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            let reader = state.withLock { state -> CheckedContinuation<Received, Never>? in
                state.readerCancelled = true
                return state.reader.take()
            }
            reader?.resume(returning: .failure(RPCStatus(.cancelled, "the reading task was cancelled")))
        }
        return try received.get()
    }

    /// What can be had at once, and whether the loop has something to do.
    private static func poll(_ state: inout State, threshold: Int) -> (Received?, Bool) {
        let message = state.take()
        let credit = state.creditable(atLeast: state.ended == nil ? threshold : 1)
        state.work.credit += credit
        let wake = credit > 0 && !state.scheduled
        if wake { state.scheduled = true }
        if let message { return (.success(message), wake) }
        switch state.ended {
        case nil: return (nil, wake)
        case RPCStatus.ok?: return (.success(nil), wake)
        case let status?: return (.failure(status), wake)
        }
    }

    /// How long the message that was read last took from its first to its last bytes.
    var lastTransfer: Duration { state.withLock { $0.transfer } }

    /// Loop: messages have arrived, `bytes` in all with what is still incomplete. Returns what goes back at once.
    /// - Parameter transfer: of the first of them; the others came whole.
    func deliver(_ messages: [ByteBuffer], transfer: Duration, partial: Int, bytes: Int) -> Int {
        let (reader, first, credit) = state.withLock {
            state -> (CheckedContinuation<Received, Never>?, ByteBuffer?, Int) in
            state.held += bytes
            state.partial = partial
            for (index, message) in messages.enumerated() {
                state.messages.append(
                    ReceivedMessage(bytes: message, transfer: index == 0 ? transfer : .zero))
                state.messageBytes += message.readableBytes + MessageFraming.prefixLength
            }
            var first: ByteBuffer?
            var reader: CheckedContinuation<Received, Never>?
            if state.reader != nil, let message = state.take() {
                first = message
                reader = state.reader.take()
            }
            return (reader, first, state.creditable(atLeast: creditThreshold))
        }
        reader?.resume(returning: .success(first))
        return credit
    }

    /// Loop: nothing more will come. The first end counts.
    func end(_ status: RPCStatus) {
        let reader = state.withLock { state -> CheckedContinuation<Received, Never>? in
            if state.ended == nil { state.ended = status }
            return state.reader.take()
        }
        guard let reader else { return }
        reader.resume(returning: status.isOK ? .success(nil) : .failure(status))
    }

    /// Loop: all bytes that the reader has not given back; it will not need them.
    func releaseCredit() -> Int {
        state.withLock { state in
            defer { state.held = 0 }
            return state.held
        }
    }

    /// Since when the reader waits for the peer; nil: it does not.
    var waitingSince: ContinuousClock.Instant? { state.withLock { $0.waitingSince } }

    var id: Int32 { state.withLock { $0.id } }
    func set(id: Int32) { state.withLock { $0.id = id } }

    var metadata: RPCMetadata { state.withLock { $0.metadata } }
    func set(metadata: RPCMetadata) { state.withLock { $0.metadata = metadata } }

    // MARK: Writing

    /// Sends buffers, which together are whole frames, when the queue has room.
    func write(_ buffers: [ByteBuffer]) async throws(RPCStatus) {
        let id: UInt64
        switch accept(buffers, waiter: nil) {
        case .done: return
        case .failed(let status): throw status
        case .wait(let next): id = next
        }
        while true {
            let failure = await withTaskCancellationHandler {
                await withCheckedContinuation { (continuation: CheckedContinuation<RPCStatus?, Never>) in
                    park(.task(id: id, continuation))
                }
            } onCancel: {
                cancelWriter(id)
            }
            if let failure { throw failure }
            switch accept(buffers, waiter: id) {
            case .done: return
            case .failed(let status): throw status
            case .wait: continue
            }
        }
    }

    /// The same for a plain thread. Never call it from a task: it would hold up the pool.
    func writeBlocking(_ buffers: [ByteBuffer], deadline: ContinuousClock.Instant) throws(RPCStatus) {
        let id: UInt64
        switch accept(buffers, waiter: nil) {
        case .done: return
        case .failed(let status): throw status
        case .wait(let next): id = next
        }
        while true {
            let semaphore = DispatchSemaphore(value: 0)
            park(.thread(id: id, semaphore))
            let left = ContinuousClock.now.duration(to: deadline)
            if left <= .zero || semaphore.wait(timeout: .now() + left.dispatchInterval) == .timedOut {
                cancelWriter(id)
                throw RPCStatus(
                    .deadlineExceeded,
                    "the peer takes no more data: nothing could be sent before the deadline")
            }
            switch accept(buffers, waiter: id) {
            case .done: return
            case .failed(let status): throw status
            case .wait: continue
            }
        }
    }

    private enum Accepted {
        case done
        case wait(UInt64)
        case failed(RPCStatus)
    }

    private func accept(_ buffers: [ByteBuffer], waiter: UInt64?) -> Accepted {
        let (accepted, wake) = state.withLock { state -> (Accepted, Bool) in
            if let closed = state.closed { return (.failed(closed), false) }
            if state.finished {
                return (.failed(RPCStatus(.internal, "a message after the end of the call")), false)
            }
            if let waiter { state.cancelledWriters.remove(waiter) }
            // Those who already wait go first.
            if state.outbound >= queueLimit || waiter == nil && !state.writers.isEmpty {
                state.nextID += 1
                return (.wait(waiter ?? state.nextID), false)
            }
            for buffer in buffers where buffer.readableBytes > 0 {
                state.work.frames.append(buffer)
                state.work.bytes += buffer.readableBytes
                state.outbound += buffer.readableBytes
            }
            let wake = !state.scheduled
            state.scheduled = true
            return (.done, wake)
        }
        if wake { schedule() }
        return accepted
    }

    /// Wakes the waiter at once if there is room after all, or the call is over.
    private func park(_ waiter: Waiter) {
        let (now, status) = state.withLock { state -> (Bool, RPCStatus?) in
            if state.cancelledWriters.remove(waiter.id) != nil {
                return (true, RPCStatus(.cancelled, "the sending task was cancelled"))
            }
            if let closed = state.closed { return (true, closed) }
            if state.outbound < queueLimit { return (true, nil) }
            state.writers.append(waiter)
            return (false, nil)
        }
        if now { waiter.wake(status) }
    }

    private func cancelWriter(_ id: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.writers.firstIndex(where: { $0.id == id }) else {
                state.cancelledWriters.insert(id)
                return nil
            }
            return state.writers.remove(at: index)
        }
        waiter?.wake(RPCStatus(.cancelled, "the sending task was cancelled"))
    }

    /// Loop: `bytes` have gone to the socket.
    func sent(_ bytes: Int) {
        let woken = state.withLock { state -> CircularBuffer<Waiter> in
            state.outbound -= bytes
            guard state.outbound < queueLimit else { return [] }
            // All of them: one that has just given up must not keep the others asleep.
            defer { state.writers.removeAll() }
            return state.writers
        }
        for waiter in woken { waiter.wake(nil) }
    }

    /// No more messages from this side. For a server the status is the call's outcome.
    func finish(_ status: RPCStatus = .ok) {
        let wake = state.withLock { state -> Bool in
            guard !state.finished else { return false }
            state.finished = true
            if state.closed == nil {
                state.work.finish = status
            } else {
                guard state.held > 0 else { return false }
                state.work.abandon = true
            }
            defer { state.scheduled = true }
            return !state.scheduled
        }
        if wake { schedule() }
    }

    /// Gives the call up: the stream is reset, waiting readers and writers end.
    func cancel(_ status: RPCStatus = RPCStatus(.cancelled, "the call was cancelled")) {
        let wake = state.withLock { state -> Bool in
            guard state.closed == nil || state.held > 0 else { return false }
            state.work.abandon = true
            defer { state.scheduled = true }
            return !state.scheduled
        }
        end(status)
        close(status)
        if wake { schedule() }
    }

    /// Ends all writing; wakes every waiter. `status` says why.
    func close(_ status: RPCStatus) {
        let (waiters, handlers) = state.withLock {
            state -> (CircularBuffer<Waiter>, [@Sendable () -> Void]) in
            guard state.closed == nil else { return ([], []) }
            state.closed = status
            defer {
                state.writers.removeAll()
                state.onCancel.removeAll()
            }
            return (state.writers, state.onCancel)
        }
        for waiter in waiters { waiter.wake(status) }
        for handler in handlers { handler() }
    }

    /// The call is over or given up; nothing that is written arrives.
    var isClosed: Bool { state.withLock { $0.closed != nil } }

    /// Why it is closed.
    var ending: RPCStatus { state.withLock { $0.closed } ?? .ok }

    /// The status everybody gets who reads past the end.
    var outcome: RPCStatus? { state.withLock { $0.ended } }

    /// Called once when the call is cancelled, reset or lost; at once if it already is.
    func onCancel(_ body: @escaping @Sendable () -> Void) {
        let now = state.withLock { state -> Bool in
            if state.closed != nil { return true }
            state.onCancel.append(body)
            return false
        }
        if now { body() }
    }

    /// Loop: what there is to do.
    func takeWork() -> StreamWork {
        state.withLock { state in
            state.scheduled = false
            let work = state.work
            state.work = StreamWork()
            return work
        }
    }

    /// Loop: the outcome has been sent; cancellation handlers are not needed any more.
    func completed() {
        state.withLock { $0.onCancel.removeAll() }
    }
}

extension Duration {
    var dispatchInterval: DispatchTimeInterval {
        let (seconds, attoseconds) = components
        guard seconds < 1_000_000_000 else { return .never }
        return .nanoseconds(Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000))
    }

    var timeAmount: TimeAmount {
        let (seconds, attoseconds) = components
        guard seconds < 1_000_000_000 else { return .seconds(1_000_000_000) }
        return .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
