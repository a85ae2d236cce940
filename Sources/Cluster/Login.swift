// Where somebody logs in by ssh: a host, or user@host.

/// A host and, perhaps, a user: `rope-1`, `lariat@rope-1.example.org`, `root@2001:db8::3`. Ports, keys and gateways are
/// the business of `~/.ssh/config`, whose names stand here too.
public struct Login: Sendable, Hashable, CustomStringConvertible {
    /// nil: whom ssh chooses.
    public let user: String?
    /// A name or an address, without brackets.
    public let host: String

    init(user: String?, host: String) {
        self.user = user
        self.host = host
    }

    public init(parsing text: String) throws(ValueError) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false).map(String.init)
        let problem = ValueError("\(quoted(text)) is no place to log in to; write a host or user@host")
        guard let host = parts.last, parts.count <= 2, !text.hasPrefix("-"), text.utf8.count <= 300,
            parts.allSatisfy({ !$0.isEmpty && !$0.hasPrefix("-") }),
            host.utf8.allSatisfy({ $0.isNameCharacter || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%") }
            ),
            parts.dropLast().allSatisfy({ $0.utf8.allSatisfy(\.isNameCharacter) })
        else { throw problem }
        // An address of IPv6 has two colons at least: one alone would be a port.
        guard host.count(where: { $0 == ":" }) != 1 else {
            throw ValueError("\(quoted(text)): a port stands in ~/.ssh/config or in deploy.ssh, not here")
        }
        self.init(user: parts.count == 2 ? parts[0] : nil, host: host)
    }

    /// As ssh takes it.
    public var description: String { user.map { "\($0)@\(host)" } ?? host }
}
