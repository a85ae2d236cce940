// Which control groups hold a process, in versions 1 and 2: from the texts of /proc/self/cgroup and /proc/self/mountinfo.
// Source: cgroups(7), proc(5).

/// A control group whose files are mounted here, and its parents up to the root of the mount.
package struct ControlGroup: Equatable, Sendable {
    package enum Version: Equatable, Sendable { case one, two }

    package let version: Version
    /// As the system names it, e.g. `/system.slice/lariat.service`.
    package let name: String
    /// The folder of its files.
    package let folder: String

    /// The groups of this process that a controller (`cpu`, `memory`) may limit: each hierarchy from the process's own
    /// group up to the highest that is mounted.
    ///
    /// A container may see only a part of the hierarchy, mounted at its own group; then that is the highest.
    package static func all(
        limitedBy controller: String, cgroup: String, mountinfo: String
    ) -> [ControlGroup] {
        var groups: [ControlGroup] = []
        let mounts = mountinfo.split(separator: "\n").compactMap { Mount(line: $0) }
        for line in cgroup.split(separator: "\n") {
            // hierarchy:controllers:path; the path may hold colons.
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let version: Version
            if fields[0] == "0", fields[1].isEmpty {
                version = .two
            } else if fields[1].split(separator: ",").contains(Substring(controller)) {
                version = .one
            } else {
                continue
            }
            guard let mount = mounts.last(where: { $0.version == version && $0.has(controller) }) else {
                continue
            }
            groups += mount.groups(from: String(fields[2]))
        }
        return groups
    }

    /// A mounted hierarchy.
    private struct Mount {
        let version: Version
        /// The group that is seen at `folder`.
        let root: String
        let folder: String
        private let options: [Substring]

        /// A line of mountinfo; nil: of something else.
        init?(line: Substring) {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else {
                return nil
            }
            switch fields[dash + 1] {
            case "cgroup": version = .one
            case "cgroup2": version = .two
            default: return nil
            }
            root = Self.unescaped(fields[3])
            folder = Self.unescaped(fields[4])
            options = fields[dash + 3].split(separator: ",")
        }

        func has(_ controller: String) -> Bool { version == .two || options.contains(Substring(controller)) }

        /// The group of that path and all above it.
        func groups(from path: String) -> [ControlGroup] {
            var names = path.split(separator: "/")
            let above = root.split(separator: "/")
            // A path elsewhere: this part of the hierarchy holds the process, but not under a name that we know.
            if names.starts(with: above), !names.contains("..") {
                names.removeFirst(above.count)
            } else {
                names = []
            }
            return (0...names.count).reversed().map { count in
                let below = names[..<count]
                return ControlGroup(
                    version: version, name: "/" + (above + below).joined(separator: "/"),
                    folder: ([folder == "/" ? "" : folder] + below.map(String.init)).joined(separator: "/"))
            }
        }

        /// Blanks and backslashes stand there as three octal digits.
        private static func unescaped(_ text: Substring) -> String {
            var bytes: [UInt8] = []
            var rest = Array(text.utf8)[...]
            while let byte = rest.popFirst() {
                let digits = rest.prefix(3)
                if byte == UInt8(ascii: "\\"), digits.count == 3,
                    let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
                {
                    bytes.append(value)
                    rest = rest.dropFirst(3)
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}
