// Serves the requests of a connection, one after another.

import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import Synchronization

/// What all connections of a server share.
struct WebService: Sendable {
    let routes: WebRouteTable
    let limits: WebLimits
    let statistics: WebStatistics
    let isTLS: Bool
    let logger: Logger
    let refusal: WebServer.Refusal
}

/// The pipeline of a connection, and the loop that serves it.
///
/// The pipeline is Hummingbird's; the loop is not, because in Hummingbird's own a handler that watches for its client
/// to leave ends the connection.
struct WebChannel: ServerChildChannel {
    typealias Parts = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    struct Value: ServerChildChannelValue {
        let parts: Parts
        let client: ConnectionNews
        var channel: any Channel { parts.channel }
    }

    let service: WebService

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let client = ConnectionNews()
        let limits = service.limits
        let statistics = service.statistics
        do { try Self.setOptions(channel) } catch { return channel.eventLoop.makeFailedFuture(error) }
        let http = HTTP1Channel(
            responder: { _, _, _ in },
            configuration: .init(
                additionalChannelHandlers: [ConnectionGuard(limits, client: client, statistics: statistics)],
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: limits.headBytes, maxHeaderListSize: limits.headBytes,
                    maxHeaderFieldCount: limits.headers)))
        return http.setup(channel: channel, logger: logger).map { Value(parts: $0, client: client) }
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

    func handle(value: Value, logger: Logger) async {
        let channel = value.channel
        do {
            try await withTaskCancellationHandler {
                try await value.parts.executeThenClose { inbound, outbound in
                    var parts = inbound.makeAsyncIterator()
                    try await serve(&parts, value)
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
            logger.trace("a connection broke off: \(error)")
        }
    }

    /// Returns when no more requests are to be answered; throws when the connection is of no more use.
    private func serve(
        _ parts: inout NIOAsyncChannelInboundStream<HTTPRequestPart>.AsyncIterator,
        _ value: Value
    ) async throws {
        let writer = PartWriter(channel: value.channel)
        do {
            while let part = try await parts.next() {
                // Anything else is the end of a request that was answered without reading it.
                guard case .head(let head) = part else { continue }
                let exchange = WebExchange(
                    service: service, client: value.client, writer: writer, head: head,
                    remoteAddress: value.channel.remoteAddress?.ipAddress)
                guard try await exchange.run(&parts), !value.client.isLastRequest else { return }
            }
        } catch let error as HTTPParserError {
            let status = error == .headerOverflow ? 431 : 400
            let text =
                error == .headerOverflow
                ? "the request's head is larger than \(service.limits.headBytes) bytes or has more than \(service.limits.headers) headers"
                : "this is not HTTP/1.1"
            try await writer.write(
                .head(
                    HTTPResponse(
                        status: .init(code: status),
                        headerFields: [
                            .connection: "close", .contentType: "text/plain; charset=utf-8",
                            .contentLength: String(text.utf8.count + 1),
                        ])),
                .body(ByteBuffer(string: text + "\n")), .end(nil))
            service.statistics.answered(route: nil, status: status, after: .zero)
        }
    }
}

/// Sends parts and waits until the system has taken them.
///
/// NIO's own writer for async channels learns late that a channel is full and takes tens of megabytes before.
private struct PartWriter: Sendable {
    let channel: any Channel

    func write(_ parts: HTTPResponsePart...) async throws {
        try await channel.eventLoop.flatSubmit { [channel] in
            for part in parts.dropLast() { channel.write(part, promise: nil) }
            return parts.last.map { channel.writeAndFlush($0) } ?? channel.eventLoop.makeSucceededVoidFuture()
        }.get()
    }
}

/// One request and its response.
private struct WebExchange {
    /// The client left, or the connection was cut, before the response was whole.
    private static let clientLeft = 499

    private enum Stop {
        case clientLeft, late
    }

    /// What stopped a handler, if anything; the first reason counts.
    private final class StopReason: Sendable {
        private let reason = Mutex<Stop?>(nil)
        var value: Stop? { reason.withLock { $0 } }
        func set(_ stop: Stop) { reason.withLock { $0 = $0 ?? stop } }
    }

    /// Shut when a stream has ended, so that a writer kept for longer does not write into the next response.
    private final class Gate: Sendable {
        private let open = Mutex(true)
        var isOpen: Bool { open.withLock { $0 } }
        func shut() { open.withLock { $0 = false } }
    }

    /// The response cannot be ended; its connection must be closed.
    private struct BrokenOff: Error {}

    let service: WebService
    let client: ConnectionNews
    let writer: PartWriter
    let head: HTTPRequest
    let remoteAddress: String?
    let started = ContinuousClock.now

    private var isLast: Bool {
        client.isLastRequest
            || head.headerFields[values: .connection].contains { value in
                value.split(separator: ",").contains {
                    $0.trimmingCharacters(in: .whitespaces).lowercased() == "close"
                }
            }
    }

    private var announcesBody: Bool {
        head.headerFields[.transferEncoding] != nil || (head.headerFields[.contentLength] ?? "0") != "0"
    }

    /// True when the connection can take another request.
    func run(_ parts: inout NIOAsyncChannelInboundStream<HTTPRequestPart>.AsyncIterator) async throws -> Bool
    {
        guard let target = WebTarget(head.path ?? "") else {
            return try await refuse(nil, 400, "the request's path is not valid", closing: announcesBody)
        }
        switch service.routes.match(head.method.rawValue, target.segments) {
        case .unknownPath:
            return try await refuse(nil, 404, "there is nothing at this path", closing: announcesBody)
        case .wrongMethod(let allow):
            return try await refuse(
                nil, 405, "this path takes \(allow) only", [WebField("Allow", allow)], closing: announcesBody)
        case .found(let route, let captures):
            return try await run(route, target, captures, &parts)
        }
    }

    private func run(
        _ route: WebRoute, _ target: WebTarget, _ captures: [String: String],
        _ parts: inout NIOAsyncChannelInboundStream<HTTPRequestPart>.AsyncIterator
    ) async throws -> Bool {
        let limit = route.maximumBodyBytes
        if let length = head.headerFields[.contentLength] {
            guard let length = Int(length), length <= limit else { return try await refuseBodySize(route) }
        }
        if announcesBody, head.headerFields[.expect]?.lowercased() == "100-continue" {
            try await writer.write(.head(HTTPResponse(status: .continue)))
        }
        var body: [UInt8] = []
        defer { service.statistics.releaseBody(body.count) }
        while true {
            guard let part = try await parts.next() else {
                record(route, Self.clientLeft)
                throw BrokenOff()
            }
            guard case .body(let bytes) = part else { break }
            guard bytes.readableBytes <= limit - body.count else { return try await refuseBodySize(route) }
            guard
                service.statistics.reserveBody(
                    bytes.readableBytes, limit: service.limits.bodyBytesInFlight)
            else {
                service.statistics.refused(.bodyMemory)
                return try await refuse(
                    route, 503, "too many large requests at once; try again later",
                    [WebField("Retry-After", "5")], closing: true)
            }
            body.append(contentsOf: bytes.readableBytesView)
        }
        var headers = head.headerFields.map { WebField($0.name.rawName, $0.value) }
        if let host = head.authority { headers.append(WebField("Host", host)) }
        let request = WebRequest(
            method: WebMethod(rawValue: head.method.rawValue) ?? route.method, path: target.path,
            captures: captures, query: target.query, headers: headers, body: body,
            remoteAddress: remoteAddress, isTLS: service.isTLS)
        return try await answer(route, request)
    }

    private func answer(_ route: WebRoute, _ request: WebRequest) async throws -> Bool {
        let deadline = route.deadline.map { ContinuousClock.now + $0 }
        let (result, stop) = await whileClientWaits(until: deadline) { try await route.handler(request) }
        switch result {
        case .success(let response):
            if case .stream(let write) = response.body {
                return try await stream(route, response, until: deadline, write)
            }
            do { try await send(response, closing: isLast) } catch {
                record(route, Self.clientLeft)
                throw error
            }
            record(route, Self.status(response))
            return !isLast
        case .failure(let error):
            switch stop {
            case .late:
                service.statistics.refused(.deadline)
                return try await refuse(
                    route, 503, "this took longer than it may; try again later", closing: isLast)
            case .clientLeft:
                record(route, Self.clientLeft)
                throw BrokenOff()
            case nil:
                service.logger.error(
                    "a handler failed",
                    metadata: ["route": "\(route.method.rawValue) \(route.pattern)", "error": "\(error)"])
                return try await refuse(
                    route, 500, "the server failed to answer; its log says why", closing: isLast)
            }
        }
    }

    private func stream(
        _ route: WebRoute, _ response: WebResponse, until deadline: ContinuousClock.Instant?,
        _ write: @escaping @Sendable (WebBodyWriter) async throws -> Void
    ) async throws -> Bool {
        if head.method == .head {
            // The encoder would end a body that HEAD must not have: the connection is closed instead.
            try await writer.write(.head(fields(response, length: nil, closing: true)))
            record(route, Self.status(response))
            return false
        }
        let writer = writer
        let opening = fields(response, length: nil, closing: isLast)
        let gate = Gate()
        let (result, stop) = await whileClientWaits(until: deadline) {
            try await writer.write(.head(opening))
            defer { gate.shut() }
            try await write(
                WebBodyWriter { bytes in
                    guard gate.isOpen else { throw CancellationError() }
                    try await withTaskCancellationHandler {
                        try await Self.send(bytes[...], to: writer)
                    } onCancel: {
                        // A write that waits for the client cannot be taken back, only the connection closed.
                        writer.channel.close(promise: nil)
                    }
                })
            gate.shut()
            try await writer.write(.end(nil))
        }
        guard case .failure(let error) = result else {
            record(route, Self.status(response))
            return !isLast
        }
        if stop == .late { service.statistics.refused(.deadline) }
        if stop == nil, !(error is CancellationError) {
            service.logger.error(
                "a stream failed",
                metadata: ["route": "\(route.method.rawValue) \(route.pattern)", "error": "\(error)"])
        }
        record(route, stop == .clientLeft ? Self.clientLeft : Self.status(response))
        throw BrokenOff()
    }

    /// Runs `work` in a task that is cancelled when the client leaves, the time is over, or this task is cancelled.
    /// Returns when `work` does.
    private func whileClientWaits<Value: Sendable>(
        until deadline: ContinuousClock.Instant?, _ work: @escaping @Sendable () async throws -> Value
    ) async -> (Result<Value, any Error>, Stop?) {
        let reason = StopReason()
        let task = Task { try await work() }
        client.whenGone {
            reason.set(.clientLeft)
            task.cancel()
        }
        let timer = deadline.map { deadline in
            Task {
                try await Task.sleep(until: deadline, clock: .continuous)
                reason.set(.late)
                task.cancel()
            }
        }
        let result = await withTaskCancellationHandler {
            await task.result
        } onCancel: {
            task.cancel()
        }
        timer?.cancel()
        client.forget()
        return (result, reason.value)
    }

    private func refuseBodySize(_ route: WebRoute) async throws -> Bool {
        service.statistics.refused(.bodySize)
        return try await refuse(
            route, 413, "the request's body is larger than \(route.maximumBodyBytes) bytes", closing: true)
    }

    /// Answers in the server's own words. `closing`: what is left of the request is not read.
    private func refuse(
        _ route: WebRoute?, _ status: Int, _ text: String, _ headers: [WebField] = [], closing: Bool
    ) async throws -> Bool {
        var response = service.refusal(head.path ?? "", status, text)
        response.status = status
        response.headers += headers
        let closing = closing || isLast
        try await send(response, closing: closing)
        record(route, status)
        return !closing
    }

    /// Sends a whole response; a stream's place is taken by nothing.
    private func send(_ response: WebResponse, closing: Bool) async throws {
        let bytes = if case .bytes(let bytes) = response.body { bytes } else { [UInt8]() }
        let status = Self.status(response)
        let opening = HTTPResponsePart.head(fields(response, length: bytes.count, closing: closing))
        if head.method == .head || status == 204 || status == 304 {
            return try await writer.write(opening, .end(nil))
        }
        if bytes.count <= Self.pieceBytes {
            return try await writer.write(opening, .body(ByteBuffer(bytes: bytes)), .end(nil))
        }
        try await writer.write(opening)
        try await Self.send(bytes[...], to: writer)
        try await writer.write(.end(nil))
    }

    /// A piece is what a client must take within `WebLimits.writeTime`.
    private static let pieceBytes = 64 << 10

    private static func send(
        _ bytes: ArraySlice<UInt8>, to writer: PartWriter
    ) async throws {
        var rest = bytes
        while !rest.isEmpty {
            try await writer.write(.body(ByteBuffer(bytes: rest.prefix(pieceBytes))))
            rest = rest.dropFirst(pieceBytes)
        }
    }

    private func record(_ route: WebRoute?, _ status: Int) {
        service.statistics.answered(route: route?.pattern, status: status, after: .now - started)
    }

    private static func status(_ response: WebResponse) -> Int {
        200...599 ~= response.status ? response.status : 500
    }

    /// `length`: nil for a stream.
    private func fields(_ response: WebResponse, length: Int?, closing: Bool) -> HTTPResponse {
        var fields = HTTPFields()
        for field in response.headers {
            guard let name = HTTPField.Name(field.name), !Self.ownFields.contains(name) else { continue }
            fields.append(HTTPField(name: name, value: field.value))
        }
        fields[.date] = Self.httpDate()
        if let length { fields[.contentLength] = String(length) }
        if closing { fields[.connection] = "close" }
        return HTTPResponse(status: .init(code: Self.status(response)), headerFields: fields)
    }

    private static let ownFields: Set<HTTPField.Name> = [
        .connection, .contentLength, .date, .trailer, .transferEncoding, .upgrade,
    ]

    /// The time now as HTTP writes it: "Sun, 06 Nov 1994 08:49:37 GMT".
    private static func httpDate() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        let text = [CChar](unsafeUninitializedCapacity: 40) { buffer, count in
            count = strftime(buffer.baseAddress, buffer.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
        }
        return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
