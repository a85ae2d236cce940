// Processors and memory that a process may use, and what limits them: affinity and control groups. Pure: it is given the
// texts of the system's files.

/// What this process may use of its host.
package struct ResourceLimits: Equatable, Sendable {
    /// A limit and the control group that sets it.
    package struct Bound<Value: Equatable & Sendable>: Equatable, Sendable {
        package let value: Value
        package let group: String
    }

    /// Processors of the host that are on.
    package let onlineCores: Int
    /// Numbers of those that this process may run on, by its affinity or a cpuset; rising.
    package let allowedCores: [Int]
    /// The smallest quota of processor time, in processors; nil: none.
    package let quota: Bound<Double>?
    /// Of the host, in bytes.
    package let installedBytes: UInt64
    /// The smallest limit of memory below what is installed, in bytes; nil: none.
    package let memoryLimit: Bound<UInt64>?
    /// What the host and every limit leave free now, in bytes.
    package let availableBytes: UInt64

    /// Reads the files of /proc and of the control groups.
    /// - Parameter text: Gives a file's text; nil: it is not there, or cannot be read.
    package init(reading text: (_ path: String) -> String?) {
        let online = Self.numbers(text("/sys/devices/system/cpu/online") ?? "")
        let affinity = Self.numbers(
            Self.field("Cpus_allowed_list", in: text("/proc/self/status") ?? "") ?? "")
        // The mask may name processors that are off, or not even there.
        let both = affinity.intersection(online)
        allowedCores = (both.isEmpty ? affinity.isEmpty ? online : affinity : both).sorted()
        onlineCores = max(online.count, allowedCores.count)

        let memory = text("/proc/meminfo") ?? ""
        installedBytes = Self.kibibytes(Self.field("MemTotal", in: memory))
        var available = Self.kibibytes(Self.field("MemAvailable", in: memory))

        let cgroup = text("/proc/self/cgroup") ?? ""
        let mountinfo = text("/proc/self/mountinfo") ?? ""
        var quota: Bound<Double>?
        for group in ControlGroup.all(limitedBy: "cpu", cgroup: cgroup, mountinfo: mountinfo) {
            if let value = Self.quota(group, text), value < quota?.value ?? .infinity {
                quota = Bound(value: value, group: group.name)
            }
        }
        self.quota = quota
        var limit: Bound<UInt64>?
        for group in ControlGroup.all(limitedBy: "memory", cgroup: cgroup, mountinfo: mountinfo) {
            guard let value = Self.memory(group, text), value < installedBytes || installedBytes == 0 else {
                continue
            }
            if value < limit?.value ?? .max { limit = Bound(value: value, group: group.name) }
            let used = min(value, Self.memoryUsed(group, text))
            available = min(available, value - used)
        }
        memoryLimit = limit
        availableBytes = available
    }

    /// How many threads compute when nobody says: one for each processor that is there for the whole time. What a quota
    /// leaves beyond whole processors is for the network.
    package var cores: Int { max(1, min(allowedCores.count, quota.map { Int($0.value) } ?? .max)) }

    /// The most threads that can compute at once.
    package var mostThreads: Int {
        max(1, min(allowedCores.count, quota.map { Int($0.value.rounded(.up)) } ?? .max))
    }

    /// The memory that there is: the host's, or the smallest limit.
    package var memoryBytes: UInt64 { memoryLimit?.value ?? installedBytes }

    // MARK: Files

    private static func quota(_ group: ControlGroup, _ text: (String) -> String?) -> Double? {
        let time: Double?
        let period: Double?
        switch group.version {
        case .one:
            time = text(group.folder + "/cpu.cfs_quota_us").flatMap { Double(trimming($0)) }
            period = text(group.folder + "/cpu.cfs_period_us").flatMap { Double(trimming($0)) }
        case .two:
            // `max 100000`, or the time and its period.
            let fields = (text(group.folder + "/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
            time = fields.first.flatMap { Double($0) }
            period = fields.dropFirst().first.flatMap { Double($0) }
        }
        // -1: no quota.
        guard let time, let period, time > 0, period > 0 else { return nil }
        return time / period
    }

    /// Above `memory.high` a process is slowed until it hardly runs, so that it is as good as a limit.
    private static func memory(_ group: ControlGroup, _ text: (String) -> String?) -> UInt64? {
        let files =
            switch group.version {
            case .one: ["memory.limit_in_bytes"]
            case .two: ["memory.max", "memory.high"]
            }
        return files.compactMap { text("\(group.folder)/\($0)").flatMap { UInt64(trimming($0)) } }.min()
    }

    /// Without pages of files, which are dropped when room is needed.
    private static func memoryUsed(_ group: ControlGroup, _ text: (String) -> String?) -> UInt64 {
        let (file, prefix) =
            switch group.version {
            case .one: ("memory.usage_in_bytes", "total_")
            case .two: ("memory.current", "")
            }
        let used = text("\(group.folder)/\(file)").flatMap { UInt64(trimming($0)) } ?? 0
        var cached: UInt64 = 0
        for line in (text("\(group.folder)/memory.stat") ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count == 2, ["\(prefix)inactive_file", "\(prefix)active_file"].contains(fields[0])
            else { continue }
            cached = cached.addingReportingOverflow(UInt64(fields[1]) ?? 0).partialValue
        }
        return used - min(used, cached)
    }

    /// A line `NAME: value` of a file of /proc.
    static func field(_ name: String, in text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
            return trimming(line.dropFirst(name.utf8.count + 1))
        }
        return nil
    }

    /// `1234 kB` in bytes; 0 when it is no number.
    static func kibibytes(_ field: String?) -> UInt64 {
        guard let digits = field?.split(separator: " ").first, let count = UInt64(digits) else { return 0 }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 1024)
        return overflow ? 0 : bytes
    }

    /// `0-3,8,10-11`, of at most 65,536 processors.
    private static func numbers(_ text: String) -> Set<Int> {
        var found: Set<Int> = []
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = part.split(separator: "-").map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0, first <= last,
                last < 65_536
            else { continue }
            found.formUnion(first...last)
        }
        return found
    }

    private static func trimming(_ text: some StringProtocol) -> String {
        var rest = text[text.startIndex...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}

// MARK: In words

extension ResourceLimits {
    /// `64`, `2 of 64, by affinity`, or `1 of 64: control group /x/y gives 0.5 of a processor's time`.
    package var coresText: String {
        if let quota, quota.value < Double(allowedCores.count) {
            let time = Quantity.number(quota.value, decimals: quota.value < 10 ? 2 : 0)
            return "\(cores) of \(onlineCores): control group \(quota.group) gives the time of \(time)"
        }
        return allowedCores.count < onlineCores
            ? "\(allowedCores.count) of \(onlineCores), by affinity" : "\(onlineCores)"
    }

    /// `23.5 GiB`, or `512 MiB of 23.5 GiB, by control group /x/y`.
    package var memoryText: String {
        guard let memoryLimit else { return Quantity.bytes(installedBytes) }
        return "\(Quantity.bytes(memoryLimit.value)) of \(Quantity.bytes(installedBytes)), by control group "
            + memoryLimit.group
    }

    /// What a worker would need that is not there, each with figures; empty: all is there.
    /// - Parameters:
    ///   - cores: Processors that threads are bound to; empty: none.
    ///   - memoryBytes: For keys and values.
    ///   - modelBytes: The size of the model file, which comes on top; 0: not known.
    package func excess(
        threads: Int, cores: [Int], memoryBytes: UInt64, modelBytes: UInt64
    ) -> [String] {
        var found: [String] = []
        if let core = cores.first(where: { !allowedCores.contains($0) }) {
            found.append("core \(core) is none that it may use here (it may use \(coresText))")
        } else if threads > mostThreads {
            found.append(
                "\(threads) threads are more than the cores that it may use here: \(coresText)")
        }
        let (needed, overflow) = memoryBytes.addingReportingOverflow(modelBytes)
        if self.memoryBytes > 0, overflow || needed > self.memoryBytes {
            let model = modelBytes == 0 ? "" : " beside a model of \(Quantity.bytes(modelBytes))"
            found.append(
                "\(Quantity.bytes(memoryBytes)) for keys and values\(model) are more than the memory here: \(memoryText)"
            )
        }
        return found
    }
}
