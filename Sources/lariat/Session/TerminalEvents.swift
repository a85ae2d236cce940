// What happens to a command that holds the terminal: keys, signals, a new size. Gathered until someone looks.

@preconcurrency import Dispatch
import Foundation
import Synchronization

/// Collects while it lives. Nothing is queued: many of one kind become one.
final class TerminalEvents<Message: Sendable>: Sendable {
    struct News: Sendable {
        /// The signal that asks to end.
        var ending: Int32?
        var keys: [Key] = []
        /// Ctrl-Z: give the terminal back and stop.
        var stops = false
        /// After a stop: the terminal must be taken anew.
        var continues = false
        /// Given by `post`, the last one.
        var message: Message?
    }

    /// More keys than anyone presses between two frames are dropped, but not the first that quits.
    private static var mostKeys: Int { 64 }

    private let news = Mutex(News())
    private let wakes: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation
    private let queue = DispatchQueue(label: "terminal")
    private let sources = Mutex<[any DispatchSourceProtocol]>([])
    private let reader = Mutex(KeyReader())

    private static var endings: [Int32] { [SIGINT, SIGTERM, SIGHUP] }

    init() {
        (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Catches signals, and keys where standard input is a terminal. A new size only wakes.
    /// - Parameter onDeaf: called, on another thread, when nobody has ended `patience` after being asked to.
    func begin(patience: Duration, onDeaf: @escaping @Sendable () -> Void) {
        for number in Self.endings {
            catchSignal(number) { [weak self] in
                guard let self else { return }
                post { $0.ending = number }
                let nanoseconds = Int(patience / .nanoseconds(1))
                queue.asyncAfter(deadline: .now() + .nanoseconds(nanoseconds), execute: onDeaf)
            }
        }
        catchSignal(SIGTSTP) { [weak self] in self?.post { $0.stops = true } }
        catchSignal(SIGCONT) { [weak self] in self?.post { $0.continues = true } }
        catchSignal(SIGWINCH) { [weak self] in self?.post { _ in } }
        guard Terminal.inputIsTerminal else { return }
        let source = DispatchSource.makeReadSource(fileDescriptor: STDIN_FILENO, queue: queue)
        source.setEventHandler { [weak self] in
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            guard let self, count > 0 else {
                source.cancel()
                return
            }
            let keys = reader.withLock { $0.keys(bytes.prefix(count)) }
            post { news in
                for key in keys where news.keys.count < Self.mostKeys || key == .quit {
                    news.keys.append(key)
                }
                if news.keys.count > Self.mostKeys { news.keys = [.quit] }
            }
        }
        source.activate()
        sources.withLock { $0.append(source) }
    }

    func end() {
        sources.withLock { sources in
            for source in sources { source.cancel() }
            sources = []
        }
        for number in Self.endings + [SIGTSTP, SIGCONT, SIGWINCH] { signal(number, SIG_DFL) }
        waker.finish()
    }

    func post(message: Message) { post { $0.message = message } }

    /// Nothing has happened but time.
    func wake() { waker.yield() }

    /// Waits until something happens, and takes it.
    func next() async -> News {
        var iterator = wakes.makeAsyncIterator()
        _ = await iterator.next()
        return news.withLock { news in
            defer { news = News() }
            return news
        }
    }

    private func post(_ change: (inout News) -> Void) {
        news.withLock { change(&$0) }
        waker.yield()
    }

    private func catchSignal(_ number: Int32, _ handler: @escaping @Sendable () -> Void) {
        // Dispatch sees a signal only beside its normal action.
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setEventHandler(handler: handler)
        source.activate()
        sources.withLock { $0.append(source) }
    }
}
