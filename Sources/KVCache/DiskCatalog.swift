// Which sequences and page files a folder holds, how many bytes they take, and what goes first. A value: it changes no
// file, but says which to delete.

/// The books of a folder. A page file stays as long as a manifest names it, or a copy or a load that is under way needs
/// it; its bytes count until it has been deleted.
struct DiskCatalog {
    struct Entry: Sendable {
        let manifest: SequenceManifest
        let manifestBytes: Int
        /// Nobody here can use it: its numbers are those of another model, precision or processor.
        let isForeign: Bool
        /// Seconds since 1970.
        var lastUse: Int
        /// Orders uses within a second.
        var use: UInt64
    }

    private struct File {
        let bytes: Int
        /// Manifests that name it, and copies and loads that need it.
        var owners: Int
    }

    let quota: Int
    private(set) var entries: [String: Entry] = [:]
    private var files: [PageID: File] = [:]
    /// Files without an owner, which are still there.
    private(set) var garbage: [PageID: Int] = [:]
    /// Of everything that is there, or will be in a moment.
    private(set) var bytes: Int
    private var uses: UInt64 = 0

    /// - Parameter leftAlone: bytes of files that newer programs wrote.
    init(quota: Int, leftAlone: Int) {
        self.quota = quota
        bytes = leftAlone
    }

    var fileCount: Int { files.count }

    /// Most bytes that another copy may take without anything going.
    var free: Int { max(0, quota - bytes) }

    // MARK: files

    /// A new file of which the caller is the owner.
    mutating func add(_ id: PageID, bytes count: Int) {
        files[id] = File(bytes: count, owners: 1)
        bytes += count
    }

    /// One owner more; false: there is no such file.
    mutating func retain(_ id: PageID) -> Bool { (files[id]?.owners += 1) != nil }

    /// One owner less.
    mutating func release(_ ids: some Sequence<PageID>) {
        for id in ids {
            guard var file = files[id] else { continue }
            file.owners -= 1
            files[id] = file.owners > 0 ? file : nil
            if file.owners == 0 { garbage[id] = file.bytes }
        }
    }

    /// A file without an owner has been deleted.
    mutating func deleted(_ id: PageID) {
        if let count = garbage.removeValue(forKey: id) { bytes -= count }
    }

    // MARK: sequences

    /// Takes a sequence in, in the place of what had its name. It owns one count of each of its pages, which the
    /// caller gives it.
    mutating func commit(
        _ manifest: SequenceManifest, manifestBytes: Int, isForeign: Bool, lastUse: Int
    ) {
        remove(manifest.sequence)
        uses += 1
        entries[manifest.sequence] = Entry(
            manifest: manifest, manifestBytes: manifestBytes, isForeign: isForeign, lastUse: lastUse,
            use: uses)
        bytes += manifestBytes
    }

    /// Forgets a sequence; its pages become garbage unless others own them.
    @discardableResult
    mutating func remove(_ name: String) -> Bool {
        guard let entry = entries.removeValue(forKey: name) else { return false }
        bytes -= entry.manifestBytes
        release(entry.manifest.pages.map(\.id))
        return true
    }

    mutating func use(_ name: String, at seconds: Int) {
        uses += 1
        entries[name]?.lastUse = seconds
        entries[name]?.use = uses
    }

    /// Keeps the files of a sequence that nobody here can read.
    mutating func setAside(_ name: String) {
        guard let entry = entries[name] else { return }
        entries[name] = Entry(
            manifest: entry.manifest, manifestBytes: entry.manifestBytes, isForeign: true,
            lastUse: entry.lastUse, use: entry.use)
    }

    /// The sequence that should go next: those that nobody here can use first, then by last use.
    func next(sparing name: String?) -> String? {
        entries.lazy.filter { $0.key != name }.min { a, b in
            let (a, b) = (a.value, b.value)
            if a.isForeign != b.isForeign { return a.isForeign }
            return (a.lastUse, a.use) < (b.lastUse, b.use)
        }?.key
    }

    /// Bytes on disk of a sequence's pages and its manifest, shared or not.
    static func bytes(of entry: Entry) -> Int {
        entry.manifest.pages.reduce(entry.manifestBytes) { $0 + $1.fileBytes }
    }
}
