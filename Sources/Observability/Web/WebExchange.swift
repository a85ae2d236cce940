// One request and its response.

import Foundation
import HTTPTypes
import Logging
import NIOCore
import NIOHTTP1
import Numerals
import Synchronization

/// Reads a request's body, lets its handler answer, and sends the answer.
struct WebExchange {
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
    let head: HTTPRequestHead
    let remoteAddress: String?
    let started = ContinuousClock.now

    private var isLast: Bool { client.isLastRequest || !head.isKeepAlive }

    /// A client of HTTP/1.0 knows no chunks: what has no length ends with its connection.
    private var isOld: Bool { (head.version.major, head.version.minor) < (1, 1) }

    private var announcesBody: Bool {
        head.headers.contains(name: "transfer-encoding")
            || (head.headers.first(name: "content-length") ?? "0") != "0"
    }

    /// True when the connection can take another request.
    func run(_ parts: inout NIOAsyncChannelInboundStream<WebRequestPart>.AsyncIterator) async throws -> Bool {
        guard let target = WebTarget(head.uri) else {
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
        _ parts: inout NIOAsyncChannelInboundStream<WebRequestPart>.AsyncIterator
    ) async throws -> Bool {
        let limit = route.maximumBodyBytes
        if let length = head.headers.first(name: "content-length") {
            guard let length = Int(length), length <= limit else { return try await refuseBodySize(route) }
        }
        let opening = request(route, target, captures, body: [])
        if let refusal = route.admit?(opening) {
            let closing = announcesBody || isLast
            try await send(refusal, closing: closing)
            record(route, Self.status(refusal))
            return !closing
        }
        if announcesBody, !isOld, head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            try await writer.write(.head(HTTPResponseHead(version: .http1_1, status: .continue)))
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
        return try await answer(route, request(route, target, captures, body: body))
    }

    private func request(
        _ route: WebRoute, _ target: WebTarget, _ captures: [String: String], body: [UInt8]
    ) -> WebRequest {
        WebRequest(
            method: WebMethod(rawValue: head.method.rawValue) ?? route.method, path: target.path,
            captures: captures, query: target.query,
            headers: head.headers.map { WebField($0.name, $0.value) }, body: body,
            remoteAddress: remoteAddress, isTLS: service.tls != nil)
    }

    private func answer(_ route: WebRoute, _ request: WebRequest) async throws -> Bool {
        let deadline = route.deadline.map { ContinuousClock.now + $0 }
        let (result, stop) = await whileClientWaits(until: deadline) { try await route.handler(request) }
        if stop == .clientLeft, case .success(let response) = result, Self.status(response) >= 500 {
            // Work that was cancelled makes no good answer, and nobody waits for one.
            record(route, Self.clientLeft)
            throw BrokenOff()
        }
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
        if head.method == .HEAD {
            // The encoder would end a body that HEAD must not have: the connection is closed instead.
            try await writer.write(.head(fields(response, length: nil, closing: true)))
            record(route, Self.status(response))
            return false
        }
        let writer = writer
        let closing = isLast || isOld
        let opening = fields(response, length: nil, closing: closing)
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
            return !closing
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
            route, 413, "the request's body is larger than \(route.maximumBodyBytes.grouped) bytes",
            closing: true)
    }

    /// Answers in the server's own words. `closing`: what is left of the request is not read.
    private func refuse(
        _ route: WebRoute?, _ status: Int, _ text: String, _ headers: [WebField] = [], closing: Bool
    ) async throws -> Bool {
        var response = service.refusal(head.uri, status, text)
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
        let opening = WebResponsePart.head(fields(response, length: bytes.count, closing: closing))
        if head.method == .HEAD || status == 204 || status == 304 {
            return try await writer.write(opening, .end(nil))
        }
        if bytes.count <= Self.pieceBytes {
            return try await writer.write(opening, .body(.byteBuffer(ByteBuffer(bytes: bytes))), .end(nil))
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
            try await writer.write(.body(.byteBuffer(ByteBuffer(bytes: rest.prefix(pieceBytes)))))
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
    private func fields(_ response: WebResponse, length: Int?, closing: Bool) -> HTTPResponseHead {
        var headers = HTTPHeaders()
        for field in response.headers {
            guard let name = HTTPField.Name(field.name), !Self.ownFields.contains(name) else { continue }
            // Values that HTTP does not allow are made harmless.
            headers.add(name: field.name, value: HTTPField(name: name, value: field.value).value)
        }
        headers.add(name: "Date", value: Self.httpDate())
        if let length { headers.add(name: "Content-Length", value: String(length)) }
        if closing {
            headers.add(name: "Connection", value: "close")
        } else if isOld {
            headers.add(name: "Connection", value: "keep-alive")
        }
        return HTTPResponseHead(
            version: isOld ? .http1_0 : .http1_1, status: .init(statusCode: Self.status(response)),
            headers: headers)
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
