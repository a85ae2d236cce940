// Ordinary OS threads for blocking work.
import Foundation

enum RingThread {
    /// Starts a detached thread; it ends when `body` returns.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let thread = Thread { body() }
        thread.name = name
        thread.stackSize = 1 << 19
        thread.start()
    }
}
