// Who may call what only processes of the cluster call: whose certificate names the host that it says it is.

import NIOCore

/// The rule for services between a coordinator and its workers. A certificate for people names no host, so it opens
/// none of them; without TLS there are no certificates, and everybody may call.
public struct ProcessCertificates: Sendable {
    private let areShown: Bool

    /// - Parameter tls: of the server that asks.
    public init(tls: TLSFiles?) { areShown = tls != nil }

    /// Refuses callers whose certificate is not one of a process.
    public func requireProcess(_ context: RPCContext) throws(RPCStatus) {
        guard areShown, context.peerNames.isEmpty else { return }
        throw RPCStatus(
            .permissionDenied,
            "this certificate names no host: it is one for people, and only the cluster's processes may call this"
        )
    }

    /// Refuses callers whose certificate does not name all of these hosts.
    public func require(_ hosts: [String], _ context: RPCContext) throws(RPCStatus) {
        guard areShown else { return }
        try requireProcess(context)
        guard let missing = hosts.first(where: { !Self.names(context.peerNames, cover: $0) }) else { return }
        let shown = context.peerNames.sorted().prefix(8).joined(separator: ", ")
        throw RPCStatus(
            .permissionDenied,
            "this certificate is for \(shown), not for \(missing.prefix(255)); use one that names it, as `lariat cluster "
                + "certs` makes them")
    }

    /// Whether a certificate's alternative names stand for a host: by name, without regard to case, with a `*` for
    /// one label at the beginning; addresses in any spelling.
    package static func names(_ names: [String], cover host: String) -> Bool {
        let wanted = canonical(host)
        guard !isAddress(wanted) else { return names.contains { canonical($0) == wanted } }
        return names.contains { name in
            let name = canonical(name)
            guard name.hasPrefix("*.") else { return name == wanted }
            guard let dot = wanted.firstIndex(of: "."), dot > wanted.startIndex else { return false }
            return wanted[dot...] == name.dropFirst()
        }
    }

    private static func canonical(_ host: String) -> String {
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        // A zone (fe80::1%eth0) is a matter of one host only.
        let unzoned = String(bare.prefix { $0 != "%" })
        if let address = try? SocketAddress(ipAddress: unzoned, port: 0).ipAddress { return address }
        let name = unzoned.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }

    private static func isAddress(_ host: String) -> Bool {
        (try? SocketAddress(ipAddress: host, port: 0)) != nil
    }
}
