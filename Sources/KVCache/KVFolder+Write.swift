// How a sequence gets into a folder: room first, then its pages, then its manifest.
import Kernels
import RingAttention
import Synchronization

extension KVFolder {
    /// Writes the pages of a sequence that are not there yet, and its manifest, in the place of what has its name.
    /// Older sequences go where there is no room. What goes wrong is reported and costs only the copy.
    ///
    /// One thread at a time calls this.
    /// - Parameter isWanted: asked between pieces, and before the manifest gets its name.
    /// - Returns: whether there is a copy now.
    @discardableResult
    package func write(_ part: SequencePart, as name: String, isWanted: () -> Bool = { true }) -> Bool {
        var owned: [PageID] = []
        do throws(Refusal) {
            try checkDescription(part, name)
            let reused = reusedPages(part.rows)
            owned = reused.compactMap { $0?.id }
            try makeRoom(for: part, as: name, reused: reused)
            let pages = try writePages(part, reused, owned: &owned, isWanted)
            try commit(part, as: name, pages, isWanted)
            return true
        } catch {
            state.withLock { state in
                state.catalog.release(owned)
                state.counts.notWritten += 1
                if case .disk(let error) = error { state.patience.failed(error, at: .now) }
            }
            sweep()
            switch error {
            case .fault(let fault): tell(fault)
            case .disk(let error): tell(.notWritten(sequence: name, error))
            case .stopped, .impatient: break
            }
            return false
        }
    }

    private enum Refusal: Error {
        case fault(KVDiskFault)
        case disk(DiskError)
        case stopped
        /// The disk was full a moment ago, which has been told.
        case impatient

        init(_ error: PageFile.WriteError) {
            switch error {
            case .disk(let error): self = .disk(error)
            case .stopped: self = .stopped
            }
        }
    }

    private func checkDescription(_ part: SequencePart, _ name: String) throws(Refusal) {
        let (isNewer, mayWrite) = state.withLock {
            (
                $0.newerManifests.contains(SequenceManifest.fileName(of: name)),
                $0.lock != nil && $0.patience.mayWrite(at: .now)
            )
        }
        guard mayWrite else { throw .impatient }
        guard !isNewer else { throw .fault(.newerCopy(sequence: name)) }
        guard !name.isEmpty, name.utf8.count <= SequenceManifest.longestName, part.rows.shape == shape,
            identity.utf8.count + part.profile.utf8.count < PageHeader.longestIdentity
        else { throw .fault(.notDescribable(sequence: name)) }
    }

    /// For each page of a sequence the file that has its rows already, which stays from now on; nil: none has.
    private func reusedPages(_ rows: KVSequence) -> [PageCopy?] {
        state.withLock { state in
            rows.pages.enumerated().map { index, page in
                guard let copy = page.copy.withLock({ $0 }), copy.rows >= rows.needed(ofPage: index),
                    state.catalog.retain(copy.id)
                else { return nil }
                return copy
            }
        }
    }

    /// Lets older sequences go until a sequence has room.
    private func makeRoom(
        for part: SequencePart, as name: String, reused: [PageCopy?]
    ) throws(Refusal) {
        let rows = part.rows
        guard let frame = manifest(of: part, as: name, []).encoded() else {
            throw .fault(.notDescribable(sequence: name))
        }
        var new = frame.count + SequenceManifest.Page.mostBytes * rows.pages.count
        var all = new
        for (index, copy) in reused.enumerated() {
            let bytes = copy?.fileBytes ?? PageHeader.fileBytes(shape, rows: rows.needed(ofPage: index))
            all += bytes
            if copy == nil { new += bytes }
        }
        guard all <= quota else { throw .fault(.tooLarge(sequence: name, bytes: all, quota: quota)) }
        // What cannot be deleted frees nothing.
        while sweep() {
            let victim = state.withLock { state -> String? in
                let isFull = state.catalog.entries.count >= KVStore.mostSequences
                guard isFull || state.catalog.free < new else { return nil }
                // What it replaces goes in any case.
                return state.catalog.entries[name] != nil ? name : state.catalog.next(sparing: name)
            }
            guard let victim else { break }
            remove(victim)
            if victim != name { count { $0.evicted += 1 } }
        }
        guard state.withLock({ $0.catalog.free >= new }) else {
            throw .fault(.noRoom(sequence: name, bytes: new))
        }
    }

    private func writePages(
        _ part: SequencePart, _ reused: [PageCopy?], owned: inout [PageID], _ isWanted: () -> Bool
    ) throws(Refusal) -> [SequenceManifest.Page] {
        let numbers = SequenceManifest.pageIdentity(identity, profile: part.profile)
        var pages: [SequenceManifest.Page] = []
        for (index, page) in part.rows.pages.enumerated() {
            let copy: PageCopy
            if let there = reused[index] {
                copy = there
            } else {
                do throws(PageFile.WriteError) {
                    copy = try file.write(
                        page, rows: part.rows.needed(ofPage: index), shape: shape, identity: numbers,
                        isWanted: isWanted)
                } catch { throw Refusal(error) }
                owned.append(copy.id)
                state.withLock { state in
                    state.catalog.add(copy.id, bytes: copy.fileBytes)
                    state.pages[copy.id] = WeakPage(page: page)
                    state.counts.pagesWritten += 1
                    state.counts.bytesWritten += copy.fileBytes
                }
                page.copy.withLock { $0 = copy }
            }
            pages.append(
                SequenceManifest.Page(
                    id: copy.id, rows: copy.rows, fileBytes: copy.fileBytes, digest: copy.digest))
        }
        if !pages.isEmpty {
            do throws(DiskError) { try disk.syncFolder(path) } catch { throw .disk(error) }
        }
        return pages
    }

    private func manifest(
        of part: SequencePart, as name: String, _ pages: [SequenceManifest.Page]
    ) -> SequenceManifest {
        SequenceManifest(
            sequence: name, identity: identity, profile: part.profile, rank: part.rank,
            stripeTokens: part.layout.stripeTokens, weights: part.layout.weights, tokens: part.tokens,
            rows: part.rows.written, lastUse: Self.now, pages: pages)
    }

    /// From here on the pages exist.
    private func commit(
        _ part: SequencePart, as name: String, _ pages: [SequenceManifest.Page], _ isWanted: () -> Bool
    ) throws(Refusal) {
        let manifest = manifest(of: part, as: name, pages)
        guard let bytes = manifest.encoded() else { throw .fault(.notDescribable(sequence: name)) }
        let path = manifestPath(name)
        do throws(PageFile.WriteError) {
            try PageFile.filling(path + PageFile.temporarySuffix, on: disk) {
                descriptor throws(PageFile.WriteError) in
                try PageFile.asked { () throws(DiskError) in try disk.writeAll(descriptor, bytes, at: 0) }
            }
            try state.withLock { state throws(PageFile.WriteError) in
                // In the lock, so that whoever drops it afterwards finds it.
                guard state.lock != nil, isWanted() else {
                    try? disk.remove(path + PageFile.temporarySuffix)
                    throw .stopped
                }
                try PageFile.name(path, on: disk)
                state.catalog.commit(
                    manifest, manifestBytes: bytes.count, isForeign: false, lastUse: manifest.lastUse)
                state.counts.bytesWritten += bytes.count
            }
        } catch { throw Refusal(error) }
        // Whether the name is on the disk already or a little later: the copy is whole either way.
        do throws(DiskError) { try disk.syncFolder(self.path) } catch {
            tell(.notSafe(sequence: name, error))
        }
    }
}
