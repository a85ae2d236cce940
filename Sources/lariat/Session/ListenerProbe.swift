// Whether this host lets a process listen on an address: asked by doing it for a moment.

internal import Cluster
import Foundation

enum ListenerProbe {
    enum Problem: Equatable {
        case inUse
        case other(String)
    }

    /// nil: it does.
    static func problem(_ address: HostPort) -> String? {
        switch probe(address) {
        case .inUse: "something listens there already, perhaps this process itself"
        case .other(let text): text
        case nil: nil
        }
    }

    /// nil: it does.
    static func probe(_ address: HostPort) -> Problem? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let failed = getaddrinfo(address.host, String(address.port), &hints, &found)
        guard failed == 0, let first = found else { return .other(String(cString: gai_strerror(failed))) }
        defer { freeaddrinfo(found) }
        let info = first.pointee
        let descriptor = socket(info.ai_family, info.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return .other(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        // As servers do, so that connections that ended a moment ago do not matter.
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, info.ai_addr, info.ai_addrlen) == 0, listen(descriptor, 1) == 0 else {
            return switch errno {
            case EADDRINUSE: .inUse
            case EADDRNOTAVAIL: .other("this host has no such address")
            default: .other(String(cString: strerror(errno)))
            }
        }
        return nil
    }
}
