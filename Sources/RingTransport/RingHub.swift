// Finds the run that a block from another worker belongs to.
import Messages
import NIOCore
package import RPC
import Synchronization

/// The runs of this worker that take blocks now, by job.
package final class RingHub: Sendable {
    private let inboxes = Mutex<[String: RingInbox]>([:])

    package init() {}

    package func open(_ inbox: RingInbox) {
        inboxes.withLock { $0[inbox.session.job] = inbox }
    }

    package func close(_ inbox: RingInbox) {
        inboxes.withLock { inboxes in
            if inboxes[inbox.session.job] === inbox { inboxes[inbox.session.job] = nil }
        }
    }

    /// Takes one stream of `Ring.Exchange`: its first message says whose it is.
    /// - Parameter key: that the caller showed. Blocks are taken from members of the run only.
    package func exchange(key: String?, _ next: () async throws -> ReceivedMessage?) async throws {
        guard let first = try await next() else { return }
        let (header, _) = try first.bytes.withUnsafeReadableBytes { try RingHeader.split($0) }
        guard let inbox = inboxes.withLock({ $0[header.job] }) else {
            throw RPCStatus(.failedPrecondition, "job \(header.job) does not run on this worker")
        }
        guard let key, Self.equal(key, inbox.session.key) else {
            throw RPCStatus(
                .permissionDenied, "blocks of job \(header.job) are taken from its own workers only")
        }
        guard header.epoch == inbox.session.epoch else {
            throw RPCStatus(
                .failedPrecondition,
                "blocks of epoch \(header.epoch) are refused: job \(header.job) runs in epoch \(inbox.session.epoch)"
            )
        }
        try await inbox.receive(from: Int(header.fromRank), first: first, next: next)
    }

    /// In a time that does not tell where they differ.
    private static func equal(_ shown: String, _ key: String) -> Bool {
        let (a, b) = (Array(shown.utf8), Array(key.utf8))
        return a.count == b.count && zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
