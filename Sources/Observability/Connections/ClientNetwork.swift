// What counts as one client when connections are shared out.

import Foundation

/// An IPv4 address, or the 64 bits of an IPv6 address that name a network: whoever has one of its addresses has all.
package struct ClientNetwork: Hashable {
    package let name: String

    /// - Parameter ip: an address as text; what is none stands for itself.
    package init(ip: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        guard inet_pton(AF_INET6, String(ip.prefix { $0 != "%" }), &bytes) == 1 else {
            name = ip
            return
        }
        // An IPv4 address as an IPv6 socket shows it.
        let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        name =
            isMapped
            ? bytes.suffix(4).map(String.init).joined(separator: ".")
            : bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ":")
    }
}
