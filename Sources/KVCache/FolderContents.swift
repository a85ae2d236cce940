// What a folder holds when it is opened: manifests are read, files that nothing names are deleted.

/// The start of a folder.
struct FolderContents {
    private(set) var catalog: DiskCatalog
    private(set) var newerManifests: Set<String> = []
    private(set) var faults: [KVDiskFault] = []

    /// Reads all manifests and no page. A manifest that cannot be used is deleted, unless a newer program wrote it:
    /// then every page stays, since it may be that one's.
    init(
        path: String, identity: String, quota: Int, disk: any DiskCalls, names: [String]
    ) throws(DiskError) {
        let file = PageFile(disk: disk, folder: path)
        var pages: Set<PageID> = []
        var manifests: [String] = []
        for name in names {
            if name.hasSuffix(PageFile.temporarySuffix),
                Self.isOurs(name.dropLast(PageFile.temporarySuffix.count))
            {
                try? disk.remove("\(path)/\(name)")
            } else if name.hasSuffix(PageFile.suffix), let id = PageID(name.dropLast(PageFile.suffix.count)) {
                pages.insert(id)
            } else if Self.isOurs(name[...]) {
                manifests.append(name)
            }
        }
        var good: [(manifest: SequenceManifest, bytes: Int, used: Int)] = []
        var leftAlone = 0
        for name in manifests {
            switch Self.manifest(name, in: path, disk: disk, pages: pages) {
            case .success(let found): good.append(found)
            case .failure(.newer(let bytes)):
                newerManifests.insert(name)
                leftAlone += bytes
            case .failure(.unusable(let sequence, let page, let damage)):
                faults.append(.unusable(sequence: sequence ?? name, page: page?.description, damage))
                try? disk.remove("\(path)/\(name)")
            }
        }
        let named = Set(good.flatMap { $0.manifest.pages.map(\.id) })
        for id in pages.subtracting(named) {
            if !newerManifests.isEmpty || file.isNewer(id) {
                leftAlone += Self.bytes(of: file.path(id), disk: disk)
            } else {
                try? disk.remove(file.path(id))
            }
        }
        catalog = DiskCatalog(quota: quota, leftAlone: leftAlone)
        for (manifest, bytes, used) in good.sorted(by: { $0.used < $1.used }) {
            for page in manifest.pages where !catalog.retain(page.id) {
                catalog.add(page.id, bytes: page.fileBytes)
            }
            catalog.commit(
                manifest, manifestBytes: bytes, isForeign: manifest.identity != identity, lastUse: used)
        }
    }

    private enum Refusal: Error {
        case newer(bytes: Int)
        case unusable(sequence: String?, page: PageID?, FileDamage)
    }

    private static func isOurs(_ name: Substring) -> Bool {
        if name.hasSuffix(PageFile.suffix) { return PageID(name.dropLast(PageFile.suffix.count)) != nil }
        guard name.hasSuffix(SequenceManifest.fileSuffix) else { return false }
        let digest = name.dropLast(SequenceManifest.fileSuffix.count)
        return digest.utf8.count == 64
            && digest.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private static func manifest(
        _ name: String, in path: String, disk: any DiskCalls, pages: Set<PageID>
    ) -> Result<(manifest: SequenceManifest, bytes: Int, used: Int), Refusal> {
        let bytes: [UInt8]
        let used: Int
        do throws(FileDamage) { (bytes, used) = try content("\(path)/\(name)", disk: disk) } catch {
            return .failure(.unusable(sequence: nil, page: nil, error))
        }
        let manifest: SequenceManifest
        do throws(FileDamage) { manifest = try SequenceManifest.parse(bytes) } catch {
            if case .newer = error { return .failure(.newer(bytes: bytes.count)) }
            return .failure(.unusable(sequence: nil, page: nil, error))
        }
        // A file under another's name would be found under the wrong one.
        guard SequenceManifest.fileName(of: manifest.sequence) == name else {
            return .failure(.unusable(sequence: manifest.sequence, page: nil, .other))
        }
        if let missing = manifest.pages.first(where: { !pages.contains($0.id) }) {
            return .failure(.unusable(sequence: manifest.sequence, page: missing.id, .missing))
        }
        return .success((manifest, bytes.count, min(max(manifest.lastUse, used), KVFolder.now)))
    }

    /// The bytes of a manifest's file, when it is not longer than one may be.
    private static func content(
        _ path: String, disk: any DiskCalls
    ) throws(FileDamage) -> (bytes: [UInt8], used: Int) {
        do throws(DiskError) {
            let file = try disk.open(path)
            defer { disk.close(file) }
            let size = try disk.size(file)
            // Of what is too long, only the first line counts: it may be a newer program's.
            let count = size.bytes <= SequenceManifest.mostBytes ? size.bytes : SequenceManifest.longestLine
            return (try disk.readAll(file, count: count, at: 0) ?? [], size.used)
        } catch { throw .system(error) }
    }

    private static func bytes(of path: String, disk: any DiskCalls) -> Int {
        guard let file = try? disk.open(path) else { return 0 }
        defer { disk.close(file) }
        return (try? disk.size(file).bytes) ?? 0
    }
}
