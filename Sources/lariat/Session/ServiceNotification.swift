// What a service manager is told about this process: systemd's notification protocol (sd_notify), one datagram a message.

import Foundation

/// The service manager that started this process with `Type=notify`.
package struct ServiceNotification: Sendable {
    package enum Message: Sendable, Equatable {
        /// The process serves.
        case ready
        /// It begins to end, and drains.
        case stopping
        /// It still works.
        case watchdog
        /// A line for `systemctl status`.
        case status(String)

        /// As it stands in the datagram.
        var text: String {
            switch self {
            case .ready: return "READY=1"
            case .stopping: return "STOPPING=1"
            case .watchdog: return "WATCHDOG=1"
            case .status(let text):
                // A line end would begin another message.
                let line = text.unicodeScalars.map {
                    $0.properties.generalCategory == .control ? " " : String($0)
                }
                return "STATUS=" + String(line.joined().prefix(200))
            }
        }
    }

    package struct SendError: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// A path, or an abstract name after `@`.
    private let address: String
    /// How often `.watchdog` should be sent: half of the time after which the manager loses patience. nil: it has no
    /// watchdog, or not for this process.
    package let watchdogInterval: Duration?

    /// nil where no manager wants to be told.
    package init?(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        processIdentifier: Int32 = getpid()
    ) {
        guard let address = environment["NOTIFY_SOCKET"], address.hasPrefix("/") || address.hasPrefix("@"),
            (2...Self.longestAddress).contains(address.utf8.count)
        else { return nil }
        self.address = address
        let isOurs = environment["WATCHDOG_PID"].map { Int32($0) == processIdentifier } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap(Int64.init) ?? 0
        // Above a day there is no point, and below a millisecond no process would keep up.
        let isSensible = isOurs && (1000...86_400_000_000).contains(microseconds)
        watchdogInterval = isSensible ? .microseconds(microseconds / 2) : nil
    }

    /// Sends one message, and never waits: a manager that does not read is an error.
    package func send(_ message: Message) throws(SendError) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Self.failure("socket") }
        defer { close(descriptor) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var path = Array(address.utf8)
        let isAbstract = path[0] == UInt8(ascii: "@")
        if isAbstract { path[0] = 0 }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path) }
        // The length of an abstract name is its own; a path ends with its zero byte.
        let length = MemoryLayout<sockaddr_un>.offset(of: \.sun_path).map {
            $0 + path.count + (isAbstract ? 0 : 1)
        }
        let bytes = Array(message.text.utf8)
        let sent = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                sendto(
                    descriptor, bytes, bytes.count,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT),
                    name, socklen_t(length ?? MemoryLayout<sockaddr_un>.size))
            }
        }
        guard sent == bytes.count else { throw Self.failure("send") }
    }

    /// Sends `.watchdog` as often as the manager wants it, until the task is cancelled; returns at once where it wants
    /// none. Runs among the process's other tasks, so that a process whose tasks hang falls silent.
    package func keepAlive() async {
        guard let watchdogInterval else { return }
        while !Task.isCancelled {
            // One that was not sent is followed by the next; the manager counts.
            try? send(.watchdog)
            try? await Task.sleep(for: watchdogInterval)
        }
    }

    /// `sun_path` has 108 bytes, the last of them zero.
    private static let longestAddress = 107

    private static func failure(_ call: String) -> SendError {
        SendError(
            description: "the service manager cannot be told: \(call): \(String(cString: strerror(errno)))")
    }
}
