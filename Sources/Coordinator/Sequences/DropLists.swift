// What workers are to forget: sequences that nobody will ask for, until each worker has been told.
package import Messages
import Numerals

/// Ids by worker. A worker that misses one says that it holds it when it registers again.
package struct DropLists: Sendable {
    /// For one worker; beyond that the oldest are not told.
    private static let most = 16_384
    /// In one reply.
    private static let atOnce = 1000
    /// Bytes of an id that a worker may say.
    private static let longestID = 128

    private var lists: [String: [String]] = [:]

    package init() {}

    package mutating func add(_ sequence: String, for worker: String) {
        lists[worker, default: []].append(sequence)
        if let count = lists[worker]?.count, count > Self.most { lists[worker]?.removeFirst() }
    }

    /// All that this worker has not been told, without telling it.
    package func pending(for worker: String) -> [String] { lists[worker] ?? [] }

    /// The next that this worker is told.
    package mutating func take(for worker: String) -> [String] {
        guard let list = lists[worker] else { return [] }
        let part = Array(list.prefix(Self.atOnce))
        lists[worker] = list.count > part.count ? Array(list.dropFirst(part.count)) : nil
        return part
    }

    package mutating func clear(_ worker: String) { lists[worker] = nil }

    /// Whether a worker may say that it holds these.
    package static func check(_ held: [HeldSequence], of worker: String) throws(CoordinatorError) {
        guard held.count <= most, held.allSatisfy({ $0.sequence.utf8.count <= longestID }) else {
            throw CoordinatorError(
                .invalid,
                "this worker cannot join: it says that it holds \(held.count.grouped) sequences; the limits are "
                    + "\(most.grouped), and \(longestID) bytes for the name of one")
        }
    }
}
