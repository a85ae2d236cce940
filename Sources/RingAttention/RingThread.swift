// Ordinary OS threads for blocking work.
import Foundation

package enum RingThread {
    /// Starts a detached thread; it ends when `body` returns.
    /// - Parameter name: for the system's tools; the first 15 bytes count.
    package static func start(
        _ name: String, stackBytes: Int = 1 << 19, _ body: @escaping @Sendable () -> Void
    ) {
        let thread = Thread {
            setName(name)
            body()
        }
        thread.stackSize = stackBytes
        thread.start()
    }

    /// Names the calling thread. Foundation's own way misses when the thread runs before its creator has noted its handle.
    private static func setName(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY)
        guard file >= 0 else { return }
        _ = Array(name.utf8).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        close(file)
    }
}
