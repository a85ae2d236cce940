// A worker's folder of kept sequences: the lock, what was there at the start, and what is in it now.
import Foundation
import Glibc
import Kernels
import Synchronization

/// Kept sequences on disk. One process at a time uses a folder. All files in it are found, checked and counted when it
/// is opened; what no manifest names is deleted then, except what a newer program wrote.
///
/// Calls block on the disk: they are not for task threads, unless their documentation says so.
public final class KVFolder: Sendable {
    /// What decides the bits of rows, their rotary profile apart: model, precision, kernels.
    public let identity: String
    public let shape: KVShape
    /// Most bytes of all files.
    public let quota: Int

    /// What is counted since the start.
    public struct Counts: Sendable, Equatable {
        public var pagesRead = 0
        public var bytesRead = 0
        public var pagesWritten = 0
        public var bytesWritten = 0
        /// Copies that were found damaged, missing, late or of something else.
        public var unusable = 0
        /// Sequences that went because others needed the room.
        public var evicted = 0
        /// Sequences that stayed without a copy.
        public var notWritten = 0
    }

    /// A page that memory holds, for as long as it does.
    struct WeakPage { weak var page: KVPage? }

    struct State {
        var catalog: DiskCatalog
        /// By file; what has gone is swept out now and then.
        var pages: [PageID: WeakPage] = [:]
        var counts = Counts()
        /// Manifests of newer programs: they stay, and so do all pages that nobody knows.
        var newerManifests: Set<String> = []
        /// nil: closed.
        var lock: Int32?
        /// Since when nothing can be written.
        var patience = DiskPatience()
    }

    let path: String
    let disk: any DiskCalls
    let state: Mutex<State>
    /// Late ones hold a thread and the memory of a page each until the disk answers.
    let loads = BoundedWork(most: 4)
    private let report: @Sendable (KVDiskFault) -> Void

    var file: PageFile { PageFile(disk: disk, folder: path) }

    private static let lockName = "lock"
    /// Most names in a folder: what it may hold and half as much again.
    private static let mostNames = 1 << 21

    /// Opens a folder, or makes it.
    /// - Parameters:
    ///   - path: of the folder, which must not be used for anything else.
    ///   - identity: what decides the bits of rows: of other numbers nothing is used.
    ///   - quota: most bytes of all files.
    ///   - report: told what goes wrong, on any thread.
    public convenience init(
        path: String, identity: String, shape: KVShape, quota: Int,
        report: @escaping @Sendable (KVDiskFault) -> Void
    ) throws(KVFolderError) {
        try self.init(
            path: path, identity: identity, shape: shape, quota: quota, disk: SystemDisk(), report: report)
    }

    package init(
        path: String, identity: String, shape: KVShape, quota: Int, disk: any DiskCalls,
        report: @escaping @Sendable (KVDiskFault) -> Void
    ) throws(KVFolderError) {
        self.path = path
        self.identity = identity
        self.shape = shape
        self.quota = quota
        self.disk = disk
        self.report = report
        let lock: Int32
        do throws(DiskError) {
            try disk.makeFolder(path)
            lock = try disk.lock("\(path)/\(Self.lockName)")
        } catch {
            throw error.number == EWOULDBLOCK ? .locked(path: path) : .system(path: path, error)
        }
        do throws(DiskError) {
            let found = try FolderContents(
                path: path, identity: identity, quota: quota, disk: disk,
                names: disk.list(path, limit: Self.mostNames))
            state = Mutex(
                State(catalog: found.catalog, newerManifests: found.newerManifests, lock: lock))
            for fault in found.faults { report(fault) }
            count { $0.unusable += found.faults.count }
        } catch {
            disk.close(lock)
            throw .system(path: path, error)
        }
        trim()
        sweep()
    }

    deinit { close() }

    /// Lets another process use the folder. Nothing can be read or written afterwards.
    package func close() {
        let lock = state.withLock { state in
            defer { state.lock = nil }
            return state.lock
        }
        if let lock { disk.close(lock) }
    }

    var isOpen: Bool { state.withLock { $0.lock != nil } }

    /// The folder of a worker below a common one: its name where that is the name of a file, else a digest of it.
    public static func path(of worker: String, below folder: String) -> String {
        let isPlain =
            !worker.isEmpty && worker.utf8.count <= 63 && !worker.hasPrefix(".")
            && worker.utf8.allSatisfy {
                switch $0 {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
                default: false
                }
            }
        let digest = SequenceManifest.fileName(of: worker).prefix(32)
        return "\(folder)/\(isPlain ? worker : "worker-\(digest)")"
    }

    func tell(_ fault: KVDiskFault) {
        if case .unusable = fault { count { $0.unusable += 1 } }
        report(fault)
    }

    func count(_ change: (inout Counts) -> Void) { state.withLock { change(&$0.counts) } }

    static var now: Int { time(nil) }

    func manifestPath(_ name: String) -> String { "\(path)/\(SequenceManifest.fileName(of: name))" }

    // MARK: what there is

    /// Bytes of all files, how many page files and sequences there are, and what has been counted. Reads nothing.
    public var usage: (bytes: Int, files: Int, sequences: Int, counts: Counts) {
        state.withLock {
            ($0.catalog.bytes, $0.catalog.fileCount, $0.catalog.entries.count, $0.counts)
        }
    }

    /// The sequences that can be read here, with their bytes on disk. Reads nothing.
    var entries: [String: DiskCatalog.Entry] {
        state.withLock { $0.catalog.entries.filter { !$0.value.isForeign } }
    }

    /// Their names. Reads nothing.
    package var names: Set<String> { Set(entries.keys) }

    func entry(_ name: String) -> DiskCatalog.Entry? {
        state.withLock { state in state.catalog.entries[name].flatMap { $0.isForeign ? nil : $0 } }
    }

    /// Notes that a sequence was used.
    package func use(_ name: String) {
        let now = Self.now
        let isLongAgo = state.withLock { state -> Bool in
            guard let entry = state.catalog.entries[name] else { return false }
            state.catalog.use(name, at: now)
            return now - entry.lastUse > 60
        }
        if isLongAgo { disk.touch(manifestPath(name)) }
    }

    // MARK: what goes

    /// Forgets a sequence. Quick: its page files are deleted by `sweep`.
    @discardableResult
    package func remove(_ name: String) -> Bool {
        var error: DiskError?
        let isRemoved = state.withLock { state in
            guard state.lock != nil, state.catalog.remove(name) else { return false }
            // In the lock, so that it is never the manifest of a later copy that goes.
            do throws(DiskError) { try disk.remove(manifestPath(name)) } catch let failed { error = failed }
            state.patience.roomWasMade()
            return true
        }
        if let error { tell(.notDeleted(error)) }
        return isRemoved
    }

    /// Deletes page files that nothing names any more. One that cannot be deleted counts on and is tried again.
    /// - Returns: whether all have been deleted.
    @discardableResult
    package func sweep() -> Bool {
        let garbage = state.withLock { state in
            state.pages = state.pages.filter { $0.value.page != nil }
            return Array(state.catalog.garbage.keys)
        }
        var error: DiskError?
        for id in garbage {
            do throws(DiskError) {
                try disk.remove(file.path(id))
                state.withLock { $0.catalog.deleted(id) }
            } catch let failed { error = failed }
        }
        if let error { tell(.notDeleted(error)) }
        return error == nil
    }

    /// Brings a folder whose limit has become lower below it.
    private func trim() {
        while let victim = state.withLock({ state in
            state.catalog.bytes - state.catalog.garbage.values.reduce(0, +) > quota
                ? state.catalog.next(sparing: nil) : nil
        }) {
            remove(victim)
            count { $0.evicted += 1 }
        }
    }
}
