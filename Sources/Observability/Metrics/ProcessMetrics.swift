// What the system knows of this process, under the names that Prometheus clients have in common.

import Foundation

public enum ProcessMetrics {
    /// Reads /proc; a figure that cannot be read is left out.
    public static func current() -> [MetricFamily] {
        func read(_ path: String) -> String {
            (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        }
        return families(
            stat: read("/proc/self/stat"), systemStat: read("/proc/stat"), limits: read("/proc/self/limits"),
            openFiles: (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count,
            ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))),
            pageBytes: Double(sysconf(Int32(_SC_PAGESIZE))))
    }

    /// `stat`, `systemStat`, `limits`: text of /proc/self/stat, /proc/stat and /proc/self/limits.
    package static func families(
        stat: String, systemStat: String, limits: String, openFiles: Int?, ticksPerSecond: Double,
        pageBytes: Double
    ) -> [MetricFamily] {
        var families: [MetricFamily] = []
        // The second field is the program's name in parentheses and may itself hold spaces and parentheses, so
        // fields are counted from the last parenthesis: the first after it is field 3 of proc(5).
        let fields = stat.split(separator: ")").last.map { $0.split(whereSeparator: \.isWhitespace) } ?? []
        func field(_ number: Int) -> Double? {
            fields.indices.contains(number - 3) ? Double(fields[number - 3]) : nil
        }
        func gauge(_ name: String, _ help: String, _ value: Double?) {
            if let value { families.append(.gauge(name, help, value)) }
        }
        if let user = field(14), let system = field(15) {
            families.append(
                .counter(
                    "process_cpu_seconds_total", "Processor time used, in user and system mode.",
                    (user + system) / ticksPerSecond))
        }
        gauge("process_resident_memory_bytes", "Memory in RAM.", field(24).map { $0 * pageBytes })
        gauge("process_virtual_memory_bytes", "Address space in use.", field(23))
        gauge("process_threads", "Threads of the system.", field(20))
        gauge("process_open_fds", "Open files and sockets.", openFiles.map(Double.init))
        gauge("process_max_fds", "Files and sockets that may be open at once.", fileLimit(limits))
        if let boot = number(after: "btime", in: systemStat), let start = field(22) {
            gauge(
                "process_start_time_seconds", "When the process started, in seconds since 1970.",
                boot + start / ticksPerSecond)
        }
        return families
    }

    /// The soft limit of a line like "Max open files   1024   524288   files".
    private static func fileLimit(_ limits: String) -> Double? {
        let title = "Max open files"
        guard let line = limits.split(separator: "\n").first(where: { $0.hasPrefix(title) }) else {
            return nil
        }
        let value = line.dropFirst(title.count).split(separator: " ").first
        return value == "unlimited" ? .infinity : value.flatMap { Double($0) }
    }

    private static func number(after word: String, in text: String) -> Double? {
        for line in text.split(separator: "\n") where line.hasPrefix(word + " ") {
            return Double(line.dropFirst(word.count + 1))
        }
        return nil
    }
}
