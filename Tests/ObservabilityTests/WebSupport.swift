// A server for the length of a test, and clients that misbehave in ways that HTTP libraries do not.

import Foundation
import Logging
import Observability
import Synchronization
import Testing

/// Runs blocking work on a thread of its own: Dispatch's queues share their threads with Swift's tasks.
func blocking<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try work() }) }
    }
}

func withServer(
    _ routes: [WebRoute], limits: WebLimits = WebLimits(), tls: WebTLS? = nil,
    statistics: WebStatistics = WebStatistics(), log: CapturedLog = CapturedLog(),
    _ body: (Int) async throws -> Void
) async throws {
    let server = WebServer(
        address: WebAddress(host: "127.0.0.1", port: 0), tls: tls, routes: routes, limits: limits,
        statistics: statistics, logger: Logger(label: "test") { _ in log })
    let address = try await server.start()
    do { try await body(address.port) } catch {
        await server.shutdown(grace: .zero)
        throw error
    }
    await server.shutdown(grace: .zero)
}

/// Waits up to a minute for something to become true.
func eventually(_ isTrue: () async throws -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < end {
        if try await isTrue() { return true }
        try await Task.sleep(for: .milliseconds(10))
    }
    return false
}

extension WebStatistics {
    /// Value of a series; 0 when there is none.
    func value(_ name: String, _ labels: Labels = .none) -> Double {
        let series = families().first { $0.name == name }?.series.first { $0.labels == labels }
        if case .number(let value)? = series?.value { return value }
        return 0
    }

    func refused(_ reason: String) -> Double { value("lariat_http_refused_total", ["reason": reason]) }
}

/// Keeps what is logged.
final class CapturedLog: LogHandler, Sendable {
    private let lines = Mutex<[String]>([])
    var text: String { lines.withLock { $0.joined(separator: "\n") } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
    }
}

/// A program that others wrote.
enum Command {
    struct Result: Sendable {
        let status: Int32
        let output: String
    }

    static func exists(_ name: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(name)")
        }
    }

    /// Both outputs together; stopped after ten seconds.
    static func run(_ name: String, _ arguments: [String], input: Data = Data(), folder: URL? = nil)
        async throws
        -> Result
    {
        try await blocking {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = ["timeout", "10", name] + arguments
            process.currentDirectoryURL = folder
            let output = Pipe()
            let inputPipe = Pipe()
            process.standardOutput = output
            process.standardError = output
            process.standardInput = inputPipe
            try process.run()
            // Inputs here are smaller than a pipe holds.
            try? inputPipe.fileHandleForWriting.write(contentsOf: input)
            try inputPipe.fileHandleForWriting.close()
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return Result(status: process.terminationStatus, output: String(decoding: data, as: UTF8.self))
        }
    }
}

/// What curl prints; -s and -S are set.
func curl(_ arguments: String...) async throws -> String {
    try await Command.run("curl", ["--silent", "--show-error", "--max-time", "60"] + arguments).output
}

/// A TCP client that sends exactly what it is told and reads only when told. Every call blocks for half a minute
/// at most.
final class RawClient: Sendable {
    private let socket: Int32

    /// `receiveBuffer`: bytes; small for a client that takes nothing.
    init(_ port: Int, receiveBuffer: Int32? = nil) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(socket >= 0)
        if var size = receiveBuffer {
            setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var wait = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            Glibc.close(socket)
            throw POSIXError(.init(rawValue: errno) ?? .EIO)
        }
    }

    deinit { Glibc.close(socket) }

    /// False when the server no longer takes bytes.
    @discardableResult
    func send(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Reads until `end` has come (nil: until the server closes) or half a minute passes without a byte.
    func read(until end: String? = nil) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            if let end, String(decoding: bytes, as: UTF8.self).contains(end) { break }
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else {
                if count < 0, errno == EAGAIN { bytes += Array("[NOTHING FOR 30 S]".utf8) }
                break
            }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func shutdownWrite() { shutdown(socket, Int32(SHUT_WR)) }

    /// The next close sends RST instead of FIN.
    func resetOnClose() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }
}

/// A certificate for localhost and 127.0.0.1, made by openssl.
struct TestCertificate {
    let tls: WebTLS

    static func with(_ body: (TestCertificate) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "web-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let made = try await Command.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2",
                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                "key.pem",
                "-out", "certificate.pem",
            ], folder: folder)
        try #require(made.status == 0, "\(made.output)")
        try await body(
            TestCertificate(
                tls: WebTLS(
                    certificate: folder.appending(path: "certificate.pem").path,
                    key: folder.appending(path: "key.pem").path)))
    }
}

let get = "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
let quick = WebRoute(.get, "/quick") { _ in .text("quick\n") }
struct Secret: Error { let text = "the password is 1234" }

/// What a handler tells its test.
final class Observed<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    var value: Value { state.withLock { $0 } }
    func change(_ change: @Sendable (inout Value) -> Void) { state.withLock { change(&$0) } }
}
