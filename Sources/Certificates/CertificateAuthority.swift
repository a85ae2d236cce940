// An authority of a cluster's own, and the certificates that it signs: P-256, in PEM.
internal import Crypto
public import Foundation
internal import SwiftASN1
internal import X509

/// A certificate and its private key, both in PEM.
public struct Credentials: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    public let certificatePEM: String
    /// PKCS #8. Whoever writes it to a file does so with mode 0600.
    public let keyPEM: String

    public var description: String { "a certificate and its key (not shown)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Signs the certificates of a cluster.
public struct CertificateAuthority: Sendable {
    public static let authorityDays = 3650
    /// The longest that browsers and other clients accept from private authorities.
    public static let defaultDays = 825
    public static let allowedDays = 1...3650
    /// Clocks of hosts differ: certificates are valid from an hour before they are made.
    static let backdated: TimeInterval = 3600

    private let certificate: Certificate
    private let key: P256.Signing.PrivateKey
    public let credentials: Credentials

    /// A new authority, valid for ten years.
    /// - Parameter name: Its common name, 1 to 64 characters.
    public static func make(
        name: String = "Lariat cluster authority", at now: Date
    ) throws(CertificateError) -> CertificateAuthority {
        let key = P256.Signing.PrivateKey()
        return try wrapping("the authority cannot be made") {
            let publicKey = Certificate.PublicKey(key.publicKey)
            let subject = try distinguishedName(name)
            let certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
                notValidBefore: now - backdated, notValidAfter: now + TimeInterval(authorityDays) * 86_400,
                issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: Certificate.Extensions {
                    // It signs processes only, no further authorities.
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: publicKey)
                },
                issuerPrivateKey: Certificate.PrivateKey(key))
            return try CertificateAuthority(certificate: certificate, key: key)
        }
    }

    /// An authority from its files, to sign more with it or to renew what it signed.
    public init(certificatePEM: String, keyPEM: String) throws(CertificateError) {
        let certificate = try CertificateFacts.certificate(fromPEM: certificatePEM)
        guard try CertificateFacts(certificate).isAuthority else {
            throw CertificateError("the authority's certificate is none of an authority: it may sign nothing")
        }
        let key: P256.Signing.PrivateKey
        do { key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM) } catch {
            throw CertificateError("the authority's key is no P-256 key in PEM without a password")
        }
        guard Certificate.PublicKey(key.publicKey) == certificate.publicKey else {
            throw CertificateError("the authority's key does not belong to its certificate")
        }
        self = try Self.wrapping("the authority cannot be used") {
            try CertificateAuthority(certificate: certificate, key: key)
        }
    }

    private init(certificate: Certificate, key: P256.Signing.PrivateKey) throws {
        self.certificate = certificate
        self.key = key
        credentials = Credentials(
            certificatePEM: try certificate.serializeAsPEM().pemString + "\n",
            keyPEM: key.pemRepresentation + "\n")
    }

    /// A certificate for one process or client, with a new key, or for a key that it had before.
    ///
    /// It serves both ends of mutual TLS. It never outlives its authority.
    /// - Parameters:
    ///   - name: Its common name, 1 to 64 characters.
    ///   - hosts: Its subject alternative names: DNS names, IPv4 and IPv6 addresses; may be empty for a client.
    ///   - days: 1 to 3650.
    ///   - keyPEM: Its key, P-256 in PEM without a password; nil makes one.
    public func issue(
        name: String, hosts: [String], days: Int = CertificateAuthority.defaultDays, keyPEM: String? = nil,
        at now: Date
    ) throws(CertificateError) -> Credentials {
        guard Self.allowedDays.contains(days) else {
            throw CertificateError("\(days) days: choose \(Self.allowedDays.lowerBound) to 3650")
        }
        guard hosts.count <= 2048 else {
            throw CertificateError("\(hosts.count) hosts in one certificate; at most 2048 are allowed")
        }
        guard certificate.notValidAfter > now else {
            throw CertificateError(
                "the authority's certificate ended on \(certificate.notValidAfter.ISO8601Format()); make a new authority "
                    + "and new certificates for every process")
        }
        var names: [GeneralName] = []
        for host in hosts { names.append(try SubjectHost.generalName(host)) }
        let key: P256.Signing.PrivateKey
        do { key = try keyPEM.map { try .init(pemRepresentation: $0) } ?? .init() } catch {
            throw CertificateError("the key of \(name) is no P-256 key in PEM without a password")
        }
        let alternativeNames = names
        return try Self.wrapping("the certificate of \(name) cannot be made") {
            let publicKey = Certificate.PublicKey(key.publicKey)
            let certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
                notValidBefore: max(now - Self.backdated, self.certificate.notValidBefore),
                notValidAfter: min(now + TimeInterval(days) * 86_400, self.certificate.notValidAfter),
                issuer: self.certificate.subject, subject: try Self.distinguishedName(name),
                signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth, .clientAuth])
                    SubjectKeyIdentifier(hash: publicKey)
                    AuthorityKeyIdentifier(keyIdentifier: authorityKeyIdentifier)
                    if !alternativeNames.isEmpty { SubjectAlternativeNames(alternativeNames) }
                },
                issuerPrivateKey: Certificate.PrivateKey(self.key))
            return Credentials(
                certificatePEM: try certificate.serializeAsPEM().pemString + "\n",
                keyPEM: key.pemRepresentation + "\n")
        }
    }

    /// What the authority's own certificate says, or else what it would say.
    private var authorityKeyIdentifier: ArraySlice<UInt8> {
        let own = try? certificate.extensions.subjectKeyIdentifier
        return (own ?? SubjectKeyIdentifier(hash: certificate.publicKey)).keyIdentifier
    }

    private static func distinguishedName(_ name: String) throws -> DistinguishedName {
        let isName =
            (1...64).contains(name.count)
            && !name.unicodeScalars.contains { $0.properties.generalCategory == .control }
        guard isName else { throw CertificateError("a certificate's name has 1 to 64 characters") }
        return try DistinguishedName { CommonName(name) }
    }

    private static func wrapping<T>(_ what: String, _ body: () throws -> T) throws(CertificateError) -> T {
        do { return try body() } catch let error as CertificateError { throw error } catch {
            throw CertificateError("\(what): \(error)")
        }
    }
}
