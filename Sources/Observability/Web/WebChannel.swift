// Serves the requests of a connection, one after another.

import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Numerals

typealias WebRequestPart = HTTPServerRequestPart
typealias WebResponsePart = HTTPServerResponsePart

/// What all connections of a server share.
struct WebService: Sendable {
    let routes: WebRouteTable
    let limits: WebLimits
    let statistics: WebStatistics
    let logger: Logger
    let refusal: WebServer.Refusal
    /// nil: plain HTTP.
    let tls: NIOSSLContext?
    let door: ConnectionDoor
}

/// The pipeline of a connection, and the loop that serves it.
struct WebChannel: Sendable {
    typealias Parts = NIOAsyncChannel<WebRequestPart, WebResponsePart>

    /// A connection that is ready to be served.
    struct Connection: Sendable {
        let parts: Parts
        let client: ConnectionNews
        var channel: any Channel { parts.channel }
    }

    let service: WebService

    func setUp(_ channel: any Channel) -> EventLoopFuture<Connection> {
        channel.eventLoop.makeCompletedFuture {
            try Self.setOptions(channel)
            let client = ConnectionNews()
            let pipeline = channel.pipeline.syncOperations
            if let tls = service.tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
            var head = NIOHTTPDecoderLimitConfiguration()
            head.maxHeaderFieldSize = service.limits.headBytes
            head.maxHeaderListSize = service.limits.headBytes
            head.maxHeaderFieldCount = service.limits.headers
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false,
                withOutboundHeaderValidation: false, withEncoderConfiguration: .init(),
                withDecoderLimitConfiguration: head)
            try pipeline.addHandler(ConnectionGuard(service, client: client))
            let parts = try Parts(
                wrappingChannelSynchronously: channel,
                configuration: .init(isOutboundHalfClosureEnabled: true))
            return Connection(parts: parts, client: client)
        }
    }

    /// A host that vanished without a word is noticed after a minute, also while nothing is sent to it. And the
    /// system takes little more than it can send: otherwise it tells of progress only once a third of megabytes is
    /// gone, and a client that reads slowly looks like one that does not read.
    private static func setOptions(_ channel: any Channel) throws {
        guard let options = channel.syncOptions else { return }
        try options.setOption(.socketOption(.so_keepalive), value: 1)
        for (name, value) in [
            (TCP_KEEPIDLE, 30), (TCP_KEEPINTVL, 10), (TCP_KEEPCNT, 3), (TCP_NOTSENT_LOWAT, 64 << 10),
        ] {
            try options.setOption(.tcpOption(.init(rawValue: name)), value: value)
        }
    }

    func serve(_ connection: Connection) async {
        let channel = connection.channel
        do {
            try await withTaskCancellationHandler {
                try await connection.parts.executeThenClose { inbound, outbound in
                    var parts = inbound.makeAsyncIterator()
                    try await serve(&parts, connection)
                    // All is sent, then the sending side closed; what still arrives is dropped. `ConnectionGuard`
                    // closes the connection when the client does, or when that takes too long.
                    outbound.finish()
                    while (try? await parts.next()) != nil {}
                    try await channel.closeFuture.get()
                }
            } onCancel: {
                channel.close(promise: nil)
            }
        } catch {
            service.logger.trace("a connection broke off: \(error)")
        }
    }

    /// Returns when no more requests are to be answered; throws when the connection is of no more use.
    private func serve(
        _ parts: inout NIOAsyncChannelInboundStream<WebRequestPart>.AsyncIterator, _ connection: Connection
    ) async throws {
        let writer = PartWriter(channel: connection.channel)
        do {
            while let part = try await parts.next() {
                // Anything else is the end of a request that was answered without reading it.
                guard case .head(let head) = part else { continue }
                let exchange = WebExchange(
                    service: service, client: connection.client, writer: writer, head: head,
                    remoteAddress: connection.channel.remoteAddress?.ipAddress)
                guard try await exchange.run(&parts), !connection.client.isLastRequest else { return }
            }
        } catch let error as HTTPParserError {
            let (status, text) = Self.refusal(error, service.limits)
            let headers: HTTPHeaders = [
                "Connection": "close", "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": String(text.utf8.count + 1),
            ]
            try await writer.write(
                .head(
                    HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)),
                .body(.byteBuffer(ByteBuffer(string: text + "\n"))), .end(nil))
            service.statistics.answered(route: nil, status: status, after: .zero)
        }
    }

    /// What a client is told whose bytes are no request.
    private static func refusal(_ error: HTTPParserError, _ limits: WebLimits) -> (status: Int, text: String)
    {
        switch error {
        case .headerOverflow:
            (
                431,
                "the request's head is larger than \(limits.headBytes.grouped) bytes or has more than \(limits.headers.grouped) headers"
            )
        case .invalidMethod: (501, "this method is not known here")
        case .invalidVersion: (505, "this port speaks HTTP/1.1 and HTTP/1.0")
        default: (400, "this is not HTTP/1.1")
        }
    }
}

/// Sends parts and waits until the system has taken them.
///
/// NIO's own writer for async channels learns late that a channel is full and takes tens of megabytes before.
struct PartWriter: Sendable {
    let channel: any Channel

    func write(_ parts: WebResponsePart...) async throws {
        try await channel.eventLoop.flatSubmit { [channel] in
            for part in parts.dropLast() { channel.write(part, promise: nil) }
            return parts.last.map { channel.writeAndFlush($0) } ?? channel.eventLoop.makeSucceededVoidFuture()
        }.get()
    }
}
