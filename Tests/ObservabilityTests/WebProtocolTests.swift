// HTTP/1.0, and what is asked of a request before its body is read.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

private let whole = WebRoute(.get, "/whole") { _ in .text("whole\n") }
private let stream = WebRoute(.get, "/stream") { _ in
    .stream(type: "text/plain") { writer in
        for number in 1...3 { try await writer.write("part \(number)\n") }
    }
}

struct WebProtocolTests {
    @Sendable private static func answer(_ port: Int, _ request: String) async throws -> String {
        try await blocking {
            let client = try RawClient(port)
            client.send(request)
            return client.read()
        }
    }

    @Test func httpOneZeroIsAnsweredAndClosed() async throws {
        try await withServer([whole, stream]) { port in
            let plain = try await Self.answer(port, "GET /whole HTTP/1.0\r\n\r\n")
            #expect(plain.hasPrefix("HTTP/1.0 200 OK\r\n") && plain.hasSuffix("\r\n\r\nwhole\n"), "\(plain)")
            #expect(plain.contains("Connection: close") && !plain.contains("chunked"))
            // Without a length, the end of the connection is the end: no chunks, whatever was asked.
            for header in ["", "Connection: keep-alive\r\n"] {
                let parts = try await Self.answer(port, "GET /stream HTTP/1.0\r\n\(header)\r\n")
                #expect(parts.hasSuffix("\r\n\r\npart 1\npart 2\npart 3\n"), "\(parts)")
                #expect(parts.contains("Connection: close") && !parts.lowercased().contains("chunked"))
            }
            // Kept where it is asked for and the length is known.
            let kept = try await Self.answer(
                port,
                "GET /whole HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /whole HTTP/1.0\r\n\r\n")
            #expect(kept.components(separatedBy: "whole\n").count == 3, "\(kept)")
            #expect(kept.contains("Connection: keep-alive") && kept.contains("Connection: close"))
            let modern = try await Self.answer(
                port, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(modern.hasPrefix("HTTP/1.1 200") && modern.contains("chunked"))
        }
    }

    @Test func unknownMethodsAndVersionsAreNamed() async throws {
        try await withServer([whole]) { port in
            let method = try await Self.answer(port, "BREW / HTTP/1.1\r\n\r\n")
            #expect(method.hasPrefix("HTTP/1.1 501"), "\(method)")
            let version = try await Self.answer(port, "GET / HTTP/7.3\r\n\r\n")
            #expect(version.hasPrefix("HTTP/1.1 505"), "\(version)")
        }
    }

    @Test func aBodyIsNotReadBeforeItsSenderIsAdmitted() async throws {
        let handled = Mutex(0)
        let route = WebRoute(
            .post, "/", maximumBodyBytes: 1 << 20,
            admit: { $0.bearerToken == "t" && $0.body.isEmpty ? nil : .text("who is it?\n", status: 401) }
        ) { request in
            handled.withLock { $0 += 1 }
            return .text("\(request.body.count)")
        }
        let statistics = WebStatistics()
        try await withServer([route], statistics: statistics) { port in
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
            // The body never comes; the answer does not wait for it, nor is any asked for.
            let refused = try await Self.answer(port, head + "Expect: 100-continue\r\n\r\n")
            #expect(refused.hasPrefix("HTTP/1.1 401") && refused.contains("Connection: close"), "\(refused)")
            #expect(statistics.value("lariat_http_body_bytes") == 0)
            let admitted = try await Self.answer(
                port, head + "Authorization: Bearer t\r\nConnection: close\r\n\r\nbody")
            #expect(admitted.hasPrefix("HTTP/1.1 200") && admitted.hasSuffix("\r\n\r\n4"), "\(admitted)")
            // Without a body a connection goes on.
            let empty = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
            let both = try await Self.answer(
                port, empty + "\r\n" + empty + "Authorization: Bearer t\r\nConnection: close\r\n\r\n")
            #expect(both.contains("401") && both.contains("200 OK"), "\(both)")
        }
        #expect(handled.withLock { $0 } == 2)
        #expect(statistics.value("lariat_http_requests_total", ["route": "/", "code": "401"]) == 2)
    }

    @Test func silentConnectionsGiveWayAndTheAddressHasItsShare() async throws {
        var limits = WebLimits()
        limits.connections = 8
        let statistics = WebStatistics()
        try await withServer([whole], limits: limits, statistics: statistics) { port in
            // Twice as many as there are places; none says anything.
            let silent = try (0..<16).map { _ in try RawClient(port) }
            for _ in 0..<20 {
                let answer = try await Self.answer(port, "GET /whole HTTP/1.1\r\nConnection: close\r\n\r\n")
                #expect(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
            }
            #expect(statistics.value("lariat_http_connections") <= 8)
            #expect(statistics.refused("silent") >= 10)
            #expect(silent.count == 16)
        }
        #expect(statistics.value("lariat_http_requests_total", ["route": "/whole", "code": "200"]) == 20)
    }

    /// A client that closes its side gets no 5xx on the books because its request's work was cancelled.
    @Test func cancelledWorkIsNoFaultOfTheServer() async throws {
        let begun = Mutex(false)
        let route = WebRoute(.get, "/") { _ in
            begun.withLock { $0 = true }
            try? await Task.sleep(for: .seconds(60))
            return .text("/var/lib/secret: CancellationError()", status: 500)
        }
        let statistics = WebStatistics()
        try await withServer([route], statistics: statistics) { port in
            let client = try RawClient(port)
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { begun.withLock { $0 } })
            client.shutdownWrite()
            #expect(try await blocking { client.read() } == "")
        }
        #expect(statistics.value("lariat_http_requests_total", ["route": "/", "code": "499"]) == 1)
        #expect(statistics.value("lariat_http_requests_total", ["route": "/", "code": "500"]) == 0)
    }

    /// Processes are told to end by cancelling the task that stops their servers.
    @Test func aCancelledShutdownKeepsItsGraceAndLogsNothing() async throws {
        let log = CapturedLog()
        let begun = Mutex(false)
        let route = WebRoute(.get, "/") { _ in
            begun.withLock { $0 = true }
            await Task { try? await Task.sleep(for: .milliseconds(300)) }.value
            return .text("to the end")
        }
        let server = WebServer(
            address: WebAddress(host: "127.0.0.1", port: 0), routes: [route],
            logger: Logger(label: "test") { _ in log })
        let port = try await server.start().port
        let client = try RawClient(port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try await eventually { begun.withLock { $0 } })
        let stopping = Task {
            while !Task.isCancelled { await Task.yield() }
            await server.shutdown(grace: .seconds(60))
        }
        stopping.cancel()
        await stopping.value
        #expect(try await blocking { client.read() }.hasSuffix("to the end"))
        #expect(log.text == "", "\(log.text)")
    }
}
