// The server over real sockets: what clients get, and what they cannot do to it.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

private let get = "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
private let quick = WebRoute(.get, "/quick") { _ in .text("quick\n") }
private struct Secret: Error { let text = "the password is 1234" }

/// What a handler tells its test.
private final class Observed<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    var value: Value { state.withLock { $0 } }
    func change(_ change: @Sendable (inout Value) -> Void) { state.withLock { change(&$0) } }
}

struct WebServerTests {
    // MARK: Requests and responses

    @Test func handlersSeeTheRequest() async throws {
        let route = WebRoute(.post, "/jobs/{id}", maximumBodyBytes: 100) { request in
            .text(
                [
                    request.method.rawValue, request.path, "\(request.captures)", "\(request.query)",
                    request.header("x-a") ?? "-", request.header("HOST") ?? "-", request.bearerToken ?? "-",
                    String(decoding: request.body, as: UTF8.self), request.remoteAddress ?? "-",
                    "\(request.isTLS)",
                ].joined(separator: "|"))
        }
        try await withServer([route]) { port in
            let answer = try await curl(
                "-H", "X-A: b", "-H", "Authorization: Bearer t", "-d", "body",
                "http://127.0.0.1:\(port)/jobs/a%20b?q=1+2")
            let query = "\([WebField("q", "1 2")])"
            #expect(
                answer
                    == "POST|/jobs/a%20b|[\"id\": \"a b\"]|\(query)|b|127.0.0.1:\(port)|t|body|127.0.0.1|false"
            )
        }
    }

    @Test func refusalsHaveTheirCodes() async throws {
        let log = CapturedLog()
        let statistics = WebStatistics()
        let routes = [
            quick, WebRoute(.post, "/small", maximumBodyBytes: 10) { .text("\($0.body.count)") },
            WebRoute(.get, "/fails") { _ in throw Secret() },
            WebRoute(.get, "/odd") { _ in
                WebResponse(
                    42,
                    headers: [
                        WebField("a b", "c"), WebField("X", "1\r\nY: 2"), WebField("Content-Length", "9"),
                    ])
            },
        ]
        try await withServer(routes, statistics: statistics, log: log) { port in
            func head(_ arguments: String...) async throws -> [String] {
                try await Command.run("curl", ["-sS", "-i", "--max-time", "8"] + arguments).output
                    .split(separator: "\r\n").map(String.init)
            }
            let base = "http://127.0.0.1:\(port)"
            #expect(try await head("\(base)/none")[0] == "HTTP/1.1 404 Not Found")
            let wrong = try await head("-X", "PUT", "\(base)/quick")
            #expect(wrong[0] == "HTTP/1.1 405 Method Not Allowed" && wrong.contains("Allow: GET, HEAD"))
            #expect(try await head("-X", "PROPFIND", "\(base)/quick")[0].contains("405"))
            #expect(try await head("-X", "BREW", "\(base)/quick")[0].contains("501"))
            #expect(try await head("-d", "1234567890", "\(base)/small").last == "10")
            #expect(try await head("-d", "12345678901", "\(base)/small")[0].contains("413"))
            #expect(try await head("-d", "x", "\(base)/none")[0].contains("404"))
            #expect(try await head("--path-as-is", "\(base)/%zz")[0].contains("400"))
            #expect(
                try await head("-H", "Expect: 100-continue", "-d", "12", "\(base)/small")[0]
                    == "HTTP/1.1 100 Continue")
            // An offer to change the protocol is not taken up.
            #expect(try await head("--http2", "\(base)/quick").last == "quick\n")
            let failed = try await head("\(base)/fails").joined()
            #expect(failed.contains("500") && !failed.contains("1234"))
            let odd = try await head("\(base)/odd")
            #expect(odd[0].contains("500") && odd.contains("X: 1  Y: 2") && odd.contains("Content-Length: 0"))
        }
        #expect(log.text.contains("GET /fails") && log.text.contains("1234"))
        #expect(statistics.value("lariat_http_requests_total", ["route": "/small", "code": "413"]) == 1)
        #expect(statistics.value("lariat_http_requests_total", ["route": "none", "code": "404"]) == 2)
        #expect(statistics.refused("body_size") == 1)
        #expect(statistics.value("lariat_http_body_bytes") == 0)
    }

    @Test func aBodyTooLargeIsRefusedUnread() async throws {
        let route = WebRoute(.post, "/", maximumBodyBytes: 1000) { .text("\($0.body.count)") }
        try await withServer([route]) { port in
            try await blocking {
                // Announced, never sent: the answer does not wait for it.
                let announced = try RawClient(port)
                announced.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n")
                #expect(announced.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 4"))
                let large = try RawClient(port)
                large.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
                #expect(large.read(until: "bytes").contains("413"))
                // Not announced: refused at the first piece too many.
                let chunked = try RawClient(port)
                chunked.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                let piece = "1f4\r\n" + String(repeating: "x", count: 500) + "\r\n"
                chunked.send(piece + piece)
                chunked.send("1\r\nx\r\n")
                let answer = chunked.read()
                #expect(
                    answer.contains("413") && answer.contains("Connection: close")
                        && !answer.contains("NOTHING"))
            }
            // A client in the middle of a large upload reads the answer, too.
            let upload = try await Command.run(
                "curl",
                ["-sS", "-o", "-", "-H", "Expect:", "--data-binary", "@-", "http://127.0.0.1:\(port)/"],
                input: Data(repeating: 65, count: 60_000))
            #expect(upload.output.contains("larger than 1000 bytes"), "\(upload.output)")
        }
    }

    @Test func aConnectionServesManyRequests() async throws {
        let stream = WebRoute(.get, "/stream") { _ in
            .stream(type: "text/plain") { writer in
                for piece in ["one ", "", "two"] { try await writer.write(piece) }
            }
        }
        try await withServer([quick, stream, WebRoute(.get, "/empty") { _ in WebResponse(204) }]) { port in
            let answer = try await blocking {
                let client = try RawClient(port)
                // Sent ahead all at once, answered in order.
                client.send(
                    "HEAD /quick HTTP/1.1\r\nHost: a\r\n\r\n" + "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                        + "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n" + "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
                        + "GET /quick HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n" + get)
                return client.read()
            }
            var parts = answer.components(separatedBy: "HTTP/1.1 ").dropFirst()
            let head = parts.removeFirst()
            #expect(head.hasPrefix("200") && head.contains("Content-Length: 6") && head.hasSuffix("\r\n\r\n"))
            #expect(head.contains(" GMT\r\n"))
            #expect(parts.removeFirst().hasSuffix("\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"))
            let empty = parts.removeFirst()
            #expect(empty.hasPrefix("204") && !empty.contains("Content-Length"))
            #expect(parts.removeFirst().hasPrefix("404"))
            let last = parts.removeFirst()
            #expect(last.contains("Connection: close") && last.hasSuffix("quick\n"))
            #expect(parts.isEmpty)
            // A client that closes its sending side at once still gets what the handler had ready.
            let half = try await blocking {
                let client = try RawClient(port)
                client.send(get)
                client.shutdownWrite()
                return client.read()
            }
            #expect(half.hasPrefix("HTTP/1.1 200") && half.hasSuffix("quick\n"))
            // HEAD of a stream has no body either.
            #expect(try await curl("-I", "http://127.0.0.1:\(port)/stream").contains("200 OK"))
            let reused = try await curl(
                "-w", "%{num_connects}", "http://127.0.0.1:\(port)/quick", "http://127.0.0.1:\(port)/quick")
            #expect(reused == "quick\n1quick\n0")
        }
    }

    @Test func aLargeResponseArrivesWhole() async throws {
        let bytes = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let route = WebRoute(.get, "/") { _ in WebResponse(200, body: .bytes(bytes)) }
        try await withServer([route]) { port in
            let folder = FileManager.default.temporaryDirectory.appending(path: "web-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            _ = try await curl("-o", folder.path, "-H", "Connection: close", "http://127.0.0.1:\(port)/")
            #expect(try Data(contentsOf: folder) == Data(bytes))
        }
    }

    @Test func monitoringRoutesAnswer() async throws {
        let health = Observed(Health.notReady("no worker has joined"))
        let routes = MonitoringRoutes.all(
            metrics: { [.gauge("lariat_workers", "Workers.", 3)] }, health: { health.value })
        try await withServer(routes) { port in
            let base = "http://127.0.0.1:\(port)"
            let page = try await curl("-i", "\(base)/metrics")
            #expect(page.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(page.hasSuffix("# TYPE lariat_workers gauge\nlariat_workers 3\n"))
            #expect(try await curl("\(base)/healthz") == "ok\n")
            #expect(try await curl("-w", "%{http_code}", "\(base)/readyz") == "no worker has joined\n503")
            health.change { $0 = .ready }
            #expect(try await curl("-w", "%{http_code}", "\(base)/readyz") == "ready\n200")
        }
    }

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

    // MARK: Start, end and TLS

    @Test func shutdownLetsRequestsEndAndThenCutsThem() async throws {
        var before = sigaction()
        sigaction(SIGTERM, nil, &before)
        let cancelled = Observed(false)
        let begun = Observed(0)
        let mayEnd = Observed(false)
        let routes = [
            quick,
            WebRoute(.get, "/short") { _ in
                begun.change { $0 += 1 }
                while !mayEnd.value { try await Task.sleep(for: .milliseconds(5)) }
                return .text("whole")
            },
            WebRoute(.get, "/long") { _ in
                begun.change { $0 += 1 }
                do { try await Task.sleep(for: .seconds(60)) } catch {
                    // Tidying up that takes its time.
                    await Task { try? await Task.sleep(for: .milliseconds(200)) }.value
                    cancelled.change { $0 = true }
                }
                return .text("late")
            },
        ]
        let statistics = WebStatistics()
        let server = WebServer(
            address: WebAddress(host: "127.0.0.1", port: 0), routes: routes, statistics: statistics,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let port = try await server.start().port
        await #expect(throws: WebServerError.startedTwice) { _ = try await server.start() }
        let idle = try RawClient(port)
        idle.send(get)
        _ = try await blocking { idle.read(until: "quick\n") }
        let short = try RawClient(port)
        short.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
        let long = try RawClient(port)
        long.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try await eventually { begun.value == 2 })
        let start = ContinuousClock.now
        async let shutdown: Void = server.shutdown(grace: .seconds(4))
        #expect(try await blocking { idle.read() } == "")
        // At once, not when the grace is over and what still runs is cut.
        #expect(!cancelled.value)
        mayEnd.change { $0 = true }
        let answer = try await blocking { short.read() }
        #expect(answer.hasPrefix("HTTP/1.1 200") && answer.hasSuffix("whole"))
        // Nobody new is served; another test's server may have the port by now.
        if let late = try? RawClient(port) {
            late.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")
            _ = try? await blocking { late.read() }
        }
        #expect(begun.value == 2)
        _ = try await blocking { long.read() }
        await shutdown
        #expect(cancelled.value)
        #expect((.seconds(4)...(.seconds(50))).contains(ContinuousClock.now - start))
        #expect(try await eventually { statistics.value("lariat_http_connections") == 0 })
        var after = sigaction()
        sigaction(SIGTERM, nil, &after)
        #expect(before.__sigaction_handler.sa_handler == nil && after.__sigaction_handler.sa_handler == nil)
        await server.shutdown(grace: .seconds(5))
    }

    @Test func aServerSaysWhyItCannotStart() async throws {
        func start(_ port: Int, _ host: String = "127.0.0.1", tls: WebTLS? = nil) async -> String {
            let server = WebServer(
                address: WebAddress(host: host, port: port), tls: tls, routes: [quick],
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            do throws(WebServerError) {
                _ = try await server.start()
                return "started"
            } catch { return error.description }
        }
        try await withServer([]) { port in
            #expect(
                await start(port)
                    == "cannot listen on 127.0.0.1:\(port): the port is in use; stop what uses it (ss -ltnp shows it) or choose another port"
            )
        }
        #expect(await start(0, "192.0.2.1").contains("no such address"))
        #expect(await start(0, tls: WebTLS(certificate: "/none.pem", key: "/none.pem")).contains("/none.pem"))
    }

    @Test func tlsServesAndRefuses() async throws {
        let statistics = WebStatistics()
        let cancelled = Observed(false)
        let routes = [
            WebRoute(.get, "/") { .text("secure \($0.isTLS)") },
            WebRoute(.get, "/large") { _ in
                WebResponse(200, body: .bytes([UInt8](repeating: 120, count: 3_000_000)))
            },
            WebRoute(.get, "/events") { _ in
                .stream(type: "text/event-stream") { writer in
                    try await writer.write("data: 1\n\n")
                    do { try await Task.sleep(for: .seconds(60)) } catch {
                        cancelled.change { $0 = true }
                        throw error
                    }
                }
            },
        ]
        try await TestCertificate.with { certificate in
            let tls = certificate.tls
            try await withServer(routes, tls: tls, statistics: statistics) { port in
                let base = "https://localhost:\(port)"
                let trust = ["-4", "--cacert", tls.certificate, "-sS", "--max-time", "60"]
                func curl(_ arguments: String...) async throws -> String {
                    try await Command.run("curl", trust + arguments).output
                }
                #expect(try await curl("\(base)/") == "secure true")
                #expect(try await curl("--tls-max", "1.2", "\(base)/") == "secure true")
                let large = try await curl(
                    "-H", "Connection: close", "-o", "/dev/null", "-w", "%{size_download}", "\(base)/large")
                #expect(large == "3000000")
                // A client that leaves is noticed through TLS, too.
                let left = try await Command.run("curl", trust + ["--max-time", "3", "\(base)/events"])
                #expect(left.output.contains("data: 1"))
                #expect(try await eventually { cancelled.value })
                let old = try await Command.run(
                    "openssl",
                    ["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"])
                #expect(old.status != 0 && old.output.contains("alert protocol version"), "\(old.output)")
                let plain = try await blocking {
                    let client = try RawClient(port)
                    client.send(get)
                    return client.read()
                }
                #expect(!plain.contains("HTTP/1.1"))
                #expect(try await eventually { statistics.refused("tls") >= 2 })
                #expect(try await eventually { statistics.value("lariat_http_connections") == 0 })
            }
            // A key that is not the certificate's.
            try await TestCertificate.with { other in
                let server = WebServer(
                    address: WebAddress(host: "127.0.0.1", port: 0),
                    tls: WebTLS(certificate: tls.certificate, key: other.tls.key), routes: [],
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
                await #expect(throws: WebServerError.self) { _ = try await server.start() }
            }
        }
    }
}
