// Strangers on the port: HTTP/1.1, rubbish, floods, silence. And TLS with the wrong papers.

import Foundation
import Glibc
import NIOCore
import Observability
import Protobuf
import RPC
import Testing

/// A plain blocking socket for sending what no client would.
private struct Socket: ~Copyable {
    private let descriptor: Int32

    init(_ address: RPCAddress) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = in_port_t(address.port).bigEndian
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let rc = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(rc == 0)
    }

    deinit { Glibc.close(descriptor) }

    /// May be cut short by the other side.
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let n = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if n <= 0 { return }
            sent += n
        }
    }

    /// Until the other side closes, or 10 s of silence. `closed`: it did close.
    func receiveAll() -> (bytes: [UInt8], closed: Bool) {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let n = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if n == 0 || n < 0 && errno == ECONNRESET { return (all, true) }
            if n < 0 { return (all, false) }
            all += buffer.prefix(n)
        }
    }
}

/// Off the cooperative pool, for it blocks.
private func talk(_ address: RPCAddress, _ bytes: [UInt8]) async throws -> (bytes: [UInt8], closed: Bool) {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(
                with: Result {
                    let socket = try Socket(address)
                    socket.send(bytes)
                    return socket.receiveAll()
                })
        }
    }
}

private func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    [0, UInt8(payload.count >> 8), UInt8(payload.count & 255), type, flags]
        + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: stream >> $0) } + payload
}

private func hasGoAway(_ bytes: [UInt8]) -> Bool {
    var i = 0
    while i + 9 <= bytes.count {
        if bytes[i + 3] == 7 { return true }
        i += 9 + Int(bytes[i]) << 16 + Int(bytes[i + 1]) << 8 + Int(bytes[i + 2])
    }
    return false
}

private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4)
private let post: [UInt8] = [0x83, 0x86, 0x84, 0x01, 0x01, 0x61]

@Suite(.serialized) struct TransportDefenceTests {
    /// The server answers or closes, and another connection never notices.
    private func whileOthersWork(
        _ bytes: [UInt8], limits: RPCLimits = RPCLimits(), _ check: ((bytes: [UInt8], closed: Bool)) -> Void
    ) async throws {
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client()
            let bystander = client.call(TestService.chat, timeout: .seconds(60))
            try await bystander.send(Blob("before"))
            #expect(try await bystander.next()?.text == "before")
            check(try await talk(fixture.address, bytes))
            try await bystander.send(Blob("after"))
            #expect(try await bystander.next()?.text == "after")
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await client.close()
        }
    }

    @Test(arguments: ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "POST /x HTTP/1.1\r\n\r\n", "PRI x\r\n\r\n"])
    func http1GetsAnAnswer(text: String) async throws {
        try await whileOthersWork(Array(text.utf8)) { answer in
            let reply = String(decoding: answer.bytes, as: UTF8.self)
            #expect(reply.hasPrefix("HTTP/1.1 400 "))
            #expect(reply.contains("gRPC over HTTP/2"))
            #expect(answer.closed)
        }
    }

    @Test func rubbishIsClosed() async throws {
        var generator = SystemRandomNumberGenerator()
        for first in [0x16, 0x00, 0xff] as [UInt8] {
            let rubbish = [first] + (0..<5000).map { _ in UInt8.random(in: 0...255, using: &generator) }
            try await whileOthersWork(rubbish) { #expect($0.closed) }
        }
        try await whileOthersWork(preface + (0..<5000).map { _ in 0xff }) { #expect($0.closed) }
    }

    @Test func rapidReset() async throws {
        var bytes = preface
        for i in 0..<2000 as Range<UInt32> {
            bytes += frame(1, flags: 5, stream: 2 * i + 1, post) + frame(3, stream: 2 * i + 1, [0, 0, 0, 8])
        }
        try await whileOthersWork(bytes) { #expect($0.closed && hasGoAway($0.bytes)) }
    }

    @Test func continuationFlood() async throws {
        var bytes = preface + frame(1, flags: 1, stream: 1, post)
        for _ in 0..<2000 { bytes += frame(9, stream: 1, [0, 1, 0x61, 1, 0x62]) }
        try await whileOthersWork(bytes) { #expect($0.closed && hasGoAway($0.bytes)) }
    }

    @Test func pingFlood() async throws {
        var bytes = preface
        for _ in 0..<2000 { bytes += frame(6, [UInt8](repeating: 0, count: 8)) }
        try await whileOthersWork(bytes) { #expect($0.closed && hasGoAway($0.bytes)) }
    }

    /// Who connects and says nothing is not waited for.
    @Test func silenceIsClosed() async throws {
        var limits = RPCLimits()
        limits.handshake = .milliseconds(300)
        try await whileOthersWork([], limits: limits) { #expect($0.closed) }
        try await whileOthersWork(Array("PRI * HT".utf8), limits: limits) { #expect($0.closed) }
    }

    @Test func contentTypeMustBeGRPC() async throws {
        // The response's :status 415 is an HPACK literal or indexed name; look for its digits.
        try await TransportFixture.with { fixture in
            var limits = RPCLimits()
            limits.keepAlive = .milliseconds(200)
            let bytes = preface + frame(1, flags: 5, stream: 1, post) + frame(7, [0, 0, 0, 0, 0, 0, 0, 0])
            let answer = try await talk(fixture.address, bytes)
            #expect(answer.closed)
            #expect(
                String(decoding: answer.bytes, as: UTF8.self).contains(
                    "content-type must be application/grpc"))
        }
    }

    /// A peer that takes connections and never answers: found out by the handshake limit or the PING.
    @Test func aDeafServerIsNoticed() async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(listener) }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(unsafe bind(listener, $0, size) == 0)
                #expect(unsafe getsockname(listener, $0, &size) == 0)
            }
        }
        #expect(listen(listener, 8) == 0)
        let address = RPCAddress(host: "127.0.0.1", port: Int(in_port_t(bigEndian: name.sin_port)))
        let mute = await status {
            _ = try await RPCClient.connect(
                to: address, timeout: .milliseconds(300), logger: TransportFixture.logger)
        }
        #expect(mute?.code == .deadlineExceeded)

        // The second one says its SETTINGS and then falls silent.
        let deaf = Thread {
            while true {
                let peer = accept(listener, nil, nil)
                if peer < 0 { return }
                let hello = frame(4)
                _ = unsafe send(peer, hello, hello.count, Int32(MSG_NOSIGNAL))
            }
        }
        deaf.start()
        var limits = RPCLimits()
        limits.keepAlive = .milliseconds(200)
        limits.keepAliveTimeout = .milliseconds(400)
        let client = try await RPCClient.connect(
            to: address, timeout: .seconds(20), limits: limits, logger: TransportFixture.logger)
        let lost = await status {
            _ = try await client.unary(TestService.echo, Blob(""), timeout: .seconds(60))
        }
        #expect(lost?.code == .unavailable)
        #expect(lost?.message.contains("\(address)") == true)
        #expect(!client.isConnected)
        shutdown(listener, Int32(SHUT_RDWR))
    }

    @Test func connectionsAreBounded() async throws {
        var limits = RPCLimits()
        limits.maxConnections = 4
        limits.maxConnectionsPerAddress = 2
        try await TransportFixture.with(limits: limits) { fixture in
            let first = try await fixture.client()
            let second = try await fixture.client()
            let third = await status { _ = try await fixture.client() }
            #expect(third?.code == .unavailable)
            await first.close()
            await second.close()
            // The places are free again; the server needs a moment to see it.
            for _ in 0..<6000 where fixture.server.connectionCount > 0 {
                try await Task.sleep(for: .milliseconds(10))
            }
            let fourth = try await fixture.client()
            await fourth.close()
        }
    }

    // MARK: TLS

    @Test func mutualTLS() async throws {
        let papers = try Papers()
        defer { papers.remove() }
        let right = try papers.issue("a", by: "ca", names: "DNS:localhost,IP:127.0.0.1")
        let other = try papers.issue("b", by: "ca", names: "DNS:worker-b,IP:127.0.0.1")
        let stranger = try papers.issue("c", by: "other", names: "DNS:localhost,IP:127.0.0.1")
        let misnamed = try papers.issue("d", by: "ca", names: "DNS:elsewhere")
        try await TransportFixture.with(tls: right) { fixture in
            let client = try await fixture.client(tls: other)
            let reply = try await client.unary(TestService.who, Blob(""), timeout: .seconds(20))
            #expect(reply.text == "[\"127.0.0.1\", \"worker-b\"] -")
            let call = client.call(TestService.sink, timeout: .seconds(30))
            for _ in 0..<8 { try await call.send(raw: [ByteBuffer(repeating: 1, count: 1 << 20)]) }
            call.finishSending()
            #expect(try await call.receiveRaw().map { String(buffer: $0) } == "\(8 << 20)")
            await client.close()

            // A stranger's CA, no certificate at all, and no TLS: none gets in.
            #expect(await status { _ = try await fixture.client(tls: stranger) }?.code == .unavailable)
            let trusting = TLSFiles(ca: right.ca, certificate: stranger.certificate, key: stranger.key)
            let uncertified = await status {
                let client = try await fixture.client(tls: trusting)
                _ = try await client.unary(TestService.echo, Blob(""), timeout: .seconds(20))
            }
            #expect(uncertified?.code == .unavailable)
            #expect(try papers.bareClientIsRefused(fixture.address, ca: right.ca))
            let plain = await status {
                _ = try await RPCClient.connect(
                    to: fixture.address, timeout: .seconds(3), logger: TransportFixture.logger)
            }
            #expect(plain != nil)
            #expect(try await talk(fixture.address, Array("GET / HTTP/1.1\r\n\r\n".utf8)).closed)
            // And it still serves.
            let again = try await fixture.client(tls: other)
            #expect(try await again.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await again.close()
        }
        try await TransportFixture.with(tls: misnamed) { fixture in
            #expect(await status { _ = try await fixture.client(tls: other) }?.code == .unavailable)
        }
        let unreadable = TLSFiles(ca: right.ca, certificate: "/nowhere/cert.pem", key: right.key)
        let told = await status { _ = try await TransportFixture(tls: unreadable) }
        #expect(told?.code == .failedPrecondition && told?.message.contains("/nowhere/cert.pem") == true)
    }

    @Test func metricsTellWhenCertificatesEnd() async throws {
        let papers = try Papers()
        defer { papers.remove() }
        let files = try papers.issue("a", by: "ca", names: "IP:127.0.0.1", days: 1)
        func ends(_ server: RPCServer) -> [Labels: Double] {
            let family = RPCServer.metrics([("a", server)]).first {
                $0.name == "lariat_certificate_expiry_timestamp_seconds"
            }
            return (family?.series ?? []).reduce(into: [:]) { found, series in
                if case .number(let value) = series.value { found[series.labels] = value }
            }
        }
        try await TransportFixture.with(tls: files) { fixture in
            let left = ends(fixture.server).mapValues { $0 - Date().timeIntervalSince1970 }
            #expect(left.count == 2)
            #expect((86_000...86_400).contains(left[["certificate": "own"]] ?? 0))
            #expect((172_400...172_800).contains(left[["certificate": "authority"]] ?? 0))
        }
        try await TransportFixture.with { fixture in #expect(ends(fixture.server).isEmpty) }
    }
}

/// Certificates made by `openssl` for one test.
private struct Papers {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "lariat-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for ca in ["ca", "other"] {
            try openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=\(ca) "
                    + "-keyout \(ca).key -out \(ca).pem")
        }
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    private func path(_ name: String) -> String { folder.appending(path: name).path(percentEncoded: false) }

    func issue(_ name: String, by ca: String, names: String, days: Int = 2) throws -> TLSFiles {
        try openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=\(name) -keyout \(name).key "
                + "-out \(name).csr")
        try Data("subjectAltName=\(names)\n".utf8).write(to: URL(filePath: path("\(name).ext")))
        try openssl(
            "x509 -req -in \(name).csr -CA \(ca).pem -CAkey \(ca).key -CAcreateserial -days \(days) -extfile \(name).ext "
                + "-out \(name).pem")
        return TLSFiles(ca: path("\(ca).pem"), certificate: path("\(name).pem"), key: path("\(name).key"))
    }

    /// openssl s_client without a certificate: the server must break the handshake off.
    func bareClientIsRefused(_ address: RPCAddress, ca: String) throws -> Bool {
        let output = try openssl(
            "s_client -connect \(address) -CAfile \(ca) -alpn h2 -verify_return_error -brief", mayFail: true)
        return output.contains("certificate required") || output.contains("alert")
    }

    @discardableResult
    private func openssl(_ arguments: String, mayFail: Bool = false) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["timeout", "5", "openssl"] + arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = folder
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = mayFail ? Pipe() : FileHandle.nullDevice
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let text = String(decoding: output, as: UTF8.self)
        if !mayFail { try #require(process.terminationStatus == 0, "openssl \(arguments): \(text)") }
        return text
    }
}
