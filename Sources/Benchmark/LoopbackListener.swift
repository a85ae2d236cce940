// A blocking TCP socket that listens on a free port of the loopback address.
import Foundation

/// Listens for as long as it lives.
package final class LoopbackListener: Sendable {
    private let descriptor: Int32
    /// Chosen by the system; nobody else has it while this lives.
    package let port: Int

    /// The longest that a call on a connection waits for the other side.
    static let patienceSeconds = 30

    package init() throws(BenchmarkError) {
        let descriptor = try Self.socket()
        do throws(BenchmarkError) {
            try Self.check(
                Self.withAddress(port: 0) { bind(descriptor, $0, $1) }, "bind a loopback port")
            try Self.check(listen(descriptor, 1), "listen on loopback")
            var bound = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let code = withUnsafeMutablePointer(to: &bound) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getsockname(descriptor, $0, &length)
                }
            }
            try Self.check(code, "find the loopback port")
            port = Int(UInt16(bigEndian: bound.sin_port))
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The next connection; the caller closes it.
    func accept() throws(BenchmarkError) -> Int32 {
        try Self.check(Foundation.accept(descriptor, nil, nil), "accept a loopback connection")
    }

    /// A connection to a port of loopback; the caller closes it.
    static func connect(to port: Int) throws(BenchmarkError) -> Int32 {
        let descriptor = try socket()
        do throws(BenchmarkError) {
            try check(
                withAddress(port: port) { Foundation.connect(descriptor, $0, $1) }, "connect over loopback")
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// A socket whose calls, `accept` included, fail when the other side does not move.
    private static func socket() throws(BenchmarkError) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = try check(Foundation.socket(AF_INET, kind, 0), "open a socket")
        var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        return descriptor
    }

    private static func withAddress(
        port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    @discardableResult
    static func check(_ code: Int32, _ what: String) throws(BenchmarkError) -> Int32 {
        guard code >= 0 else { throw .socket("cannot \(what): \(String(cString: strerror(errno)))") }
        return code
    }
}
