// A port that HTTP is spoken on: accepts connections and serves each in a task of its own.

import Logging
import NIOCore
import NIOPosix

/// One listening socket and what came in by it.
struct WebListener: Sendable {
    private let child: WebChannel
    private let channel: NIOAsyncChannel<WebChannel.Connection, Never>

    /// Listens from now on; `serve` takes what comes.
    init(_ address: WebAddress, _ child: WebChannel) async throws {
        self.child = child
        let door = child.service.door
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: CInt(clamping: child.service.limits.waitingConnections))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { door.guardListener($0) }
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(host: address.host, port: address.port) { child.setUp($0) }
    }

    /// The door of a port with these limits, which is counted in `statistics`.
    static func door(_ limits: WebLimits, _ statistics: WebStatistics) -> ConnectionDoor {
        statistics.connections(open: 0, maximum: limits.connections)
        return ConnectionDoor(total: limits.connections, perAddress: limits.connectionsPerAddress) {
            switch $0 {
            case .refused: statistics.refused(.connections)
            case .gaveWay: statistics.refused(.silent)
            case .open(let count): statistics.connections(open: count, maximum: limits.connections)
            }
        }
    }

    var port: Int? { channel.channel.localAddress?.port }

    /// Returns when the port is closed and all connections have ended. Cancelled, it cuts them off.
    func serve() async {
        await withDiscardingTaskGroup { group in
            do {
                try await channel.executeThenClose { connections in
                    for try await connection in connections {
                        group.addTask { await child.serve(connection) }
                    }
                }
            } catch {
                // The end that was asked for, in one of its forms.
                child.service.logger.debug("a web port is closed: \(error)")
            }
        }
    }

    /// Stops to listen; connections end with the request that is under way.
    func drain() {
        channel.channel.close(promise: nil)
        for connection in child.service.door.channels {
            connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }
}
