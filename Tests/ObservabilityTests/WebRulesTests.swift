// The server's rules that need no socket: paths, routes, deadlines, requests and responses as values.

import Observability
import Testing

struct WebRulesTests {
    @Test func targetsAreTakenApart() throws {
        let target = try #require(WebTarget("/a%20b/c%2Fd//?x=1&y=a+b%26&z&=&x=2"))
        #expect(target.path == "/a%20b/c%2Fd//")
        #expect(target.segments == ["a b", "c/d", "", ""])
        #expect(
            target.query == [
                WebField("x", "1"), WebField("y", "a b&"), WebField("z", ""), WebField("", ""),
                WebField("x", "2"),
            ])
        #expect(WebTarget("/")?.segments == [])
        for wrong in ["", "a", "*", "http://host/a", "/%", "/%4", "/%zz", "/%ff", "/%00", "/a?b=%c3"] {
            #expect(WebTarget(wrong) == nil, "\(wrong)")
        }
    }

    @Test func routesAreFound() throws {
        func route(_ method: WebMethod, _ pattern: String) -> WebRoute {
            WebRoute(method, pattern) { _ in .text("") }
        }
        let table = try WebRouteTable([
            route(.get, "/"), route(.get, "/jobs/{id}"), route(.delete, "/jobs/{id}"),
            route(.post, "/jobs/all"),
            route(.get, "/jobs/{id}/events"), route(.get, "/{any}/all"),
        ])
        func found(_ method: String, _ path: String) throws -> String {
            switch table.match(method, try #require(WebTarget(path)).segments) {
            case .found(let route, let captures):
                "\(route.pattern) \(captures.map { "\($0)=\($1)" }.joined())"
            case .wrongMethod(let allow): "405 \(allow)"
            case .unknownPath: "404"
            }
        }
        #expect(try found("GET", "/") == "/ ")
        #expect(try found("HEAD", "/jobs/7") == "/jobs/{id} id=7")
        #expect(try found("DELETE", "/jobs/a%2Fb") == "/jobs/{id} id=a/b")
        #expect(try found("POST", "/jobs/all") == "/jobs/all ")
        // The exact path has no GET, the captured one has.
        #expect(try found("GET", "/jobs/all") == "/jobs/{id} id=all")
        #expect(try found("GET", "/jobs/7/events") == "/jobs/{id}/events id=7")
        #expect(try found("GET", "/x/all") == "/{any}/all any=x")
        #expect(try found("PUT", "/jobs/all") == "405 DELETE, GET, HEAD, POST")
        #expect(try found("BREW", "/") == "405 GET, HEAD")
        #expect(try found("GET", "/jobs/") == "404")
        #expect(try found("GET", "/jobs") == "404")
    }

    @Test(arguments: [
        ["jobs"], ["/a/{id}/{id}"], ["/a/{id", "/b"], ["/a/x{id}"], ["/a", "/b", "/a"], ["/{a}/c", "/{b}/c"],
        ["/a?b"],
    ])
    func wrongRoutesAreRefused(_ patterns: [String]) {
        #expect(throws: WebServerError.self) {
            _ = try WebRouteTable(patterns.map { WebRoute(.get, $0) { _ in .text("") } })
        }
    }

    @Test func everyStateOfAConnectionHasItsDeadline() {
        var limits = WebLimits()
        limits.headTime = .seconds(1)
        limits.bodyTime = .seconds(2)
        limits.idleTime = .seconds(3)
        limits.writeTime = .seconds(4)
        limits.closeTime = .seconds(5)
        let start = ContinuousClock.now
        func at(_ seconds: Int) -> ContinuousClock.Instant { start + .seconds(seconds) }
        var deadlines = ConnectionDeadlines(limits, connected: start)
        func expect(
            _ expiry: ConnectionDeadlines.Expiry?, _ seconds: Int, location: SourceLocation = #_sourceLocation
        ) {
            #expect(deadlines.next?.expiry == expiry, sourceLocation: location)
            if expiry != nil { #expect(deadlines.next?.at == at(seconds), sourceLocation: location) }
        }
        expect(.head, 1)
        deadlines.headRead(at(10))
        expect(.body, 12)
        deadlines.requestRead()
        expect(nil, 0)
        // Two pieces are handed over; each that the client takes gives time for the next.
        deadlines.writing(at(20))
        deadlines.writing(at(21))
        expect(.write, 24)
        deadlines.written(at(23))
        expect(.write, 27)
        deadlines.written(at(24))
        expect(nil, 0)
        deadlines.responseWritten(at(30))
        expect(.idle, 33)
        // An end that the client does not take: the earlier deadline counts.
        deadlines.writing(at(31))
        expect(.idle, 33)
        deadlines.written(at(32))
        // Two requests sent ahead; the second's body is late but is not waited for before its turn.
        deadlines.headRead(at(40))
        deadlines.requestRead()
        deadlines.headRead(at(41))
        expect(nil, 0)
        deadlines.responseWritten(at(50))
        expect(.body, 52)
        deadlines.requestRead()
        #expect(!deadlines.isIdle)
        deadlines.responseWritten(at(60))
        #expect(deadlines.isIdle)
        deadlines.finish(at(70))
        expect(.write, 74)
        deadlines.responseWritten(at(71))
        expect(.write, 74)
        deadlines.finished(at(72))
        expect(.close, 77)
    }

    @Test func requestsAndResponsesAreValues() async throws {
        let request = WebRequest(
            query: [WebField("a", "1")],
            headers: [WebField("AUTHORIZATION", "bearer  abc"), WebField("X", "1"), WebField("x", "2")])
        #expect(request.bearerToken == "abc")
        #expect(request.header("X") == "1")
        #expect(request.query("a") == "1" && request.query("b") == nil)
        for wrong in ["Basic abc", "Bearer", "Bearer a b", ""] {
            #expect(WebRequest(headers: [WebField("Authorization", wrong)]).bearerToken == nil)
        }
        let page = WebResponse(200, headers: [WebField("cache-control", "public")]).asPage(
            cacheControl: "no-cache")
        #expect(page.headers.filter { $0.name.lowercased() == "cache-control" }.map(\.value) == ["no-cache"])
        #expect(
            page.headers.contains {
                $0.name == "Content-Security-Policy" && $0.value.contains("default-src 'self'")
            })
        let task = Task {
            try await Task.sleep(for: .seconds(60))
        }
        task.cancel()
        _ = await task.result
        let refused = Task {
            try? await Task.sleep(for: .seconds(60))
            try await WebBodyWriter { _ in Issue.record("written although cancelled") }.write("x")
        }
        refused.cancel()
        await #expect(throws: CancellationError.self) { try await refused.value }
    }
}
