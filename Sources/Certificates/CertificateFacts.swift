// What a certificate file says: for checks before a cluster starts, and before its certificates end.
public import Foundation
internal import SwiftASN1
internal import X509

/// A certificate as far as people ask about it.
public struct CertificateFacts: Sendable {
    /// The subject's common name; the whole subject where there is none.
    public let name: String
    /// The issuer's, alike.
    public let issuer: String
    /// DNS names and addresses (without brackets) of the subject alternative names.
    public let hosts: [String]
    public let validFrom: Date
    public let validUntil: Date
    /// Whether it may sign others.
    public let isAuthority: Bool
    /// Whether it may be shown by a server, and by a client. Both are needed in a cluster.
    public let isForServers: Bool
    public let isForClients: Bool
    private let certificate: Certificate

    public static let largestFile = 1 << 20

    /// - Parameter pem: The first certificate in it counts; at most 1 MiB.
    public init(pem: String) throws(CertificateError) {
        try self.init(Self.certificate(fromPEM: pem))
    }

    init(_ certificate: Certificate) throws(CertificateError) {
        self.certificate = certificate
        name = Self.commonName(certificate.subject)
        issuer = Self.commonName(certificate.issuer)
        validFrom = certificate.notValidBefore
        validUntil = certificate.notValidAfter
        do {
            let extensions = certificate.extensions
            hosts = try extensions.subjectAlternativeNames?.compactMap { SubjectHost.text($0) } ?? []
            isAuthority =
                if case .isCertificateAuthority = try extensions.basicConstraints { true } else { false }
            let usages = try extensions.extendedKeyUsage.map(Array.init)
            isForServers = usages?.contains { $0 == .serverAuth || $0 == .any } ?? true
            isForClients = usages?.contains { $0 == .clientAuth || $0 == .any } ?? true
        } catch {
            throw CertificateError("the certificate of \(name) has a damaged extension: \(error)")
        }
    }

    /// Whether it is valid for connections to that host: a name (case does not matter), or an address in any form.
    public func covers(_ host: String) -> Bool {
        let host = String(host.prefix { $0 != "%" })
        if let address = SubjectHost.address(host) {
            return hosts.contains { SubjectHost.address($0) == address }
        }
        return hosts.contains { $0.lowercased() == host.lowercased() }
    }

    /// Whether that authority signed it.
    public func isSigned(by authority: CertificateFacts) -> Bool {
        authority.isAuthority && authority.certificate.subject == certificate.issuer
            && authority.certificate.publicKey.isValidSignature(certificate.signature, for: certificate)
    }

    /// Whether both are the same certificate.
    public func isSame(as other: CertificateFacts) -> Bool { certificate == other.certificate }

    /// Whether a private key in PEM belongs to it.
    public func isPair(withKeyPEM pem: String) -> Bool {
        guard pem.utf8.count <= Self.largestFile, let key = try? Certificate.PrivateKey(pemEncoded: pem)
        else { return false }
        return key.publicKey == certificate.publicKey
    }

    /// Whole days until it ends, rounded down; below zero afterwards.
    public func daysLeft(at now: Date) -> Int {
        Int((validUntil.timeIntervalSince(now) / 86_400).rounded(.down))
    }

    static func certificate(fromPEM pem: String) throws(CertificateError) -> Certificate {
        guard pem.utf8.count <= largestFile else {
            throw CertificateError("is larger than 1 MiB, the most that a file of certificates may have")
        }
        let documents: [PEMDocument]
        do { documents = try PEMDocument.parseMultiple(pemString: pem) } catch {
            throw CertificateError("is no PEM file: \(error)")
        }
        guard
            let document = documents.first(where: { $0.discriminator == Certificate.defaultPEMDiscriminator })
        else { throw CertificateError("has no certificate in it (-----BEGIN CERTIFICATE-----)") }
        do { return try Certificate(pemDocument: document) } catch {
            throw CertificateError("has a damaged certificate in it: \(error)")
        }
    }

    private static func commonName(_ name: DistinguishedName) -> String {
        for part in name {
            for attribute in part where attribute.type == .RDNAttributeType.commonName {
                return "\(attribute.value)"
            }
        }
        return "\(name)"
    }
}
