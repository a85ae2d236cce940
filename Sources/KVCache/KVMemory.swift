// How much memory keys and values may take in this process, and how much they take.
import Numerals
import Synchronization

/// A budget in bytes for all pages of a process. Pages take from it when they are made and give back when their last
/// owner lets go, so that what several sequences share counts once.
public final class KVMemory: Sendable {
    /// Most bytes of pages.
    public let limit: Int
    private let taken = Atomic<Int>(0)

    public init(limit: Int) { self.limit = limit }

    /// Bytes of the pages that there are.
    public var used: Int { taken.load(ordering: .relaxed) }

    /// Bytes that are left.
    public var free: Int { max(0, limit - used) }

    func take(_ bytes: Int) throws(KVError) {
        while true {
            let used = taken.load(ordering: .relaxed)
            let (sum, overflow) = used.addingReportingOverflow(bytes)
            guard !overflow, sum <= limit else {
                throw .memory(needed: bytes, free: max(0, limit - used), limit: limit)
            }
            if taken.compareExchange(expected: used, desired: sum, ordering: .relaxed).exchanged { return }
        }
    }

    func give(_ bytes: Int) { taken.subtract(bytes, ordering: .relaxed) }
}

/// Why keys and values cannot be held.
public enum KVError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes that are needed, that are left, and that keys and values may use in all.
    case memory(needed: Int, free: Int, limit: Int)
    /// The system has no memory, though the limit would allow it.
    case system(needed: Int)

    public var description: String {
        switch self {
        case .memory(let needed, let free, let limit):
            "\(needed.grouped) bytes are needed for keys and values, and \(free.grouped) of \(limit.grouped) are free; give "
                + "the worker more memory, or the job more workers"
        case .system(let needed):
            "the system has no \(needed.grouped) bytes for keys and values; give the worker less memory, or the host more"
        }
    }
}
