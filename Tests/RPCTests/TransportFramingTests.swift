// The transport's value types, without sockets: framing, statuses, timeouts, heads, addresses.

import HTTP2
import NIOCore
import RPC
import Testing

@Suite struct TransportFramingTests {
    private func cut(_ bytes: [UInt8], limit: Int = 100, chunk: Int) throws(RPCStatus) -> [[UInt8]] {
        var deframer = MessageDeframer(limit: limit, what: "Thing")
        var messages: [ByteBuffer] = []
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            var part = ByteBuffer(bytes: bytes[start..<min(start + chunk, bytes.count)])
            try deframer.append(&part, to: &messages)
        }
        try deframer.finish()
        return messages.map { Array($0.readableBytesView) }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 64]) func messagesOfAllSizes(chunk: Int) throws {
        let sent = [[], [1], [UInt8](repeating: 2, count: 100), [], [3, 4, 5]]
        var bytes: [UInt8] = []
        for message in sent { bytes += try MessageFraming.prefix(length: message.count) + message }
        #expect(try cut(bytes, chunk: chunk) == sent)
    }

    @Test func aLengthOverTheLimitIsRefusedBeforeItsBytes() {
        let error = #expect(throws: RPCStatus.self) { try cut([0, 0, 0, 0, 101], chunk: 5) }
        #expect(error?.code == .resourceExhausted)
        #expect(error?.message.contains("101") == true && error?.message.contains("100") == true)
        let huge = #expect(throws: RPCStatus.self) { try cut([0, 255, 255, 255, 255], chunk: 5) }
        #expect(huge?.code == .resourceExhausted)
    }

    @Test func badFlagsAndCutMessages() {
        #expect(throws: RPCStatus.self) { try cut([1, 0, 0, 0, 0], chunk: 5) }
        #expect(throws: RPCStatus.self) { try cut([2], chunk: 1) }
        #expect(throws: RPCStatus.self) { try cut([0, 0], chunk: 1) }
        #expect(throws: RPCStatus.self) { try cut([0, 0, 0, 0, 2, 9], chunk: 6) }
    }

    @Test(arguments: [
        ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
        ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("99999999n", .nanoseconds(99_999_999)),
        ("0S", .zero), ("99999999H", .seconds(100_000_000)),
    ]) func timeouts(text: String, value: Duration) {
        #expect(RPCTimeout.parse(text) == value)
    }

    @Test(arguments: ["", "S", "1", "1s", "-1S", "+1S", " 1S", "1 S", "123456789S", "1.5S", "९S", "1SS"])
    func badTimeouts(text: String) {
        #expect(RPCTimeout.parse(text) == nil)
    }

    @Test(arguments: [
        Duration.nanoseconds(1), .microseconds(1500), .milliseconds(99_999), .seconds(100),
        .seconds(86_400 * 400),
        .seconds(1) + .nanoseconds(1),
    ]) func timeoutsSurviveTheWire(value: Duration) throws {
        let back = try #require(RPCTimeout.parse(RPCTimeout.format(value)))
        #expect(back >= value && back <= value * 1.0001)
    }

    @Test func statusMessagesSurviveTheWire() {
        for text in ["", "plain", "100% of it", "a\nb\u{0}c", "Grüße 😀", "%zz%4"] {
            let status = RPCStatus(.notFound, text)
            #expect(RPCStatus(trailers: status.trailers) == status)
            let ascii = status.trailers.allSatisfy { field in
                field.value.utf8.allSatisfy { (0x20...0x7e).contains($0) }
            }
            #expect(ascii)
        }
        #expect(RPCStatus.percentDecoded("%zz%4%C3%A4") == "%zz%4ä")
        let long = RPCStatus.percentEncoded(String(repeating: "ä", count: 5000))
        #expect(long.utf8.count <= 4096 && long.utf8.count % 6 == 0)
        #expect(RPCStatus(trailers: []) == nil)
        #expect(RPCStatus(trailers: [HTTP2Field("grpc-status", "77")])?.code == .unknown)
        #expect(RPCStatus.Code.allCases.count == 17)
        #expect(RPCStatus.Code.resourceExhausted.name == "RESOURCE_EXHAUSTED")
        #expect(RPCStatus.Code.unauthenticated.rawValue == 16)
    }

    @Test func resetsMapToStatuses() {
        let expected: [(HTTP2ErrorCode, RPCStatus.Code)] = [
            (.refusedStream, .unavailable), (.cancel, .cancelled), (.enhanceYourCalm, .resourceExhausted),
            (.protocolError, .internal), (.internalError, .internal),
            (HTTP2ErrorCode(rawValue: 999), .internal),
        ]
        for (code, status) in expected { #expect(RPCStatus(reset: code).code == status) }
    }

    private static let good = [
        HTTP2Field(":method", "POST"), HTTP2Field(":path", "/a.B/C"), HTTP2Field("te", "trailers"),
        HTTP2Field("content-type", "application/grpc+proto"), HTTP2Field("x-extra", "1"),
        HTTP2Field("grpc-timeout", "5S"),
    ]

    @Test func requestHeads() {
        var metadata = RPCMetadata()
        metadata.add("x-extra", "1")
        #expect(RequestHead(Self.good) == .call(path: "/a.B/C", timeout: .seconds(5), metadata: metadata))
        func with(_ name: String, _ value: String) -> RequestHead {
            RequestHead(Self.good.filter { $0.name != name } + [HTTP2Field(name, value)])
        }
        func http(_ head: RequestHead) -> String? {
            if case .http(let status, _) = head { status } else { nil }
        }
        func refused(_ head: RequestHead) -> RPCStatus.Code? {
            if case .refuse(let status) = head { status.code } else { nil }
        }
        #expect(http(with("content-type", "application/json")) == "415")
        #expect(http(with(":method", "GET")) == "405")
        #expect(refused(with("te", "gzip")) == .internal)
        #expect(refused(with("grpc-encoding", "gzip")) == .unimplemented)
        #expect(refused(with("grpc-encoding", "identity")) == nil)
        #expect(refused(with("grpc-timeout", "soon")) == .internal)
    }

    @Test func replyHeads() {
        let type = HTTP2Field("content-type", "application/grpc")
        #expect(ReplyHead([HTTP2Field(":status", "200"), type]) == .accepted)
        #expect(
            ReplyHead([HTTP2Field(":status", "200"), type, HTTP2Field("grpc-status", "5")])
                == .ended(RPCStatus(.notFound)))
        func code(_ fields: [HTTP2Field]) -> RPCStatus.Code? {
            if case .ended(let status) = ReplyHead(fields) { status.code } else { nil }
        }
        #expect(code([HTTP2Field(":status", "404")]) == .unimplemented)
        #expect(code([HTTP2Field(":status", "503")]) == .unavailable)
        #expect(code([HTTP2Field(":status", "401")]) == .unauthenticated)
        #expect(code([HTTP2Field(":status", "200"), HTTP2Field("content-type", "text/html")]) == .unknown)
        #expect(code([HTTP2Field(":status", "200"), type, HTTP2Field("grpc-encoding", "gzip")]) == .internal)
    }

    @Test func addresses() {
        #expect(RPCAddress("host:80") == RPCAddress(host: "host", port: 80))
        #expect(RPCAddress("[::1]:80") == RPCAddress(host: "::1", port: 80))
        #expect(RPCAddress("[::1]:80")?.description == "[::1]:80")
        for bad in ["host", "host:", ":80", "host:99999", "::1:80", "host:-1", ""] {
            #expect(RPCAddress(bad) == nil)
        }
    }
}
