// What a service manager is told, heard at the other end of a real socket.
import Foundation
import Testing
import lariat

@Suite("Notifications to a service manager")
struct ServiceNotificationTests {
    /// The manager's end: a datagram socket at a path, or at an abstract name after `@`.
    final class Listener: Sendable {
        let descriptor: Int32
        let address: String

        init(_ address: String) throws {
            self.address = address
            descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            var path = Array(address.utf8)
            if path[0] == UInt8(ascii: "@") { path[0] = 0 }
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path) }
            let length = socklen_t(2 + path.count + (path[0] == 0 ? 0 : 1))
            let bound = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            }
            try #require(bound == 0)
            var limit = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }

        func next() -> String {
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return count < 0 ? "nothing" : String(decoding: bytes.prefix(count), as: UTF8.self)
        }

        /// The same on a thread of its own: the tests' tasks need theirs.
        func nextElsewhere() async -> String {
            await withCheckedContinuation { continuation in
                Thread.detachNewThread { [self] in continuation.resume(returning: next()) }
            }
        }

        deinit {
            close(descriptor)
            if address.hasPrefix("/") { unlink(address) }
        }
    }

    @Test(
        "Messages arrive at a path and at an abstract name",
        arguments: ["/tmp/lariat-notify-", "@lariat-notify-"])
    func arrives(prefix: String) throws {
        let listener = try Listener(prefix + "\(UUID())")
        let manager = try #require(ServiceNotification(environment: ["NOTIFY_SOCKET": listener.address]))
        #expect(manager.watchdogInterval == nil)
        try manager.send(.ready)
        #expect(listener.next() == "READY=1")
        try manager.send(.status("2 workers\nREADY=1"))
        #expect(listener.next() == "STATUS=2 workers READY=1")
        try manager.send(.stopping)
        #expect(listener.next() == "STOPPING=1")
    }

    @Test("The watchdog is fed until the task is cancelled")
    func watchdog() async throws {
        let listener = try Listener("@lariat-notify-\(UUID())")
        let manager = try #require(
            ServiceNotification(
                environment: [
                    "NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "7",
                ],
                processIdentifier: 7))
        #expect(manager.watchdogInterval == .milliseconds(10))
        let task = Task { await manager.keepAlive() }
        for _ in 0..<3 { #expect(await listener.nextElsewhere() == "WATCHDOG=1") }
        task.cancel()
        await task.value
    }

    @Test("What is no manager's wish")
    func none() async throws {
        #expect(ServiceNotification(environment: [:]) == nil)
        for address in ["", "@", "/", "relative", "vsock:2:1", "/" + String(repeating: "x", count: 107)] {
            #expect(ServiceNotification(environment: ["NOTIFY_SOCKET": address]) == nil)
        }
        for wish in [
            ["WATCHDOG_USEC": "x"], ["WATCHDOG_USEC": "0"], ["WATCHDOG_USEC": "-5"],
            ["WATCHDOG_USEC": "9223372036854775807"],
            ["WATCHDOG_USEC": "20000", "WATCHDOG_PID": "8"],
        ] {
            let manager = try #require(
                ServiceNotification(
                    environment: wish.merging(["NOTIFY_SOCKET": "/run/x"]) { $1 }, processIdentifier: 7))
            #expect(manager.watchdogInterval == nil)
            await manager.keepAlive()
        }
    }

    @Test("A manager that is gone or does not read is an error, at once")
    func gone() throws {
        let manager = try #require(
            ServiceNotification(environment: ["NOTIFY_SOCKET": "/tmp/lariat-nobody-\(UUID())"]))
        #expect(throws: ServiceNotification.SendError.self) { try manager.send(.ready) }
        let deaf = try Listener("@lariat-notify-\(UUID())")
        let full = try #require(ServiceNotification(environment: ["NOTIFY_SOCKET": deaf.address]))
        #expect(throws: ServiceNotification.SendError.self) {
            for _ in 0..<100_000 { try full.send(.watchdog) }
        }
    }
}
