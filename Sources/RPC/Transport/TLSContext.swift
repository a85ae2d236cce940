// Mutual TLS from three files, and the names in a peer's certificate.

import NIOCore
import NIOSSL

extension TLSFiles {
    /// Clients must show a certificate of `ca`; ALPN h2; TLS 1.2 at least.
    func serverContext() throws(RPCStatus) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try chain().map { .certificate($0) }, privateKey: .privateKey(try privateKey()))
        // For a server "no host name" means: the chain is verified and a certificate is required.
        configuration.certificateVerification = .noHostnameVerification
        return try context(configuration)
    }

    /// The server's certificate must be of `ca` and name the host or address that was dialled.
    func clientContext() throws(RPCStatus) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = try chain().map { .certificate($0) }
        configuration.privateKey = .privateKey(try privateKey())
        configuration.certificateVerification = .fullVerification
        return try context(configuration)
    }

    /// When the own certificate and the authority end. A chain lasts as long as its shortest; of several authorities,
    /// as while one is replaced, the one that lasts longest counts: no certificate outlives its own.
    func ends() throws(RPCStatus) -> CertificateEnds {
        let own = try chain().map(\.notValidAfter).min()
        let authority = try authorities().map(\.notValidAfter).max()
        return CertificateEnds(own: own.map(Double.init), authority: authority.map(Double.init))
    }

    private func context(_ configuration: TLSConfiguration) throws(RPCStatus) -> NIOSSLContext {
        var configuration = configuration
        configuration.applicationProtocols = ["h2"]
        configuration.minimumTLSVersion = .tlsv12
        configuration.trustRoots = .certificates(try authorities())
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw RPCStatus(.failedPrecondition, "the TLS files do not fit together: \(error)")
        }
    }

    private func chain() throws(RPCStatus) -> [NIOSSLCertificate] {
        try certificates("certificate", certificate)
    }

    private func authorities() throws(RPCStatus) -> [NIOSSLCertificate] {
        try certificates("CA certificate", ca)
    }

    private func certificates(_ what: String, _ path: String) throws(RPCStatus) -> [NIOSSLCertificate] {
        do { return try NIOSSLCertificate.fromPEMFile(path) } catch { throw unreadable(what, path, error) }
    }

    private func privateKey() throws(RPCStatus) -> NIOSSLPrivateKey {
        do { return try NIOSSLPrivateKey(file: key, format: .pem) } catch {
            throw unreadable("private key", key, error)
        }
    }

    private func unreadable(_ what: String, _ path: String, _ error: any Error) -> RPCStatus {
        RPCStatus(
            .failedPrecondition,
            "cannot read the TLS \(what) \(path): \(error); it must be a readable PEM file")
    }
}

/// Seconds since 1970.
struct CertificateEnds: Sendable, Equatable {
    var own: Double?
    var authority: Double?
}

extension NIOSSLCertificate {
    /// DNS names and IP addresses that the certificate is for.
    var names: [String] {
        _subjectAlternativeNames().compactMap { name in
            switch name.nameType {
            case .dnsName: return String(decoding: name.contents, as: UTF8.self)
            case .ipAddress:
                return (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: name.contents), port: 0))?
                    .ipAddress
            default: return nil
            }
        }
    }
}
