// Where matrices, packed weights, keys and values live in memory.
internal import CLariatKernels

/// Memory on a 64-byte border; pieces of several MiB ask the system for huge pages.
public enum TensorMemory {
    /// `bytes` bytes, contents undefined and not touched, or nil when there is no memory. To be given to `release`.
    public static func allocate(bytes: Int) -> UnsafeMutableRawBufferPointer? {
        guard let start = unsafe lariat_allocate(bytes) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(start: start, count: bytes)
    }

    /// The same for rows that are written once, one after another, and stay: no huge pages are asked for, because the
    /// system may take longer to find each of them than writing takes.
    public static func allocateRows(bytes: Int) -> UnsafeMutableRawBufferPointer? {
        guard let start = unsafe lariat_allocate_rows(bytes) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(start: start, count: bytes)
    }

    /// The same where callers have bounded the size: running out is the end of the process.
    static func required(bytes: Int) -> UnsafeMutableRawPointer {
        guard let start = unsafe lariat_allocate(bytes) else {
            preconditionFailure("no memory for a tensor of \(bytes) bytes")
        }
        return unsafe start
    }

    public static func release(_ memory: UnsafeMutableRawPointer?) { unsafe lariat_release(memory) }
}
