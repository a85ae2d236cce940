// Mutual TLS from three files, and the names in a peer's certificate.

import NIOCore
import NIOSSL

extension TLSFiles {
    /// Clients must show a certificate of `ca`; ALPN h2; TLS 1.2 at least.
    func serverContext() throws(RPCStatus) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try chain(), privateKey: .privateKey(try privateKey()))
        // For a server "no host name" means: the chain is verified and a certificate is required.
        configuration.certificateVerification = .noHostnameVerification
        return try context(configuration)
    }

    /// The server's certificate must be of `ca` and name the host or address that was dialled.
    func clientContext() throws(RPCStatus) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = try chain()
        configuration.privateKey = .privateKey(try privateKey())
        configuration.certificateVerification = .fullVerification
        return try context(configuration)
    }

    private func context(_ configuration: TLSConfiguration) throws(RPCStatus) -> NIOSSLContext {
        var configuration = configuration
        configuration.applicationProtocols = ["h2"]
        configuration.minimumTLSVersion = .tlsv12
        do {
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(ca))
        } catch {
            throw unreadable("CA certificate", ca, error)
        }
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw RPCStatus(.failedPrecondition, "the TLS files do not fit together: \(error)")
        }
    }

    private func chain() throws(RPCStatus) -> [NIOSSLCertificateSource] {
        do { return try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) } } catch {
            throw unreadable("certificate", certificate, error)
        }
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
