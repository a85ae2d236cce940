// Working memory for each compute thread, kept between calls.

/// Growing buffers, a set for each thread. A thread touches only its own set, and only inside a parallel loop, so
/// nothing locks.
@safe
final class ThreadScratch: @unchecked Sendable {
    enum Use: Int, CaseIterable {
        case operand, weights, activations, oneDNN
    }

    private let buffers: UnsafeMutableBufferPointer<UnsafeMutableRawBufferPointer>

    init(threads: Int) {
        unsafe buffers = .allocate(capacity: threads * Use.allCases.count)
        unsafe buffers.initialize(repeating: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }

    deinit {
        for index in unsafe buffers.indices { unsafe buffers[index].deallocate() }
        unsafe buffers.deallocate()
    }

    /// At least `bytes` bytes on a 64-byte border, contents undefined. Valid until the next call with the same thread
    /// and use.
    func memory(_ use: Use, thread: Int, bytes: Int) -> UnsafeMutableRawPointer {
        let index = thread * Use.allCases.count + use.rawValue
        if let start = unsafe buffers[index].baseAddress, unsafe buffers[index].count >= bytes {
            return unsafe start
        }
        unsafe buffers[index].deallocate()
        let size = max(bytes, 4096)
        let start = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        unsafe buffers[index] = unsafe UnsafeMutableRawBufferPointer(start: start, count: size)
        return unsafe start
    }
}
