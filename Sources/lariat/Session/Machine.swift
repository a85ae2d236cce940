// What this machine has to offer: processor, memory, limits.

import Foundation
internal import JSONText
internal import Kernels

/// Facts about the machine that this process runs on.
struct Machine {
    let isa: ISA
    let cores: Int
    let memoryBytes: UInt64
    let availableBytes: UInt64
    /// Open files allowed: soft limit.
    let fileLimit: UInt64

    static var current: Machine {
        let memory = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Machine(
            isa: .best, cores: usableCores(), memoryBytes: field("MemTotal", in: memory),
            availableBytes: field("MemAvailable", in: memory), fileLimit: UInt64(limit.rlim_cur))
    }

    /// Cores that this process may use: a container or taskset may leave fewer than there are.
    static func usableCores() -> Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }

    /// The processor as the system names it; empty where it has no name.
    static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("model name") }),
            let colon = line.firstIndex(of: ":")
        else { return "" }
        return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }

    /// The most memory that a process had so far, mapped files included, in bytes; 0 when it is gone.
    static func peakMemory(ofProcess pid: pid_t) -> UInt64 {
        field("VmHWM", in: (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? "")
    }

    /// A line of /proc/meminfo or of a process's status in bytes; 0 when it is not there.
    private static func field(_ name: String, in text: String) -> UInt64 {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name + ":") }),
            let digits = line.split(whereSeparator: \.isWhitespace).dropFirst().first,
            let kibibytes = UInt64(digits)
        else { return 0 }
        let (bytes, overflow) = kibibytes.multipliedReportingOverflow(by: 1024)
        return overflow ? 0 : bytes
    }

    private var bf16: String {
        switch isa {
        case .avx512bf16: "yes, in hardware"
        case .avx512: "yes, without its own instructions (slower)"
        case .avx2, .scalar: "no: dense products run in float32"
        }
    }

    func lines() -> [String] {
        var facts = FactList()
        facts.add("lariat", LariatVersion.current)
        facts.add("instruction set", isa.rawValue)
        facts.add("bf16", bf16)
        facts.add("cores", "\(cores)")
        facts.add("memory", "\(Quantity.bytes(memoryBytes)), \(Quantity.bytes(availableBytes)) available")
        facts.add("open files", "up to \(Quantity.count(fileLimit))")
        return facts.lines()
    }

    /// What could stand in the way, and what to do.
    var notes: [String] {
        fileLimit < 1024 ? ["only \(fileLimit) open files are allowed; raise it with `ulimit -n 4096`"] : []
    }

    var json: JSONValue {
        .object([
            ("version", .string(LariatVersion.current)), ("isa", .string(isa.rawValue)),
            ("bf16", .bool(isa >= .avx512)),
            ("cores", .integer(Int64(cores))), ("memory_bytes", .unsigned(memoryBytes)),
            ("available_bytes", .unsigned(availableBytes)), ("file_limit", .unsigned(fileLimit)),
        ])
    }
}
