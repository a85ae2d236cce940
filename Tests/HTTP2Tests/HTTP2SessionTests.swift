// Client session against server session, in memory.

import HTTP2
import Testing

@Suite struct HTTP2SessionTests {
    /// A whole call: headers, body, trailers, both ways; also one byte at a time.
    @Test(arguments: [1, 7, Int.max]) func aCall(chunk: Int) throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: client.now)
        let body = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try client.submit(stream, body)
        try client.session.finish(stream: stream)
        try exchange(client, server, chunk: chunk)
        #expect(server.headers(stream, .request) == request)
        #expect(server.received[stream] == body)
        #expect(server.events.contains(.endStream(stream: stream)))
        #expect(client.events.contains(.settings))

        try server.session.submitResponse(stream: stream, fields: response, endStream: false, now: server.now)
        try server.submit(stream, body)
        let trailers = [HTTP2Field("grpc-status", "0")]
        try server.session.finish(stream: stream, trailers: trailers)
        try exchange(client, server, chunk: chunk)
        #expect(client.headers(stream, .response) == response)
        #expect(client.received[stream] == body)
        #expect(client.headers(stream, .trailers) == trailers)
        #expect(client.closed(stream) == .noError)
        #expect(server.closed(stream) == .noError)
        #expect(server.openBodies == 0)
    }

    /// Trailers that come while the body is deferred must not wait for ever.
    @Test func trailersAfterADeferredBody() throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try client.session.finish(stream: stream)
        try exchange(client, server)
        try server.session.submitResponse(stream: stream, fields: response, endStream: false, now: 0)
        try exchange(client, server)  // the body is asked for, and there is none
        #expect(client.headers(stream, .response) != nil)
        try server.session.finish(stream: stream, trailers: [HTTP2Field("grpc-status", "0")])
        try exchange(client, server)
        #expect(client.headers(stream, .trailers) == [HTTP2Field("grpc-status", "0")])
        #expect(client.closed(stream) == .noError)
    }

    /// Nothing is sent beyond the window; what is consumed comes back.
    @Test func flowControl() throws {
        var limits = HTTP2Limits()
        limits.streamWindow = 100_000
        limits.connectionWindow = 150_000
        let (client, server) = (try End(.client), try End(.server, limits))
        try exchange(client, server)  // the window is known from here
        server.consumes = false
        let a = try client.session.submitRequest(request, now: 0)
        let b = try client.session.submitRequest(request, now: 0)
        try client.submit(a, [UInt8](repeating: 1, count: 200_000))
        try client.submit(b, [UInt8](repeating: 2, count: 200_000))
        try exchange(client, server)
        let (gotA, gotB) = (server.received[a]?.count ?? 0, server.received[b]?.count ?? 0)
        #expect(gotA <= 100_000 && gotB <= 100_000)
        #expect(gotA + gotB == 150_000)
        #expect(client.session.queued(stream: a) == 200_000 - gotA)
        server.consumes = true
        try server.session.consume(stream: a, count: gotA)
        try server.session.consume(stream: b, count: gotB)
        try exchange(client, server)
        #expect(server.received[a]?.count == 200_000)
        #expect(server.received[b]?.count == 200_000)
    }

    /// One pump gives about as many bytes as asked for, and goes on where it stopped.
    @Test func pumpKeepsToItsLimit() throws {
        let (client, server) = (try End(.client), try End(.server))
        try exchange(client, server)
        let stream = try client.session.submitRequest(request, now: 0)
        let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try client.submit(stream, body)
        try client.session.finish(stream: stream)
        var pumps = 0
        while true {
            let bytes = try client.pump(limit: 300_000)
            if bytes.isEmpty { break }
            #expect(bytes.count <= 300_000)
            try server.receive(bytes)
            pumps += 1
        }
        #expect(pumps > 9)
        #expect(server.received[stream] == body)
    }

    @Test func theBodyQueueIsBounded() throws {
        var limits = HTTP2Limits()
        limits.streamQueue = 1000
        let client = try End(.client, limits)
        let stream = try client.session.submitRequest(request, now: 0)
        try client.session.submitBody(stream: stream, count: 1000, now: 0)
        let error = #expect(throws: HTTP2Error.self) {
            try client.session.submitBody(stream: stream, count: 1, now: 0)
        }
        #expect(error?.code == .queueFull)
        #expect(client.session.queued(stream: stream) == 1000)
    }

    @Test func resets() throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try exchange(client, server)
        try client.session.reset(stream: stream, code: .cancel)
        try exchange(client, server)
        #expect(server.closed(stream) == .cancel)
        #expect(client.closed(stream) == .cancel)
        let late = #expect(throws: HTTP2Error.self) {
            try server.session.submitResponse(stream: stream, fields: response, endStream: true, now: 0)
        }
        #expect(late != nil)
    }

    /// An answer before the end of the request: the answer arrives whole, then the stream is reset with NO_ERROR.
    @Test func anEarlyAnswerIsNotCancelledByItsReset() throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try client.submit(stream, [1, 2, 3])
        try exchange(client, server)
        try server.session.submitResponse(stream: stream, fields: response, endStream: false, now: 0)
        try server.submit(stream, [4, 5, 6])
        try server.session.finish(stream: stream, trailers: [HTTP2Field("grpc-status", "0")])
        try exchange(client, server)
        #expect(client.received[stream] == [4, 5, 6])
        #expect(client.headers(stream, .trailers) != nil)
        #expect(client.closed(stream) == .noError)
        #expect(server.closed(stream) == .noError)
    }

    /// Only a final status can have a body.
    @Test func anInformationalAnswerHasNoBody() throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try exchange(client, server)
        let error = #expect(throws: HTTP2Error.self) {
            try server.session.submitResponse(
                stream: stream, fields: [HTTP2Field(":status", "103")], endStream: false, now: 0)
        }
        #expect(error?.code == .misuse)
        try server.session.submitResponse(stream: stream, fields: response, endStream: true, now: 0)
        try exchange(client, server)
        #expect(client.headers(stream, .response) == response)
    }

    @Test func pingAndDrain() throws {
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try exchange(client, server)
        try client.session.ping(0x0102_0304_0506_0708)
        try exchange(client, server)
        #expect(client.events.contains(.pingAcknowledged(0x0102_0304_0506_0708)))

        try server.session.beginDrain(ping: 42)
        // A request that GOAWAY overtakes ends as refused, which is safe to repeat.
        let notice = try server.pump()
        let overtaken = try client.session.submitRequest(request, now: 0)
        try client.receive(notice)
        try exchange(client, server)
        #expect(client.closed(overtaken) == .refusedStream)
        #expect(server.events.contains(.pingAcknowledged(42)))
        try server.session.finishDrain()
        try exchange(client, server)
        #expect(client.events.contains { if case .goAway(stream, .noError, _) = $0 { true } else { false } })
        #expect(!server.isFinished)
        // The running call still ends well.
        try client.session.finish(stream: stream)
        try server.session.submitResponse(stream: stream, fields: response, endStream: true, now: 0)
        try exchange(client, server)
        #expect(client.closed(stream) == .noError)
        #expect(server.isFinished)
        let refused = #expect(throws: HTTP2Error.self) { try client.session.submitRequest(request, now: 0) }
        #expect(refused?.code == .closed)
    }

    @Test func stalledStreamsAreNamed() throws {
        var limits = HTTP2Limits()
        limits.streamWindow = 10_000
        let (client, server) = (try End(.client), try End(.server, limits))
        try exchange(client, server)
        server.consumes = false
        let stream = try client.session.submitRequest(request, now: client.now)
        try client.submit(stream, [UInt8](repeating: 0, count: 20_000))
        try exchange(client, server)
        let later = client.now + 5_000_000_000
        #expect(client.session.stalledStreams(now: later, age: 6_000_000_000) == [])
        #expect(client.session.stalledStreams(now: later, age: 4_000_000_000) == [stream])
    }
}
