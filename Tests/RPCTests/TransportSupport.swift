// What the transport tests share: a message, methods, a server with every kind of call, and its client.

import Foundation
import Logging
import NIOCore
import NIOPosix
import Protobuf
import RPC
import Testing

/// Bytes as they are.
struct Blob: WireMessage, Equatable {
    static var byteLimit: Int { 1 << 20 }
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }
    init(_ text: String) { bytes = Array(text.utf8) }
    init(decoding bytes: UnsafeRawBufferPointer) throws(MessageError) {
        self.bytes = unsafe Array(bytes)
        if self.bytes == Array("malformed".utf8) { throw .malformed(message: "Blob") }
    }
    func encoded() throws(MessageError) -> [UInt8] { bytes }
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

enum TestService {
    static let echo = RPCMethod<Blob, Blob>("/test.Service/Echo")
    static let fail = RPCMethod<Blob, Blob>("/test.Service/Fail")
    static let hang = RPCMethod<Blob, Blob>("/test.Service/Hang")
    static let count = RPCMethod<Blob, Blob>("/test.Service/Count", replyStreaming: true)
    static let sum = RPCMethod<Blob, Blob>("/test.Service/Sum", requestStreaming: true)
    static let chat = RPCMethod<Blob, Blob>(
        "/test.Service/Chat", requestStreaming: true, replyStreaming: true)
    static let sink = RPCMethod<Blob, Blob>("/test.Service/Sink", requestStreaming: true)
    static let gate = RPCMethod<Blob, Blob>("/test.Service/Gate", requestStreaming: true)
    static let early = RPCMethod<Blob, Blob>("/test.Service/Early", requestStreaming: true)
    static let who = RPCMethod<Blob, Blob>("/test.Service/Who")
    static let missing = RPCMethod<Blob, Blob>("/test.Service/Missing")
    /// Its client may take a quarter of a second for anything.
    static let hurried = RPCMethod<Blob, Blob>("/test.Service/Hurried", requestStreaming: true)
    /// Takes callers with a key.
    static let guarded = RPCMethod<Blob, Blob>("/test.Service/Guarded")
    static let leak = RPCMethod<Blob, Blob>("/test.Service/Leak")
    static let flood = RPCMethod<Blob, Blob>("/test.Service/Flood", replyStreaming: true)
}

/// Handlers report here what they saw; a test waits for it, with a deadline.
actor Signals {
    private var seen: [String: Int] = [:]

    func add(_ name: String, _ count: Int = 1) { seen[name, default: 0] += count }
    func value(_ name: String) -> Int { seen[name, default: 0] }

    func wait(for name: String, atLeast count: Int = 1, within: Duration = .seconds(60)) async -> Bool {
        let deadline = ContinuousClock.now.advanced(by: within)
        while value(name) < count {
            if ContinuousClock.now > deadline { return false }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return true
    }
}

struct TransportFixture {
    static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let signals = Signals()
    let server: RPCServer
    let address: RPCAddress

    init(limits: RPCLimits = RPCLimits(), tls: TLSFiles? = nil, host: String = "127.0.0.1") async throws {
        let signals = signals
        server = RPCServer(
            address: RPCAddress(host: host, port: 0), tls: tls, services: Self.handlers(signals),
            limits: limits, logger: Self.logger)
        address = try await server.start()
    }

    func client(limits: RPCLimits = RPCLimits(), tls: TLSFiles? = nil) async throws -> RPCClient {
        try await RPCClient.connect(
            to: address, tls: tls, timeout: .seconds(20), limits: limits, logger: Self.logger)
    }

    /// Runs `body` and takes the server down afterwards, whatever happened.
    static func with(
        limits: RPCLimits = RPCLimits(), tls: TLSFiles? = nil, _ body: (TransportFixture) async throws -> Void
    ) async throws {
        let fixture = try await TransportFixture(limits: limits, tls: tls)
        do { try await body(fixture) } catch {
            await fixture.server.shutdown(grace: .zero)
            throw error
        }
        await fixture.server.shutdown(grace: .zero)
    }

    static func handlers(_ signals: Signals) -> [RPCHandler] {
        [
            .unary(TestService.echo) { request, _ in request },
            .unary(TestService.fail) { request, _ in throw RPCStatus(.notFound, request.text) },
            .unary(TestService.hang) { _, context in
                await signals.add("hang")
                context.onCancel { Task { await signals.add("onCancel") } }
                do { try await Task.sleep(for: .seconds(600)) } catch {
                    await signals.add("cancelled")
                    throw error
                }
                return Blob("late")
            },
            .serverStreaming(TestService.count) { request, _, replies in
                for i in 0..<(Int(request.text) ?? 0) { try await replies.write(Blob("\(i)")) }
            },
            .clientStreaming(TestService.sum) { requests, _ in
                var sum = 0
                while let request = try await requests.next() { sum += Int(request.text) ?? 0 }
                return Blob("\(sum)")
            },
            .bidirectional(TestService.chat) { requests, _, replies in
                while let request = try await requests.next() { try await replies.write(request) }
            },
            .raw(TestService.sink, byteLimit: 2 << 20) { requests, _, replies in
                var total = 0
                while let message = try await requests.next() { total += message.bytes.readableBytes }
                try await replies.write([ByteBuffer(string: "\(total)")])
            },
            // Reads nothing before it is told to.
            .raw(TestService.gate, byteLimit: 2 << 20) { requests, context, replies in
                await signals.add("gate")
                _ = await signals.wait(for: "open")
                var total = 0
                do {
                    while let message = try await requests.next() { total += message.bytes.readableBytes }
                } catch {
                    await signals.add("gate failed")
                    throw error
                }
                try await replies.write([ByteBuffer(string: "\(total)")])
            },
            .clientStreaming(TestService.early) { requests, _ in
                _ = try await requests.next()
                return Blob("enough")
            },
            .clientStreaming(TestService.hurried) { requests, _ in
                while try await requests.next() != nil {}
                return Blob("all")
            }.paced(
                RequestPace(
                    silence: .milliseconds(250), message: .milliseconds(250), request: .seconds(60))),
            .unary(TestService.guarded) { request, _ in request }.asking { context throws(RPCStatus) in
                guard context.metadata["x-key"] == "right" else {
                    throw RPCStatus(.unauthenticated, "no key")
                }
            },
            .unary(TestService.leak) { _, _ in
                struct Secret: Error { let path = "/secret" }
                throw Secret()
            },
            .unary(TestService.who) { _, context in
                Blob("\(context.peerNames.sorted()) \(context.metadata["x-test"] ?? "-")")
            },
            .serverStreaming(TestService.flood) { _, _, replies in
                let chunk = Blob([UInt8](repeating: 7, count: 64 << 10))
                do {
                    for _ in 0..<100_000 {
                        try await replies.write(chunk)
                        await signals.add("written")
                    }
                } catch {
                    await signals.add("flood ended")
                    throw error
                }
            },
        ]
    }
}

extension RPCCall {
    /// Sends the prefix of a message of `length` bytes, and only these of them.
    func send(partOf length: Int, _ bytes: [UInt8]) async throws {
        try await send(frames: [ByteBuffer(bytes: try MessageFraming.prefix(length: length) + bytes)])
    }
}

/// The status that `body` throws; nil if it throws none.
func status(of body: () async throws -> Void) async -> RPCStatus? {
    do {
        try await body()
        return nil
    } catch { return error as? RPCStatus ?? RPCStatus(.unknown, "not a status: \(error)") }
}
