// Clients of a server over real sockets that leave, are slow or are too many: what they cannot do to it.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

struct WebClientTests {
    // MARK: Clients that leave

    enum Leaving: CaseIterable { case close, reset, halfClose }

    @Test(arguments: Leaving.allCases, [false, true])
    func aHandlerIsCancelledWhenItsClientLeaves(_ leaving: Leaving, streaming: Bool) async throws {
        let statistics = WebStatistics()
        let started = Observed(false)
        let cancelled = Observed(false)
        // Quiet: nothing is written while the client leaves.
        let wait: @Sendable () async throws -> Void = {
            started.change { $0 = true }
            do { try await Task.sleep(for: .seconds(600)) } catch {
                cancelled.change { $0 = true }
                throw error
            }
        }
        let route = WebRoute(.get, "/") { _ in
            guard streaming else {
                try await wait()
                return .text("too late")
            }
            return .stream(type: "text/event-stream") { writer in
                try await writer.write("data: 1\n\n")
                try await wait()
            }
        }
        try await withServer([route], statistics: statistics) { port in
            var client: RawClient? = try RawClient(port)
            client?.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { started.value })
            switch leaving {
            case .close: client = nil
            case .reset:
                client?.resetOnClose()
                client = nil
            case .halfClose: client?.shutdownWrite()
            }
            #expect(try await eventually { cancelled.value })
            #expect(
                try await eventually {
                    statistics.value("lariat_http_requests_total", ["route": "/", "code": "499"]) == 1
                })
            client = nil
            #expect(try await eventually { statistics.value("lariat_http_connections") == 0 })
        }
    }

    @Test func writingToAClientThatLeftThrows() async throws {
        let writes = Observed(0)
        let thrown = Observed(false)
        let route = WebRoute(.get, "/") { _ in
            .stream(type: "text/plain") { writer in
                do {
                    while true {
                        try await writer.write("x\n")
                        writes.change { $0 += 1 }
                        // Not cancellable: only the write can tell.
                        await Task { try? await Task.sleep(for: .milliseconds(5)) }.value
                    }
                } catch {
                    thrown.change { $0 = true }
                    throw error
                }
            }
        }
        try await withServer([route]) { port in
            var client: RawClient? = try RawClient(port)
            client?.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { writes.value > 3 })
            #expect(client != nil)
            client = nil
            #expect(try await eventually { thrown.value })
        }
    }

    // MARK: Clients that are slow or too many

    @Test func slowSendersAreCutOff() async throws {
        var limits = WebLimits()
        limits.headTime = .milliseconds(300)
        limits.bodyTime = .milliseconds(300)
        limits.idleTime = .milliseconds(300)
        limits.headBytes = 2000
        let statistics = WebStatistics()
        let body = WebRoute(.post, "/", maximumBodyBytes: 1000) { .text("\($0.body.count)") }
        try await withServer([quick, body], limits: limits, statistics: statistics) { port in
            /// Sends `start`, then a byte every 50 ms, fewer than the server waits for; whether and when it closes, and
            /// what it said.
            @Sendable func dribble(_ start: String) throws -> (closed: Bool, after: Duration, said: String) {
                let client = try RawClient(port)
                let began = ContinuousClock.now
                client.send(start)
                var left = 800
                while left > 0, client.send("x") {
                    left -= 1
                    usleep(50_000)
                }
                return (left > 0, .now - began, client.read())
            }
            try await blocking {
                for start in [
                    "GET /", "GET / HTTP/1.1\r\nA: ",
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n",
                ] {
                    let (closed, after, said) = try dribble(start)
                    #expect(closed && after > .milliseconds(250), "\(start)")
                    #expect(said == "")
                }
                let silent = try RawClient(port)
                #expect(silent.read() == "")
                let idle = try RawClient(port)
                idle.send(get)
                let answer = idle.read()
                #expect(answer.hasPrefix("HTTP/1.1 200") && !answer.contains("NOTHING"))
            }
        }
        #expect(statistics.refused("head_time") == 3)
        #expect(statistics.refused("body_time") == 1)
        #expect(try await eventually { statistics.value("lariat_http_connections") == 0 })
    }

    @Test func largeOrBrokenHeadsAreRefused() async throws {
        var limits = WebLimits()
        limits.headBytes = 4000
        limits.headers = 20
        let statistics = WebStatistics()
        try await withServer([quick], limits: limits, statistics: statistics) { port in
            @Sendable func answer(_ request: String) throws -> String {
                let client = try RawClient(port)
                client.send(request)
                return client.read()
            }
            let long = String(repeating: "x", count: 5000)
            try await blocking {
                // The line alone, never ended; one long header; many headers.
                #expect(try answer("GET /" + long + long).hasPrefix("HTTP/1.1 431"))
                #expect(try answer("GET / HTTP/1.1\r\nA: \(long)\r\n\r\n").hasPrefix("HTTP/1.1 431"))
                #expect(
                    try answer("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 30) + "\r\n")
                        .hasPrefix("HTTP/1.1 431"))
                #expect(try answer("GET /quick HTTP/1.1\r\nHost : a\r\n\r\n").hasPrefix("HTTP/1.1 400"))
                #expect(try answer("\u{16}\u{3}\u{1}nonsense\r\n\r\n").hasPrefix("HTTP/1.1 501"))
                // Two lengths could smuggle a request past a proxy.
                #expect(
                    try answer(
                        "POST /quick HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    ).hasPrefix("HTTP/1.1 4"))
                // A body far larger than a head may be is no large head.
                let client = try RawClient(port)
                client.send(get + get)
                #expect(client.read(until: "quick\n").hasPrefix("HTTP/1.1 200"))
            }
        }
        #expect(statistics.refused("head_size") == 3)
        #expect(statistics.refused("malformed") >= 2)
    }

    @Test(arguments: [false, true])
    func aClientThatNeverReadsIsCutOff(streaming: Bool) async throws {
        var limits = WebLimits()
        limits.writeTime = .milliseconds(400)
        let statistics = WebStatistics()
        let written = Observed(0)
        let ended = Observed(false)
        let piece = [UInt8](repeating: 120, count: 100_000)
        let route = WebRoute(.get, "/") { _ in
            guard streaming else {
                return WebResponse(200, body: .bytes([UInt8](repeating: 120, count: 40_000_000)))
            }
            return .stream(type: "text/plain") { writer in
                defer { ended.change { $0 = true } }
                while true {
                    try await writer.write(piece)
                    written.change { $0 += piece.count }
                }
            }
        }
        try await withServer([route, quick], limits: limits, statistics: statistics) { port in
            let client = try RawClient(port, receiveBuffer: 4096)
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { statistics.refused("write_time") == 1 })
            #expect(try await eventually { statistics.value("lariat_http_connections") == 0 })
            #expect(
                try await eventually {
                    statistics.value("lariat_http_requests_total", ["route": "/", "code": "499"]) == 1
                })
            if streaming {
                #expect(ended.value)
                // Back-pressure: no more was taken than the system's buffers and one piece hold.
                #expect(written.value < 3_000_000)
            }
            // Others are served.
            #expect(try await curl("http://127.0.0.1:\(port)/quick") == "quick\n")
            withExtendedLifetime(client) {}
        }
    }

    @Test func deadlinesEndResponses() async throws {
        let statistics = WebStatistics()
        let routes = [
            WebRoute(.get, "/whole", deadline: .milliseconds(200)) { _ in
                try await Task.sleep(for: .seconds(60))
                return .text("")
            },
            WebRoute(.get, "/stream", deadline: .seconds(3)) { _ in
                .stream(type: "text/plain") { writer in
                    try await writer.write("begun")
                    try await Task.sleep(for: .seconds(60))
                }
            },
        ]
        try await withServer(routes, statistics: statistics) { port in
            #expect(try await curl("-w", "%{http_code}", "http://127.0.0.1:\(port)/whole").hasSuffix("503"))
            let cut = try await curl("http://127.0.0.1:\(port)/stream")
            // curl says that the end is missing.
            #expect(cut.contains("begun") && cut.contains("curl: (18)"), "\(cut)")
        }
        #expect(statistics.refused("deadline") == 2)
    }

    @Test func connectionsAreLimited() async throws {
        var limits = WebLimits()
        limits.connections = 8
        limits.connectionsPerAddress = 8
        let running = Observed((now: 0, most: 0))
        let route = WebRoute(.get, "/") { _ in
            running.change {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            try await Task.sleep(for: .milliseconds(40))
            running.change { $0.now -= 1 }
            return .text("x")
        }
        let statistics = WebStatistics()
        try await withServer([route], limits: limits, statistics: statistics) { port in
            // All connect at once and wait for their turn.
            let clients = try (0..<60).map { _ in try RawClient(port) }
            for client in clients { client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") }
            #expect(statistics.value("lariat_http_connections") <= 8)
            let answers = try await blocking { clients.map { $0.read() } }
            #expect(answers.allSatisfy { $0.hasPrefix("HTTP/1.1 200") })
        }
        #expect((1...8).contains(running.value.most), "\(running.value.most)")
        #expect(statistics.value("lariat_http_requests_total", ["route": "/", "code": "200"]) == 60)
    }

    @Test func bodiesShareALimitedMemory() async throws {
        var limits = WebLimits()
        limits.bodyBytesInFlight = 1500
        let statistics = WebStatistics()
        let isOpen = Observed(false)
        let route = WebRoute(.post, "/", maximumBodyBytes: 1000) { request in
            while !isOpen.value { try await Task.sleep(for: .milliseconds(5)) }
            return .text("\(request.body.count)")
        }
        try await withServer([route], limits: limits, statistics: statistics) { port in
            let body = String(repeating: "x", count: 1000)
            let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + body
            let first = try RawClient(port)
            first.send(request)
            #expect(try await eventually { statistics.value("lariat_http_body_bytes") == 1000 })
            let second = try await blocking {
                let second = try RawClient(port)
                second.send(request)
                return second.read()
            }
            #expect(second.hasPrefix("HTTP/1.1 503") && second.contains("Retry-After"))
            isOpen.change { $0 = true }
            #expect(try await blocking { first.read(until: "\r\n\r\n1000") }.hasPrefix("HTTP/1.1 200"))
        }
        #expect(statistics.refused("body_memory") == 1)
        #expect(statistics.value("lariat_http_body_bytes") == 0)
    }
}
