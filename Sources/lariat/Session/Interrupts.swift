// SIGINT and SIGTERM as a stream; a second one ends the process at once.

@preconcurrency import Dispatch
import Foundation
import Synchronization

/// Catches the signals for as long as it lives.
final class Interrupts: Sendable {
    /// The signals that came, in order; the newest two are kept.
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    /// - Parameter secondEnds: Whether the second signal ends the process at once, with `ExitStatus.interrupted`.
    init(secondEnds: Bool) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Int32.self, bufferingPolicy: .bufferingNewest(2))
        self.stream = stream
        let queue = DispatchQueue(label: "signals")
        let seen = Seen()
        sources = [SIGINT, SIGTERM].map { number in
            // Dispatch sees a signal only beside its normal action, which would end the process.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if seen.next() > 1, secondEnds { _exit(ExitStatus.interrupted) }
                continuation.yield(number)
            }
            source.resume()
            return source
        }
    }

    deinit {
        for source in sources { source.cancel() }
        signal(SIGINT, SIG_DFL)
        signal(SIGTERM, SIG_DFL)
    }

    /// Waits for the next signal; nil when the task was cancelled.
    func next() async -> Int32? {
        var iterator = stream.makeAsyncIterator()
        return await iterator.next()
    }

    private final class Seen: Sendable {
        private let count = Mutex(0)
        func next() -> Int {
            count.withLock {
                $0 += 1
                return $0
            }
        }
    }
}
