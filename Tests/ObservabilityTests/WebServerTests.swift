// The server over real sockets: what clients get.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

struct WebServerTests {
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
            #expect(upload.output.contains("larger than 1,000 bytes"), "\(upload.output)")
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
}
