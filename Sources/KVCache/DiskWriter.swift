// Writes kept sequences to disk behind the computation: a thread of its own, and a bounded queue before it.
import Dispatch
import Glibc
import RingAttention
import Synchronization

/// The thread that copies sequences into a folder, one after another, and deletes what nobody needs any more. It holds
/// the pages that it has to write, and no copies of them.
final class DiskWriter: Sendable {
    private struct Copy: Sendable {
        let name: String
        let part: SequencePart
        let unwanted = Flag()
    }

    private struct State {
        var waiting: [Copy] = []
        var active: Copy?
        var isClosed = false
        /// There may be files to delete.
        var mustSweep = false
        var isRunning = false
    }

    private let folder: KVFolder
    private let capacity: Int
    private let state = Mutex(State())
    private let wakes = DispatchSemaphore(value: 0)
    /// Entered by every copy that waits or is written.
    private let copies = DispatchGroup()
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameter capacity: most sequences that wait.
    init(folder: KVFolder, capacity: Int) {
        self.folder = folder
        self.capacity = max(1, capacity)
    }

    /// Queues a copy, in the place of one of the same name that waits. When too many wait, the oldest one is left unwritten.
    func add(_ part: SequencePart, as name: String) {
        cancel(name)
        var dropped: Copy?
        let isFirst = state.withLock { state -> Bool? in
            guard !state.isClosed else { return nil }
            if state.waiting.count >= capacity { dropped = state.waiting.removeFirst() }
            copies.enter()
            state.waiting.append(Copy(name: name, part: part))
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if let dropped {
            copies.leave()
            folder.count { $0.notWritten += 1 }
            folder.tell(.queueFull(sequence: dropped.name, waiting: capacity))
        }
        guard let isFirst else { return }
        if isFirst { RingThread.start("lariat kv disk") { self.work() } }
        wakes.signal()
    }

    /// Whether a copy of that name waits or is being written.
    func isPending(_ name: String) -> Bool { pending.contains(name) }

    var pending: Set<String> {
        state.withLock { state in
            var names = Set(state.waiting.map(\.name))
            if let active = state.active, !active.unwanted.isSet { names.insert(active.name) }
            return names
        }
    }

    /// No copy of that name is made that has not been yet.
    func cancel(_ name: String) {
        let gone = state.withLock { state in
            if state.active?.name == name { state.active?.unwanted.set() }
            let gone = state.waiting.filter { $0.name == name }
            if !gone.isEmpty { state.waiting.removeAll { $0.name == name } }
            return gone
        }
        for _ in gone { copies.leave() }
    }

    /// Gives up the copy that has waited longest, or else the one that is being written.
    /// - Returns: whether there was one, and it has let go of its pages.
    func cancelOldest(within limit: Duration) -> Bool {
        let (oldest, active) = state.withLock { state -> (Copy?, Copy?) in
            guard state.waiting.isEmpty else { return (state.waiting.removeFirst(), nil) }
            return (nil, state.active)
        }
        if oldest != nil {
            copies.leave()
            return true
        }
        guard let active else { return false }
        active.unwanted.set()
        return settle(within: limit)
    }

    /// Deletes files that nobody needs, soon.
    func sweepSoon() {
        let isFirst = state.withLock { state -> Bool? in
            guard !state.isClosed else { return nil }
            state.mustSweep = true
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard let isFirst else { return }
        if isFirst { RingThread.start("lariat kv disk") { self.work() } }
        wakes.signal()
    }

    /// Waits until every copy has been written or given up.
    /// - Returns: whether that was so in time.
    func settle(within limit: Duration) -> Bool {
        copies.wait(timeout: .now() + .milliseconds(Int(limit / .milliseconds(1)))) == .success
    }

    /// Ends the thread, which gives up what it has not written, and waits for that a while.
    func close(within limit: Duration) {
        let (waiting, isRunning) = state.withLock { state in
            state.isClosed = true
            state.active?.unwanted.set()
            defer { state.waiting = [] }
            return (state.waiting, state.isRunning)
        }
        for _ in waiting { copies.leave() }
        guard isRunning else { return }
        wakes.signal()
        if ended.wait(timeout: .now() + .milliseconds(Int(limit / .milliseconds(1)))) == .success {
            ended.signal()
        }
    }

    private func work() {
        // As little in the way of the computation as can be. By default the system derives from this how urgent its reads
        // and writes are, too.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        while true {
            let (mustSweep, isClosed) = state.withLock { state in
                defer { state.mustSweep = false }
                return (state.mustSweep, state.isClosed)
            }
            if mustSweep { folder.sweep() }
            if writeNext() {
                // Its pages have been let go of.
                copies.leave()
            } else if isClosed {
                break
            } else {
                wakes.wait()
            }
        }
        ended.signal()
    }

    /// - Returns: whether there was a copy to write.
    private func writeNext() -> Bool {
        let next = state.withLock { state in
            state.active = state.waiting.isEmpty ? nil : state.waiting.removeFirst()
            return state.active
        }
        guard let next else { return false }
        folder.write(next.part, as: next.name) { !next.unwanted.isSet }
        state.withLock { $0.active = nil }
        return true
    }
}
