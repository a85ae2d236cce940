// Why a certificate cannot be made or read.

/// Says what is wrong and what to do. Never holds a part of a key.
public struct CertificateError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
