// What signals do to a chat: they stop an answer, or end the chat.

import Foundation
import Synchronization

/// SIGINT and SIGTERM, from `begin` on.
final class ChatSignals: Sendable {
    private struct State {
        /// Of the answer that is awaited.
        var stops: AsyncStream<Void>.Continuation?
        var wantsEnd = false
    }
    private let state = Mutex(State())

    /// Whether the chat is to end when the answer is over.
    var wantsEnd: Bool { state.withLock { $0.wantsEnd } }

    /// - Parameters:
    ///   - keepsLine: whether SIGINT does nothing while no answer is awaited: a terminal's Ctrl-C that came late.
    ///   - onEnd: called, on another thread, when the chat is to end and no answer is awaited. It ends the process.
    /// - Returns: what watches until it is cancelled.
    func begin(keepsLine: Bool, onEnd: @escaping @Sendable () -> Void) -> Task<Void, Never> {
        let interrupts = Interrupts(secondEnds: false)
        return Task { [self] in
            while let number = await interrupts.next() {
                let isAwaited = state.withLock { state in
                    if number != SIGINT { state.wantsEnd = true }
                    state.stops?.yield()
                    return state.stops != nil
                }
                if !isAwaited, number != SIGINT || !keepsLine { onEnd() }
            }
        }
    }

    /// An answer is awaited: a value comes for each signal, of which two are kept.
    func awaitAnswer() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(2))
        state.withLock { $0.stops = continuation }
        return stream
    }

    func answerIsOver() {
        state.withLock { state in
            state.stops?.finish()
            state.stops = nil
        }
    }
}
