// How many files this process may open.

import Foundation

/// The limit of open descriptors (RLIMIT_NOFILE).
enum OpenFiles {
    /// What the units under Ops/systemd ask for. More serves nothing, and some programs that inherit the limit walk
    /// through all of it.
    private static let enough: rlim_t = 65_536

    /// Raises the soft limit, which shells set to 1,024, to what this process may have without asking.
    static func raiseLimit() {
        var limit = current
        let wanted = min(limit.rlim_max, enough)
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = wanted
        // Whoever may not do this goes on with what there is: the ports take as many connections as fit.
        setrlimit(resource, &limit)
    }

    static var current: rlimit {
        var limit = rlimit()
        getrlimit(resource, &limit)
        return limit
    }

    private static var resource: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
}
