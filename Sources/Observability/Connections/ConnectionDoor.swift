// Lets connections into a listening channel, as `ConnectionPlaces` decides, and closes those that must go.

package import NIOCore
import NIOPosix
import Synchronization

/// The connections of one listener. Any thread.
package final class ConnectionDoor: Sendable {
    package enum Event: Sendable {
        /// Closed on arrival: its address has its share of connections.
        case refused
        /// Closed while it waited, for somebody who came later.
        case gaveWay
        /// The number of open connections has changed.
        case open(Int)
    }

    private struct State {
        var places: ConnectionPlaces<ObjectIdentifier>
        var channels: [ObjectIdentifier: any Channel] = [:]
    }

    private let state: Mutex<State>
    private let notice: @Sendable (Event) -> Void

    /// - Parameter notice: for statistics; called on event loops.
    package init(
        total: Int, perAddress: Int?, notice: @escaping @Sendable (Event) -> Void
    ) {
        state = Mutex(State(places: ConnectionPlaces(total: total, perAddress: perAddress)))
        self.notice = notice
    }

    package var limit: Int { state.withLock { $0.places.total } }

    /// Those that are open now.
    package var channels: [any Channel] { state.withLock { Array($0.channels.values) } }

    /// Puts the door in front of a listening channel: for its `serverChannelInitializer`. The channel must take one
    /// connection at a time (`maxMessagesPerRead` 1), or more come in than there are places.
    package func guardListener(_ listener: any Channel) -> EventLoopFuture<Void> {
        listener.eventLoop.makeCompletedFuture {
            try listener.pipeline.syncOperations.addHandler(DoorHandler(door: self))
        }
    }

    /// `connection` is served from now on.
    package func serve(_ connection: any Channel) {
        state.withLock { $0.places.serve(ObjectIdentifier(connection)) }
    }

    /// All that `connection` asked for is answered.
    package func wait(_ connection: any Channel) {
        state.withLock { $0.places.wait(ObjectIdentifier(connection), at: .now) }
    }

    fileprivate var hasRoom: Bool { state.withLock { $0.places.hasRoom } }

    /// Closes somebody for those in the system's queue, if all places are taken and anybody can be asked to go.
    fileprivate func makeRoom() {
        close(
            state.withLock { state in
                state.places.makeRoom(at: .now).flatMap { state.channels[$0] }
            })
    }

    /// False: it is to be closed at once.
    fileprivate func arrive(_ connection: any Channel) -> Bool {
        let id = ObjectIdentifier(connection)
        let address = ClientNetwork(ip: connection.remoteAddress?.ipAddress ?? "").name
        let (admitted, leaving, count) = state.withLock { state -> (Bool, (any Channel)?, Int) in
            switch state.places.arrive(id, from: address, at: .now) {
            case .refused: return (false, nil, state.places.count)
            case .admitted(let leaving):
                state.channels[id] = connection
                return (true, leaving.flatMap { state.channels[$0] }, state.places.count)
            }
        }
        notice(admitted ? .open(count) : .refused)
        connection.eventLoop.execute {
            try? connection.pipeline.syncOperations.addHandler(ExitHandler(), position: .first)
        }
        close(leaving)
        return admitted
    }

    fileprivate func leave(_ connection: any Channel) {
        let id = ObjectIdentifier(connection)
        let count = state.withLock { state in
            state.places.leave(id)
            state.channels[id] = nil
            return state.places.count
        }
        notice(.open(count))
    }

    private func close(_ connection: (any Channel)?) {
        guard let connection else { return }
        notice(.gaveWay)
        connection.eventLoop.execute {
            let exit = try? connection.pipeline.syncOperations.handler(type: ExitHandler.self)
            if let exit { exit.leave() } else { connection.close(promise: nil) }
        }
    }
}

/// First in a connection's pipeline: closes it without the good-bye of TLS, for which a silent peer is waited for.
private final class ExitHandler: ChannelInboundHandler {
    typealias InboundIn = NIOAny
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
    func leave() { context?.close(promise: nil) }
}

/// Sits in the listening channel: takes no connection while there is no room, or the system has none to give.
private final class DoorHandler: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never
    typealias OutboundOut = Never

    private let door: ConnectionDoor
    private var pause = AcceptPause()
    /// The next connection is asked for and not taken yet.
    private var isHeld = false
    private var timer: Scheduled<Void>?
    private static let lookInterval = TimeAmount.milliseconds(250)

    init(door: ConnectionDoor) { self.door = door }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = unwrapInboundIn(data)
        guard door.arrive(connection) else {
            connection.close(promise: nil)
            return
        }
        let door = door
        let handle = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        connection.closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            door.leave(connection)
            handle.value.0.look(handle.value.1)
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError else { return context.fireErrorCaught(error) }
        pause.fail(error.errnoCode, at: context.eventLoop.now)
    }

    func read(context: ChannelHandlerContext) {
        guard !isHeld else { return }
        isHeld = true
        look(context)
    }

    /// Takes the connection that is asked for, or looks again later: somebody who waits may have waited long enough.
    private func look(_ context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        guard isHeld else { return }
        let rest = pause.rest(at: context.eventLoop.now)
        guard rest != nil || !door.hasRoom else {
            isHeld = false
            return context.read()
        }
        guard context.channel.isActive else { return }
        if rest == nil { door.makeRoom() }
        let handle = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: rest ?? Self.lookInterval) {
            handle.value.0.look(handle.value.1)
        }
    }
}
