// Ordinary OS threads for blocking work.
import Foundation

enum RingThread {
    /// Starts a detached thread; it ends when `body` returns.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread {
            // From within: only a thread that runs can be named for the system's tools.
            Thread.current.name = name
            body()
        }
        thread.stackSize = 1 << 19
        thread.start()
    }
}
