// Hosts as a certificate names them: DNS names, and addresses as bytes.
internal import Foundation
internal import SwiftASN1
internal import X509

enum SubjectHost {
    /// `text` is a DNS name, an IPv4 or an IPv6 address without brackets.
    static func generalName(_ text: String) throws(CertificateError) -> GeneralName {
        if let bytes = address(text) { return .ipAddress(ASN1OctetString(contentBytes: bytes[...])) }
        let isName =
            (1...253).contains(text.utf8.count) && !text.hasPrefix("-") && !text.hasPrefix(".")
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            }
        let looksLikeAddress = text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2e }
        guard isName, !looksLikeAddress else {
            throw CertificateError(
                "\(text.prefix(60).debugDescription) is neither a host's name nor an IP address")
        }
        return .dnsName(text)
    }

    /// As people write it; nil for what is no host.
    static func text(_ name: GeneralName) -> String? {
        switch name {
        case .dnsName(let name): return name
        case .ipAddress(let octets):
            let bytes = Array(octets.bytes)
            guard bytes.count == 4 || bytes.count == 16 else { return nil }
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            let family = bytes.count == 4 ? AF_INET : AF_INET6
            guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return nil }
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        default: return nil
        }
    }

    /// 4 or 16 bytes; nil for a name.
    static func address(_ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
        return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
    }
}
