// Each limit, broken on purpose; and rubbish of all kinds. Nothing here may crash, hang or grow.

import HTTP2
import Testing

@Suite struct HTTP2LimitTests {
    /// A server that has heard `bytes`: how that ended, and all it said.
    private func serve(
        _ bytes: [UInt8], limits: HTTP2Limits = HTTP2Limits()
    ) throws -> (error: HTTP2Error?, said: [UInt8], end: End) {
        let server = try End(.server, limits)
        var error: HTTP2Error?
        do { try server.receive(bytes) } catch let caught as HTTP2Error { error = caught }
        var said: [UInt8] = []
        while true {
            let more = try server.pump()
            if more.isEmpty { break }
            said += more
        }
        return (error, said, server)
    }

    private func headers(_ stream: UInt32, _ block: [UInt8], flags: UInt8 = 5) -> [UInt8] {
        Raw.frame(1, flags: flags, stream: stream, block)
    }

    @Test func badMagic() throws {
        for text in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}"] {
            let (error, said, end) = try serve(Array(text.utf8))
            #expect(error?.code == .notHTTP2)
            #expect(Raw.goAway(said) == HTTP2ErrorCode.protocolError.rawValue)
            #expect(end.isFinished)
            // Afterwards every call says so, and none crashes.
            let after = #expect(throws: HTTP2Error.self) { try end.session.receive([0].span, now: 0) }
            #expect(after?.code == .closed)
        }
    }

    /// A `connection` field is forbidden: the stream dies although no event has named it.
    @Test func invalidConnectionHeader() throws {
        let (error, said, end) = try serve(
            Raw.preface + headers(1, Raw.post + Raw.literal("connection", "close")))
        #expect(error == nil)
        #expect(Raw.parse(said).contains { $0.type == 3 && $0.stream == 1 })
        #expect(end.headers(1, .request) == nil)
        // The connection goes on.
        try end.receive(headers(3, Raw.post))
        #expect(end.headers(3, .request) != nil)
    }

    @Test func rapidReset() throws {
        var bytes = Raw.preface
        for i in 0..<1000 as Range<UInt32> {
            bytes += headers(2 * i + 1, Raw.post) + Raw.frame(3, stream: 2 * i + 1, Raw.word(8))
        }
        let (_, said, end) = try serve(bytes)
        #expect(Raw.goAway(said) != nil)
        #expect(end.isFinished)
    }

    @Test func continuationFlood() throws {
        var bytes = Raw.preface + headers(1, Raw.post, flags: 1)
        for _ in 0..<1000 { bytes += Raw.frame(9, stream: 1, Raw.literal("a", "b")) }
        let (error, said, _) = try serve(bytes)
        #expect(error?.code == .limit)
        #expect(Raw.goAway(said) == HTTP2ErrorCode.enhanceYourCalm.rawValue)
    }

    @Test func pingFlood() throws {
        var bytes = Raw.preface
        for _ in 0..<300 { bytes += Raw.frame(6, [UInt8](repeating: 0, count: 8)) }
        let (error, said, _) = try serve(bytes)
        #expect(error?.code == .limit)
        #expect(Raw.goAway(said) == HTTP2ErrorCode.enhanceYourCalm.rawValue)
    }

    /// What an ordinary client does (3 a second) passes.
    @Test func pingsAtAnOrdinaryRatePass() throws {
        let server = try End(.server)
        try server.receive(Raw.preface)
        for _ in 0..<2000 {
            server.now += 300_000_000
            try server.receive(Raw.frame(6, [UInt8](repeating: 0, count: 8)))
            _ = try server.pump()
        }
        #expect(!server.isFinished)
    }

    @Test func acknowledgementFlood() throws {
        var limits = HTTP2Limits()
        limits.pings = RateBudget(burst: 1_000_000, perSecond: 1)
        var bytes = Raw.preface
        for _ in 0..<2000 { bytes += Raw.frame(6, [UInt8](repeating: 0, count: 8)) }
        let (error, said, _) = try serve(bytes, limits: limits)
        #expect(error?.code == .limit)
        #expect(Raw.goAway(said) == HTTP2ErrorCode.enhanceYourCalm.rawValue)
    }

    @Test func settingsFlood() throws {
        var bytes = Raw.preface
        for _ in 0..<100 { bytes += Raw.settings }
        let (error, _, _) = try serve(bytes)
        #expect(error?.code == .limit)
    }

    @Test func settingsWithTooManyEntries() throws {
        let entry: [UInt8] = [0, 4, 0, 1, 0, 0]
        let (_, said, _) = try serve(
            Raw.magic + Raw.frame(4, (0..<40).flatMap { _ in entry }))
        #expect(Raw.goAway(said) != nil)
    }

    /// Also SETTINGS in mid-connection and an unknown id (65027), as grpcio sends them.
    @Test func unknownSettingsPass() throws {
        let unknown: [UInt8] = [0xfe, 0x03, 0, 0, 0, 1, 0, 4, 0, 1, 0, 0]
        let (error, said, end) = try serve(
            Raw.magic + Raw.frame(4, unknown) + headers(1, Raw.post) + Raw.frame(4, unknown))
        #expect(error == nil)
        #expect(Raw.goAway(said) == nil)
        #expect(end.headers(1, .request) != nil)
    }

    @Test func priorityFlood() throws {
        var bytes = Raw.preface
        for i in 0..<1000 as Range<UInt32> { bytes += Raw.frame(2, stream: 2 * i + 1, [0, 0, 0, 0, 16]) }
        #expect(try serve(bytes).error?.code == .limit)
    }

    /// Frames of unknown type mean nothing (RFC 9113, section 5.5).
    @Test func unknownFramesPass() throws {
        var bytes = Raw.preface
        for _ in 0..<1000 { bytes += Raw.frame(0xee, [1, 2, 3]) }
        let (error, said, end) = try serve(bytes + headers(1, Raw.post))
        #expect(error == nil)
        #expect(Raw.goAway(said) == nil)
        #expect(end.headers(1, .request) != nil)
    }

    @Test func windowUpdateFlood() throws {
        var bytes = Raw.preface
        for _ in 0..<6000 { bytes += Raw.frame(8, Raw.word(1)) }
        #expect(try serve(bytes).error?.code == .limit)
    }

    @Test(arguments: [false, true]) func emptyDataFlood(padded: Bool) throws {
        var bytes = Raw.preface + headers(1, Raw.post, flags: 4)
        for _ in 0..<300 {
            bytes += padded ? Raw.frame(0, flags: 8, stream: 1, [3, 0, 0, 0]) : Raw.frame(0, stream: 1)
        }
        #expect(try serve(bytes).error?.code == .limit)
    }

    @Test func headerListTooLarge() throws {
        var block = Raw.post
        for _ in 0..<600 { block += Raw.literal("x", "yyyyyyyy") }  // 41 bytes each by the RFC's count
        let (error, said, end) = try serve(Raw.preface + headers(1, block))
        #expect(error == nil)
        #expect(Raw.parse(said).contains { $0.type == 3 && $0.stream == 1 && $0.code == 0xb })
        #expect(end.headers(1, .request) == nil)
        try end.receive(headers(3, Raw.post))
        #expect(end.headers(3, .request) != nil)
    }

    /// HPACK makes a large list from few bytes: one field in the table, named over and over.
    @Test func headerBomb() throws {
        let entry: [UInt8] = [0x40, 1, 0x78, 0x7f, 0x80, 0x1e] + [UInt8](repeating: 0x79, count: 3967)
        let block = Raw.post + entry + [UInt8](repeating: 0xbe, count: 10_000)
        let (_, said, end) = try serve(Raw.preface + headers(1, block))
        #expect(end.headers(1, .request) == nil)
        #expect(Raw.parse(said).contains { $0.type == 3 && $0.stream == 1 } || Raw.goAway(said) != nil)
    }

    /// Streams that the peer provokes us to reset ("made you reset").
    @Test func provokedResets() throws {
        var bytes = Raw.preface
        for i in 0..<600 as Range<UInt32> {
            bytes += headers(2 * i + 1, Raw.post, flags: 4) + Raw.frame(8, stream: 2 * i + 1, Raw.word(0))
        }
        let server = try End(.server)
        var said: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 200) {
            do { try server.receive(Array(bytes[start..<min(start + 200, bytes.count)])) } catch { break }
            said += try server.pump()
        }
        said += try server.pump()
        #expect(Raw.goAway(said) != nil)
    }

    @Test func tooManyStreams() throws {
        var limits = HTTP2Limits()
        limits.maxConcurrentStreams = 10
        var bytes = Raw.preface
        for i in 0..<20 as Range<UInt32> { bytes += headers(2 * i + 1, Raw.post, flags: 4) }
        let (error, said, end) = try serve(bytes, limits: limits)
        #expect(error == nil)
        #expect(Raw.parse(said).filter { $0.type == 3 && $0.code == 7 }.count == 10)
        #expect(end.headers(19, .request) != nil)
        #expect(end.headers(21, .request) == nil)
    }

    @Test func serverPushIsRefused() throws {
        let client = try End(.client)
        let stream = try client.session.submitRequest(request, now: 0)
        _ = try client.pump()
        try? client.receive(
            Raw.settings + Raw.frame(4, flags: 1)
                + Raw.frame(5, flags: 4, stream: UInt32(stream), Raw.word(2) + Raw.post))
        #expect(Raw.goAway(try client.pump()) == HTTP2ErrorCode.protocolError.rawValue)
    }

    @Test func oversizedFrame() throws {
        let (_, said, _) = try serve(
            Raw.preface + headers(1, Raw.post, flags: 4) + [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1] + [0, 0, 0])
        #expect(Raw.goAway(said) == HTTP2ErrorCode.frameSizeError.rawValue)
    }

    @Test func theBudgetRefills() {
        var budget = RateBudget(burst: 3, perSecond: 2)
        var now: UInt64 = 5_000_000_000
        #expect((0..<4).map { _ in budget.take(now: now) } == [true, true, true, false])
        now += 1_000_000_000
        #expect((0..<3).map { _ in budget.take(now: now) } == [true, true, false])
        budget.credit(1)
        let credited = budget.take(now: now)
        #expect(credited)
        now -= 1_000_000_000  // a clock that goes back gives nothing
        let backwards = budget.take(now: now)
        #expect(!backwards)
    }

    /// Rubbish, and good traffic with bytes changed, to both roles, in chunks of any size.
    @Test(arguments: [HTTP2Role.client, .server]) func randomBytesNeverCrash(role: HTTP2Role) throws {
        var random = Random(state: role == .client ? 1 : 2)
        let (client, server) = (try End(.client), try End(.server))
        let stream = try client.session.submitRequest(request, now: 0)
        try client.submit(stream, [UInt8](repeating: 9, count: 500))
        try client.session.finish(stream: stream)
        var good = try client.pump()
        if role == .client {
            try server.receive(good)
            try server.session.submitResponse(stream: stream, fields: response, endStream: false, now: 0)
            try server.submit(stream, [UInt8](repeating: 9, count: 500))
            try server.session.finish(stream: stream, trailers: [HTTP2Field("grpc-status", "0")])
            good = try server.pump()
        }
        var ended = 0
        for round in 0..<3000 {
            let end = try End(role)
            if role == .client { _ = try end.session.submitRequest(request, now: 0) }
            var bytes = good
            if round % 3 == 0 {
                bytes = (role == .server && round % 2 == 0 ? Raw.preface : [])
                bytes += (0..<Int.random(in: 1...400, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            } else {
                let first = role == .server && round % 3 == 1 ? Raw.magic.count : 0
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: first..<bytes.count, using: &random)] = .random(
                        in: 0...255, using: &random)
                }
            }
            do { try end.receive(bytes, chunk: Int.random(in: 1...64, using: &random)) } catch { ended += 1 }
            _ = try end.pump()
            if end.isFinished { ended += 1 }
        }
        #expect(ended > 500)
    }
}
