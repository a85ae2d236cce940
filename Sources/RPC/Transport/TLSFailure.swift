// Why a TLS handshake failed, for people.

extension RPCStatus {
    /// With BoringSSL's reason alone, as `wrong version number`: the text of an error also has its codes and the line of
    /// BoringSSL's source that raised it.
    static func handshakeFailed(_ error: any Error, with peer: String) -> RPCStatus {
        let text = "\(error)"
        let reason = text.firstMatch(of: /OPENSSL_internal:([A-Z0-9_]+)/).map {
            $0.1.lowercased().replacing("_", with: " ")
        }
        return RPCStatus(.unavailable, "the TLS handshake with \(peer) failed: \(reason ?? text)")
    }
}
