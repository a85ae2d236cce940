// What a connection keeps of each of its streams, on its event loop.

import NIOCore
import Synchronization

/// A stream as the loop sees it.
final class StreamEntry {
    let id: Int32
    /// nil: the stream was refused; what still arrives for it is dropped.
    var rpc: RPCStream?
    var deframer: MessageDeframer
    /// When the first bytes of the message came that is not complete.
    var messageBegan = NIODeadline.now()
    /// Server: how long the client may take; nil: as long as it lives.
    var pace: RequestPace?
    /// Server: all of the request is one message, and counts until its end.
    var isSingle = false
    /// Bytes of the request so far.
    var requestBytes = 0
    /// What of it the connection's `RequestMemory` counts.
    var counted = 0
    let began = ContinuousClock.now
    var messageSince: ContinuousClock.Instant?
    var outbound = CircularBuffer<ByteBuffer>()
    var timer: Scheduled<Void>?
    var task: Task<Void, Never>?
    /// Our header block has gone (a client's request, a server's reply).
    var opened = false
    /// Our side is complete.
    var finished = false
    /// The peer's side is complete, or its remainder is of no interest.
    var received = false
    var accepted = false

    init(id: Int32, rpc: RPCStream?, deframer: MessageDeframer) {
        self.id = id
        self.rpc = rpc
        self.deframer = deframer
    }
}

/// Whether new calls are welcome; read from any thread.
final class ConnectionSwitch: Sendable {
    private let on = Atomic(true)
    var isOn: Bool { on.load(ordering: .relaxed) }
    func turnOff() { on.store(false, ordering: .relaxed) }
}
