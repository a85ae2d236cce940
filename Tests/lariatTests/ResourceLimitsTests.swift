// What limits a process, from the texts of the system's files: hosts and containers as they are.

import Testing
import lariat

@Suite("Limits of processors and memory") struct ResourceLimitsTests {
    /// A host of 64 processors and 16 GiB, and more files.
    private func limits(allowed: String = "0-63", _ files: [String: String]) -> ResourceLimits {
        var all = files
        all["/sys/devices/system/cpu/online"] = "0-63\n"
        all["/proc/self/status"] =
            "Name:\tlariat\nCpus_allowed:\tff\nCpus_allowed_list:\t\(allowed)\nMems_allowed:\t1\n"
        all["/proc/meminfo"] =
            "MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"
        return ResourceLimits { all[$0] }
    }

    private static let two = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    private static let one = """
        30 23 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
        33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
        34 30 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:10 master:1 - cgroup cgroup rw,memory
        35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw

        """
    private let gib: UInt64 = 1 << 30

    @Test("Without control groups: affinity, and what is on")
    func affinity() {
        let all = limits([:])
        #expect((all.cores, all.mostThreads, all.coresText) == (64, 64, "64"))
        #expect(all.memoryBytes == 16 * gib && all.availableBytes == 8 * gib && all.memoryText == "16.0 GiB")
        let some = limits(allowed: "0,4-5", [:])
        #expect(
            some.allowedCores == [0, 4, 5] && some.cores == 3 && some.coresText == "3 of 64, by affinity")
        // The kernel's mask names processors that could be plugged in.
        #expect(limits(allowed: "0-255", [:]).cores == 64)
        let none = ResourceLimits { _ in nil }
        #expect(none.cores == 1 && none.memoryBytes == 0)
    }

    @Test("Version 2: the least of the whole path, and memory.high")
    func versionTwo() {
        let found = limits([
            "/proc/self/cgroup": "0::/a.slice/b.service\n", "/proc/self/mountinfo": Self.two,
            "/sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a.slice/cpu.max": "250000 100000\n",
            "/sys/fs/cgroup/a.slice/b.service/memory.max": "max\n",
            "/sys/fs/cgroup/a.slice/b.service/memory.high": "2147483648\n",
            "/sys/fs/cgroup/a.slice/b.service/memory.current": "1073741824\n",
            "/sys/fs/cgroup/a.slice/b.service/memory.stat":
                "anon 5\ninactive_file 268435456\nactive_file 268435456\nfile 999999999\n",
            "/sys/fs/cgroup/a.slice/memory.max": "4294967296\n",
            "/sys/fs/cgroup/a.slice/memory.current": "1073741824\n",
        ])
        #expect(found.quota?.value == 2.5 && found.quota?.group == "/a.slice")
        #expect((found.cores, found.mostThreads) == (2, 3))
        #expect(found.coresText == "2 of 64: control group /a.slice gives the time of 2.50")
        #expect(found.memoryBytes == 2 * gib)
        #expect(found.memoryText == "2.00 GiB of 16.0 GiB, by control group /a.slice/b.service")
        // Pages of files are dropped when room is needed.
        #expect(found.availableBytes == 2 * gib - (gib - gib / 2))
    }

    @Test("Version 1: its own hierarchies, no limit, nested groups")
    func versionOne() {
        let base = [
            "/proc/self/cgroup": "9:name=systemd:/x\n4:memory:/x/y\n3:cpuset:/\n2:cpu,cpuacct:/x/y\n0::/x\n",
            "/proc/self/mountinfo": Self.one,
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        ]
        let free = limits(base)
        #expect(
            free.quota == nil && free.memoryLimit == nil && free.cores == 64 && free.availableBytes == 8 * gib
        )
        let half = limits(
            base.merging([
                "/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us": "5000",
                "/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_period_us": "10000",
                "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "400000",
                "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
                "/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": "1073741824",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "536870912",
                "/sys/fs/cgroup/memory/x/memory.usage_in_bytes": "402653184",
                "/sys/fs/cgroup/memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 134217728\n",
            ]) { $1 })
        #expect(half.quota?.value == 0.5 && half.cores == 1 && half.mostThreads == 1)
        #expect(half.coresText == "1 of 64: control group /x/y gives the time of 0.50")
        #expect(half.memoryText == "512 MiB of 16.0 GiB, by control group /x")
        #expect(half.availableBytes == gib / 4)
    }

    @Test("A container: with a namespace of its own, or with the host's names")
    func containers() {
        let files = [
            "/sys/fs/cgroup/cpu.max": "150000 100000", "/sys/fs/cgroup/memory.max": "1073741824",
            "/sys/fs/cgroup/memory.current": "0",
        ]
        for (path, root) in [
            ("/", "/"), ("/docker/abc", "/docker/abc"), ("/docker/abc/inner", "/docker/abc"),
            // Moved out of the namespace's root, or a part of the tree that does not hold the name.
            ("/../other", "/"), ("/system.slice/x", "/docker/abc"),
        ] {
            let found = limits(
                files.merging([
                    "/proc/self/cgroup": "0::\(path)\n",
                    "/proc/self/mountinfo":
                        "7 6 0:2 \(root) /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n",
                ]) { $1 })
            #expect(found.quota?.value == 1.5 && found.quota?.group == root, "\(path) \(root)")
            #expect((found.cores, found.mostThreads) == (1, 2))
            #expect(found.memoryBytes == gib && found.availableBytes == gib)
        }
    }

    @Test("Mixed versions, names with blanks and colons, lines of no use")
    func oddities() {
        let found = limits([
            "/proc/self/cgroup": "nonsense\n1:cpu:/a b:c\n0::/a b:c\n",
            "/proc/self/mountinfo":
                "short\n33 30 0:29 / /sys/fs/cg\\040v1 rw - cgroup cgroup rw,cpu\n"
                + "35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            "/sys/fs/cg v1/a b:c/cpu.cfs_quota_us": "300000",
            "/sys/fs/cg v1/a b:c/cpu.cfs_period_us": "100000",
            "/sys/fs/cgroup/unified/a b:c/memory.max": "12", "/sys/fs/cgroup/unified/cpu.max": "x y",
            "/sys/fs/cgroup/unified/a b:c/memory.current": "99",
        ])
        #expect(found.cores == 3 && found.quota?.group == "/a b:c")
        #expect(found.memoryBytes == 12 && found.availableBytes == 0)
    }

    @Test("More than there is is told with figures")
    func excess() {
        let found = limits(allowed: "0-3", [:])
        func excess(_ threads: Int, _ memory: UInt64, _ model: UInt64 = 0, on cores: [Int] = []) -> [String] {
            found.excess(threads: threads, cores: cores, memoryBytes: memory, modelBytes: model)
        }
        #expect(excess(4, 15 * gib, gib).isEmpty && excess(4, gib, on: [0, 1, 2, 3]).isEmpty)
        #expect(
            excess(16, gib) == [
                "16 threads are more than the cores that it may use here: 4 of 64, by affinity"
            ])
        #expect(excess(2, gib, on: [0, 4]).first?.hasPrefix("core 4 is none that it may use here") == true)
        #expect(
            excess(1, 16 * gib, gib) == [
                "16.0 GiB for keys and values beside a model of 1.00 GiB are more than the memory here: 16.0 GiB"
            ])
        #expect(excess(1, .max, 1).count == 1 && excess(99, 48 * gib).count == 2)
        // What cannot be known is not refused.
        #expect(
            ResourceLimits { _ in nil }.excess(threads: 1, cores: [], memoryBytes: gib, modelBytes: 0).isEmpty
        )
    }
}
