// How many connections the ports of a process may hold, from the open files that the system allows it.

import Foundation
import NIOCore

/// Places for connections, for each port of a process.
///
/// A process that runs out of open files loses more than a connection: libdispatch ends it when it cannot read
/// /proc, the journal cannot grow, models cannot be opened. So the ports together stay below the limit by a reserve.
public struct ConnectionShares: Sendable, Equatable {
    /// Of each port that speaks gRPC.
    public let grpc: Int
    /// Of the port of the web page and the API.
    public let web: Int
    /// Of the port of metrics and probes.
    public let monitoring: Int

    /// What the ports of a process get when files are plenty.
    package static let most = (grpc: 1024, web: 256, monitoring: 64)
    /// Files that are no accepted connections: journal, model, logs, connections that the process makes itself.
    package static let reserve = 100
    /// Each event loop of SwiftNIO has an epoll, an event and a timer descriptor.
    private static let filesOfLoop = 3
    /// A port with fewer places would shut out its own cluster.
    private static let fewest = 8

    /// - Parameters:
    ///   - openFiles: the limit, descriptors.
    ///   - loops: event loops of the process.
    ///   - grpcPorts: how many ports speak gRPC.
    ///   - webPorts: 1 where the page is served.
    public init(openFiles: Int, loops: Int, grpcPorts: Int, webPorts: Int) {
        let wanted = grpcPorts * Self.most.grpc + webPorts * Self.most.web + Self.most.monitoring
        let left = openFiles - Self.reserve - Self.filesOfLoop * loops
        let share = min(1, max(0, Double(left) / Double(wanted)))
        func places(_ most: Int) -> Int { max(Self.fewest, Int(Double(most) * share)) }
        grpc = places(Self.most.grpc)
        web = places(Self.most.web)
        monitoring = places(Self.most.monitoring)
    }

    /// Of this process, by the limit that it has now.
    public static func ofThisProcess(grpcPorts: Int, webPorts: Int) -> ConnectionShares {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return ConnectionShares(
            openFiles: Int(clamping: limit.rlim_cur), loops: System.coreCount, grpcPorts: grpcPorts,
            webPorts: webPorts)
    }

    /// Ports get less than they would with more files.
    public var isReduced: Bool { grpc < Self.most.grpc }
}
