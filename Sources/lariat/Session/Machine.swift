// What this machine has to offer: processor, memory, limits.

import Foundation
internal import JSONText
internal import Kernels
internal import Observability

/// Facts about the machine that this process runs on.
struct Machine {
    let isa: ISA
    let limits: ResourceLimits
    /// Open files allowed: soft limit.
    let fileLimit: UInt64

    static var current: Machine {
        Machine(isa: .best, limits: .current, fileLimit: UInt64(OpenFiles.current.rlim_cur))
    }

    /// Cores that this process may use: a container, a control group or taskset may leave fewer than there are.
    static func usableCores() -> Int { ResourceLimits.current.cores }

    /// What keys and values may use when nobody says, on a host with so many workers, in bytes: half of what is
    /// available.
    static func defaultMemory(workers: Int = 1) -> Int {
        max(1 << 20, Int(clamping: ResourceLimits.current.availableBytes / 2) / max(1, workers))
    }

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
        let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        return ResourceLimits.kibibytes(ResourceLimits.field("VmHWM", in: status))
    }

    /// What the processor makes of `precision: bf16`, which every processor computes.
    private var bf16: String {
        switch isa {
        case .avx512bf16: "in hardware"
        case .avx512: "yes, at the speed of float32 (the processor has no instructions for it)"
        case .avx2, .scalar:
            "yes, with matrix products in float32 (the processor has no instructions for it)"
        }
    }

    func lines() -> [String] {
        var facts = FactList()
        facts.add("lariat", LariatVersion.current)
        facts.add("instruction set", isa.rawValue)
        facts.add("precision bf16", bf16)
        facts.add("cores", limits.coresText)
        facts.add("memory", "\(limits.memoryText); \(Quantity.bytes(limits.availableBytes)) available")
        facts.add("open files", "up to \(Quantity.count(fileLimit))")
        return facts.lines()
    }

    /// What could stand in the way, and what to do.
    var notes: [String] {
        let shares = ConnectionShares.ofThisProcess(grpcPorts: 1, webPorts: 1)
        guard shares.isReduced else { return [] }
        return [
            "no more than \(Quantity.count(fileLimit)) files may be open, so a coordinator here takes "
                + "\(Quantity.count(UInt64(shares.grpc))) gRPC and \(Quantity.count(UInt64(shares.web))) web connections at most; "
                + "raise the hard limit: `ulimit -Hn 65536` as root, or LimitNOFILE=65536 in a systemd unit"
        ]
    }

    var json: JSONValue {
        .object([
            ("version", .string(LariatVersion.current)), ("isa", .string(isa.rawValue)),
            ("bf16", .bool(isa >= .avx512)),
            ("cores", .integer(Int64(limits.cores))), ("cores_text", .string(limits.coresText)),
            ("host_cores", .integer(Int64(limits.onlineCores))),
            ("memory_bytes", .unsigned(limits.memoryBytes)), ("memory_text", .string(limits.memoryText)),
            ("host_memory_bytes", .unsigned(limits.installedBytes)),
            ("available_bytes", .unsigned(limits.availableBytes)), ("file_limit", .unsigned(fileLimit)),
        ])
    }
}

extension ResourceLimits {
    /// Of this process, now.
    static var current: ResourceLimits {
        ResourceLimits { path in try? String(contentsOfFile: path, encoding: .utf8) }
    }
}
