// Who listens on a TCP port of this host, as far as /proc tells this user.

import Foundation

/// A process that listens.
struct PortOwner: Equatable {
    let pid: pid_t
    let name: String

    /// `lariat (process 4711)`
    var text: String { "\(name.printable) (process \(pid))" }

    /// The kernel's table of sockets is read in pieces and may miss a line while others come and go.
    private static let looks = 3

    /// nil: nobody, or a process that this user may not look at.
    static func of(_ port: Int) -> PortOwner? {
        for _ in 0..<looks {
            if let owner = seen(port) { return owner }
        }
        return nil
    }

    private static func seen(_ port: Int) -> PortOwner? {
        let sockets = listeningSockets(port)
        guard !sockets.isEmpty else { return nil }
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        for pid in processes.compactMap(pid_t.init) where holds(pid, sockets) {
            let name = (try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8)) ?? ""
            return PortOwner(pid: pid, name: name.trimmingCharacters(in: .newlines))
        }
        return nil
    }

    /// What links to descriptors of sockets that listen on the port look like: `socket:[12345]`.
    private static func listeningSockets(_ port: Int) -> Set<String> {
        let hex = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
        var found: Set<String> = []
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            let text = (try? String(contentsOfFile: table, encoding: .utf8)) ?? ""
            for line in text.split(separator: "\n").dropFirst() {
                // Number, local address, remote address, state (0A: listening), ..., inode as the tenth.
                let fields = line.split(separator: " ", maxSplits: 10)
                guard fields.count > 9, fields[1].hasSuffix(suffix), fields[3] == "0A" else { continue }
                found.insert("socket:[\(fields[9])]")
            }
        }
        return found
    }

    private static func holds(_ pid: pid_t, _ sockets: Set<String>) -> Bool {
        let folder = "/proc/\(pid)/fd"
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return descriptors.contains { descriptor in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(descriptor)"))
                .map(sockets.contains) ?? false
        }
    }
}
