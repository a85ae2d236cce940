// Bytes of requests that no handler can use yet: a budget for each connection and one for the process.

import Numerals
import Synchronization

/// So many bytes and no more.
package struct ByteBudget: Sendable, Equatable {
    package let limit: Int
    package private(set) var held = 0

    package init(limit: Int) { self.limit = limit }

    /// Changes what one of those who share it holds. False, and no change: the limit does not bear it.
    package mutating func change(from old: Int, to new: Int) -> Bool {
        guard new <= old || held - old + new <= limit else { return false }
        held += new - old
        return true
    }
}

/// The budget that all connections of a process share.
package final class SharedByteBudget: Sendable {
    private let state: Mutex<ByteBudget>

    package init(limit: Int) { state = Mutex(ByteBudget(limit: limit)) }

    package func change(from old: Int, to new: Int) -> Bool {
        state.withLock { $0.change(from: old, to: new) }
    }

    package var held: Int { state.withLock { $0.held } }

    /// Of this process: as much as the web port gives to bodies.
    package static let ofThisProcess = SharedByteBudget(limit: 256 << 20)
}

/// What one connection holds, within its own budget and the shared one.
package struct RequestMemory: Sendable {
    private var own: ByteBudget
    private let shared: SharedByteBudget

    package init(limit: Int, shared: SharedByteBudget) {
        own = ByteBudget(limit: limit)
        self.shared = shared
    }

    package var held: Int { own.held }

    /// What one call holds has changed. The call is to end when this throws; what it held is counted until it is given
    /// back, by a change to 0.
    package mutating func change(from old: Int, to new: Int) throws(RPCStatus) {
        guard own.change(from: old, to: new) else {
            throw RPCStatus(
                .resourceExhausted,
                "incomplete messages of this connection hold more than \(own.limit.grouped) bytes: send fewer at a time"
            )
        }
        guard shared.change(from: old, to: new) else {
            _ = own.change(from: new, to: old)
            throw RPCStatus(
                .resourceExhausted, "incomplete messages of all clients hold too much memory: try again later"
            )
        }
    }
}
