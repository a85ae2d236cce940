// How a sequence comes back from a folder: every byte checked, in bounded time.
import Kernels
import RingAttention
import Synchronization

extension KVFolder {
    /// Bytes of memory that loading a sequence takes now: of pages that are in memory already, none. Reads nothing.
    func memoryNeeded(for name: String) -> Int {
        state.withLock { state in
            guard let entry = state.catalog.entries[name], !entry.isForeign else { return 0 }
            return entry.manifest.pages.reduce(0) {
                $0 + (state.pages[$1.id]?.page == nil ? $1.rows * shape.tokenBytes : 0)
            }
        }
    }

    /// How long a sequence may take to be read: a disk that does not give 50 MB a second is not worth waiting for,
    /// because computing is about as fast.
    static func patience(bytes: Int) -> Duration { .seconds(10) + .seconds(Double(bytes) / 50e6) }

    /// Loads a sequence. When anything in its files is wrong, or they cannot be read in time, it is gone from the folder
    /// afterwards. Blocks at most for `limit`.
    /// - Parameter isCancelled: asked between pieces; then it is a miss, and the folder is as before.
    package func load(
        _ name: String, memory: KVMemory, within limit: Duration,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) -> SequencePart? {
        let isUnwanted = Flag()
        let outcome = loads.run("lariat kv load", within: limit) {
            self.read(name, memory: memory) { !isUnwanted.isSet && !isCancelled() }
        }
        switch outcome {
        case .done(let part): return part
        case .busy: return nil
        case .late:
            isUnwanted.set()
            giveUp(name, page: nil, .late)
            return nil
        }
    }

    /// The same on this thread.
    package func read(_ name: String, memory: KVMemory, isWanted: () -> Bool = { true }) -> SequencePart? {
        // Pages that a load needs stay until it has ended, even if the sequence goes meanwhile.
        let entry = state.withLock { state -> DiskCatalog.Entry? in
            guard state.lock != nil, let entry = state.catalog.entries[name], !entry.isForeign else {
                return nil
            }
            for page in entry.manifest.pages { _ = state.catalog.retain(page.id) }
            return entry
        }
        guard let manifest = entry?.manifest else { return nil }
        defer { state.withLock { $0.catalog.release(manifest.pages.map(\.id)) } }
        let description: SequenceDescription
        do throws(FileDamage) { description = try manifest.description() } catch {
            giveUp(name, page: nil, error)
            return nil
        }
        let numbers = SequenceManifest.pageIdentity(identity, profile: manifest.profile)
        var pages: [KVPage] = []
        for page in manifest.pages {
            if let there = inMemory(page.id) {
                pages.append(there)
                continue
            }
            do throws(PageFile.ReadError) {
                let read = try file.read(
                    page, shape: shape, identity: numbers, budget: memory, isWanted: isWanted)
                pages.append(onlyOne(read, of: page))
            } catch {
                if case .damage(let damage) = error { giveUp(name, page: page.id, damage) }
                return nil
            }
        }
        return SequencePart(
            description, rows: KVSequence(shape: shape, pages: pages, rows: manifest.rows))
    }

    private func inMemory(_ id: PageID) -> KVPage? { state.withLock { $0.pages[id]?.page } }

    /// The page that was read, unless somebody else has read it meanwhile: then that one's.
    private func onlyOne(_ read: KVPage, of page: SequenceManifest.Page) -> KVPage {
        state.withLock { state in
            state.counts.pagesRead += 1
            state.counts.bytesRead += page.fileBytes
            if let there = state.pages[page.id]?.page { return there }
            state.pages[page.id] = WeakPage(page: read)
            return read
        }
    }

    private func giveUp(_ name: String, page: PageID?, _ damage: FileDamage) {
        tell(.unusable(sequence: name, page: page?.description, damage))
        if case .newer = damage {
            state.withLock { $0.catalog.setAside(name) }
        } else {
            remove(name)
        }
    }
}
