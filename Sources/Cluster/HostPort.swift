// Network addresses as people write them: host:port, IPv6 in brackets.
import Foundation

/// A host (name, IPv4 or IPv6 address) and a TCP port.
public struct HostPort: Sendable, Hashable, CustomStringConvertible {
    /// Without brackets.
    public let host: String
    /// 0 to 65535; 0 lets the system choose where that makes sense.
    public let port: Int

    /// `text` is `10.0.0.1:7400`, `node-1.lab:7400` or `[fd00::1]:7400`.
    public init(parsing text: String) throws(ValueError) {
        let form = "write host:port, e.g. 127.0.0.1:7400 or [::1]:7400"
        guard let colon = text.lastIndex(of: ":") else {
            throw ValueError("\(quoted(text)) has no port; \(form)")
        }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = Int(digits), port <= 65535
        else {
            throw ValueError("\(quoted(text)) has no port from 0 to 65535 after its last colon; \(form)")
        }
        let isBracketed = host.first == "[" && host.last == "]" && host.count > 2
        if isBracketed { host = host.dropFirst().dropLast() }
        guard isBracketed || !host.contains(":") else {
            throw ValueError("\(quoted(text)): an IPv6 address stands in brackets, e.g. [::1]:7400")
        }
        guard !host.isEmpty, host.utf8.count <= 253,
            host.utf8.allSatisfy({
                $0.isNameCharacter || isBracketed && ($0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%"))
            }),
            !isBracketed || host.contains(":")
        else {
            throw ValueError("\(quoted(text)) has no valid host; \(form)")
        }
        if !isBracketed { try Self.checkIfIPv4(host, form: form) }
        self.host = String(host)
        self.port = port
    }

    /// For addresses that are known to be good, such as that of a bound socket.
    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Whether it stands for every address of its host, so that it says nothing about where to connect to.
    public var isWildcard: Bool { host == "0.0.0.0" || host == "::" }

    /// Whether only processes of the same host can connect to it: 127.0.0.0/8, ::1 or the name localhost.
    public var isLoopback: Bool { Self.isLoopback(host: host) }

    /// The same for a host without a port. A name other than localhost is never loopback, whatever it resolves to.
    static func isLoopback(host: String) -> Bool {
        if host.lowercased() == "localhost" { return true }
        if let bytes = ipv4(host) { return bytes[0] == 127 }
        return ipv6(host) == [UInt8](repeating: 0, count: 15) + [1]
    }

    /// The four bytes of an IPv4 address; nil if it is none.
    private static func ipv4(_ host: String) -> [UInt8]? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        let bytes = parts.compactMap { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt8(part) : nil
        }
        return bytes.count == 4 ? bytes : nil
    }

    /// The sixteen bytes of an IPv6 address; nil if it is none.
    private static func ipv6(_ host: String) -> [UInt8]? {
        guard host.contains(":") else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET6, host, &bytes) == 1 ? bytes : nil
    }

    /// A host of digits and dots only is an IPv4 address: four numbers up to 255.
    private static func checkIfIPv4(_ host: Substring, form: String) throws(ValueError) {
        guard host.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }) else { return }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts.allSatisfy({ (1...3).contains($0.count) && (Int($0) ?? 256) <= 255 })
        else {
            throw ValueError("\(quoted(String(host))) is not an IPv4 address; \(form)")
        }
    }
}
