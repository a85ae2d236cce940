// The jobs that wait, first come, first served.

import Numerals

/// Ids of waiting jobs in the order of their journal numbers, up to a limit.
package struct JobQueue: Sendable {
    private var waiting: [(sequence: Int64, id: String)] = []
    /// Places promised to submissions that are being journalled.
    private var promised = 0
    package let limit: Int

    package init(limit: Int) { self.limit = limit }

    package var count: Int { waiting.count }
    package var first: String? { waiting.first?.id }
    package var ids: [String] { waiting.map(\.id) }

    /// Promises a place before the job is written down.
    package mutating func reserve() throws(CoordinatorError) {
        guard waiting.count + promised < limit else {
            throw CoordinatorError(
                .exhausted,
                "\(limit.grouped) jobs are waiting, which is the limit; submit again when some have finished")
        }
        promised += 1
    }

    /// The promise was for nothing.
    package mutating func release() { promised -= 1 }

    /// Takes the promised place.
    package mutating func enqueue(_ id: String, sequence: Int64) {
        promised -= 1
        restore(id, sequence: sequence)
    }

    /// A job from the journal; those that waited before a restart are never refused.
    package mutating func restore(_ id: String, sequence: Int64) {
        let at = waiting.lastIndex { $0.sequence < sequence }.map { $0 + 1 } ?? 0
        waiting.insert((sequence, id), at: at)
    }

    package mutating func remove(_ id: String) -> Bool {
        guard let at = waiting.firstIndex(where: { $0.id == id }) else { return false }
        waiting.remove(at: at)
        return true
    }

    /// 1: next; 0: not waiting.
    package func position(_ id: String) -> Int { (waiting.firstIndex { $0.id == id } ?? -1) + 1 }
}
