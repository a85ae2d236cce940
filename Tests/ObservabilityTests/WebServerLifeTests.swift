// A server's start and end, and TLS.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

struct WebServerLifeTests {
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
