// A word that one thread says once and others look for.
import Synchronization

/// Not set until somebody sets it. Says nothing about the order of what threads do before and after.
package final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    package init() {}

    package var isSet: Bool { value.load(ordering: .relaxed) }

    package func set() { value.store(true, ordering: .relaxed) }
}
