// What a page is told of the jobs that run or wait: only what has changed, and not too much of it at once.

/// What one follower has been told. A value: the jobs' versions go in, what to tell comes out.
package struct JobNews: Sendable {
    /// What to tell now.
    package struct Telling: Equatable, Sendable {
        /// Jobs that have changed; those that were told of longest ago first.
        package var changed: [String] = []
        /// Jobs that run or wait no more.
        package var ended: [String] = []
        /// The waiting jobs in order, when that has changed.
        package var queue: [String]?

        package init(changed: [String] = [], ended: [String] = [], queue: [String]? = nil) {
            self.changed = changed
            self.ended = ended
            self.queue = queue
        }
    }

    private struct Told: Sendable {
        var version: UInt64
        var look: UInt64
    }
    private var told: [String: Told] = [:]
    private var queue: [String] = []
    private var look: UInt64 = 0
    private let most: Int

    /// - Parameter most: jobs to tell of at once; the others wait for the next look.
    package init(most: Int = 50) { self.most = most }

    /// - Parameters:
    ///   - versions: of all jobs that run or wait; a number that changes with what there is to tell.
    ///   - queue: those that wait, the next one first. Their places are told by this alone: when the queue moves on,
    ///     no job has changed.
    package mutating func look(_ versions: [String: UInt64], queue newest: [String]) -> Telling {
        look += 1
        var telling = Telling()
        telling.ended = Array(told.keys.filter { versions[$0] == nil }.sorted().prefix(most))
        for id in telling.ended { told[id] = nil }
        telling.changed = Array(
            versions.filter { told[$0.key]?.version != $0.value }.keys
                .map { (id: $0, look: told[$0]?.look ?? 0) }
                .sorted { ($0.look, $0.id.utf8.count, $0.id) < ($1.look, $1.id.utf8.count, $1.id) }
                .prefix(most - telling.ended.count).map(\.id))
        for id in telling.changed { told[id] = Told(version: versions[id] ?? 0, look: look) }
        if newest != queue {
            queue = newest
            telling.queue = newest
        }
        return telling
    }
}
