// Writing a page's rows to a file and reading them back, checked.
import Glibc
import Kernels
import Synchronization

/// Where a page's first rows are on disk.
struct PageCopy: Sendable, Equatable {
    let id: PageID
    let rows: Int
    let fileBytes: Int
    let digest: [UInt8]
}

/// A file of one page in a folder.
struct PageFile {
    static let suffix = ".page"
    static let temporarySuffix = ".partial"
    /// What is read or written between two looks at the time or at a wish to stop.
    private static let pieceBytes = 1 << 20

    let disk: any DiskCalls
    let folder: String

    func path(_ id: PageID) -> String { "\(folder)/\(id)\(Self.suffix)" }

    enum WriteError: Error, Equatable {
        case disk(DiskError)
        case stopped
    }

    /// Writes the first rows of a page straight from its memory, which must be written already. Nothing stays when
    /// that fails; the name is on the disk when the folder has been synced.
    func write(
        _ page: KVPage, rows: Int, shape: KVShape, identity: String, isWanted: () -> Bool
    ) throws(WriteError) -> PageCopy {
        let header = PageHeader(id: PageID(), shape: shape, rows: rows, identity: identity)
        let path = path(header.id)
        let temporary = path + Self.temporarySuffix
        let digest: [UInt8] = try Self.filling(temporary, on: disk) { file throws(WriteError) in
            var position = 0
            func put(_ bytes: UnsafeRawBufferPointer) throws(WriteError) {
                try Self.asked { () throws(DiskError) in try disk.writeAll(file, bytes, at: position) }
                position += bytes.count
            }
            func put(_ bytes: [UInt8]) throws(WriteError) {
                try Self.asked { () throws(DiskError) in try disk.writeAll(file, bytes, at: position) }
                position += bytes.count
            }
            try put(header.encoded())
            var sums = BodySums()
            for layer in 0..<shape.layers {
                let memory = UnsafeRawBufferPointer(page.memory(layer: layer, rows: 0..<rows))
                for start in stride(from: 0, to: memory.count, by: Self.pieceBytes) {
                    guard isWanted() else { throw .stopped }
                    let end = min(start + Self.pieceBytes, memory.count)
                    let piece = UnsafeRawBufferPointer(rebasing: memory[start..<end])
                    sums.add(piece)
                    try put(piece)
                }
            }
            let trailer = sums.finish()
            try put(trailer.encoded())
            return trailer.digest
        }
        try Self.name(path, on: disk)
        return PageCopy(id: header.id, rows: rows, fileBytes: header.fileBytes, digest: digest)
    }

    /// Makes a file under a temporary name, lets `body` fill it and waits for the disk. Nothing stays when that fails.
    static func filling<Value>(
        _ temporary: String, on disk: any DiskCalls,
        _ body: (_ file: Int32) throws(WriteError) -> Value
    ) throws(WriteError) -> Value {
        // What an earlier attempt could not take away.
        try? disk.remove(temporary)
        do throws(WriteError) {
            let file = try asked { () throws(DiskError) in try disk.create(temporary) }
            defer { disk.close(file) }
            let value = try body(file)
            try asked { () throws(DiskError) in try disk.syncData(file) }
            return value
        } catch {
            try? disk.remove(temporary)
            throw error
        }
    }

    /// Gives a filled file its name, in the place of what had it.
    static func name(_ path: String, on disk: any DiskCalls) throws(WriteError) {
        do throws(DiskError) { try disk.rename(path + temporarySuffix, to: path) } catch {
            try? disk.remove(path + temporarySuffix)
            throw .disk(error)
        }
    }

    static func asked<Value>(
        _ call: () throws(DiskError) -> Value
    ) throws(WriteError) -> Value {
        do throws(DiskError) { return try call() } catch { throw .disk(error) }
    }

    // MARK: reading

    enum ReadError: Error, Equatable {
        case damage(FileDamage)
        /// The memory is not there; the file may be well.
        case memory(KVError)
        case stopped
    }

    /// Reads a page whose file must be what a manifest says. All sizes are checked before memory is taken.
    func read(
        _ expected: SequenceManifest.Page, shape: KVShape, identity: String, budget: KVMemory,
        isWanted: () -> Bool
    ) throws(ReadError) -> KVPage {
        let file: Int32
        do throws(DiskError) { file = try disk.open(path(expected.id)) } catch {
            throw .damage(error.number == ENOENT ? .missing : .system(error))
        }
        defer { disk.close(file) }
        let header: PageHeader
        let trailer: PageTrailer
        do throws(FileDamage) {
            (header, trailer) = try frame(of: file, expected, shape: shape, identity: identity)
        } catch { throw .damage(error) }
        let page: KVPage
        do throws(KVError) { page = try KVPage(rows: header.rows, shape: shape, budget: budget) } catch {
            throw .memory(error)
        }
        var sums = BodySums()
        var checked = 0
        let body = page.whole
        for start in stride(from: 0, to: body.count, by: Self.pieceBytes) {
            guard isWanted() else { throw .stopped }
            let end = min(start + Self.pieceBytes, body.count)
            let piece = UnsafeMutableRawBufferPointer(rebasing: body[start..<end])
            do throws(FileDamage) { try fill(piece, of: file, at: PageHeader.bytes + start) } catch {
                throw .damage(error)
            }
            sums.add(UnsafeRawBufferPointer(piece))
            for block in checked..<sums.blocks.count where sums.blocks[block] != trailer.blocks[block] {
                throw .damage(.block(block * PageHeader.blockBytes))
            }
            checked = sums.blocks.count
        }
        let found = sums.finish()
        guard found.blocks == trailer.blocks else {
            throw .damage(.block(checked * PageHeader.blockBytes))
        }
        guard found.digest == expected.digest else { throw .damage(.digest) }
        page.copy.withLock {
            $0 = PageCopy(
                id: header.id, rows: header.rows, fileBytes: header.fileBytes, digest: expected.digest)
        }
        return page
    }

    /// A file's header and trailer, where it is the page that is expected and as long as it says.
    private func frame(
        of file: Int32, _ expected: SequenceManifest.Page, shape: KVShape, identity: String
    ) throws(FileDamage) -> (PageHeader, PageTrailer) {
        let length: Int
        do throws(DiskError) { length = try disk.size(file).bytes } catch { throw .system(error) }
        guard length >= PageHeader.bytes else { throw .length }
        let header = try PageHeader.parse(try bytes(PageHeader.bytes, of: file, at: 0))
        guard header.id == expected.id, header.shape == shape, header.rows == expected.rows,
            header.identity == identity
        else { throw .other }
        guard length == header.fileBytes, length == expected.fileBytes else { throw .length }
        let trailer = try PageTrailer.parse(
            try bytes(header.trailerBytes, of: file, at: PageHeader.bytes + header.bodyBytes),
            blocks: header.blocks)
        guard trailer.digest == expected.digest else { throw .other }
        return (header, trailer)
    }

    private func bytes(_ count: Int, of file: Int32, at offset: Int) throws(FileDamage) -> [UInt8] {
        do throws(DiskError) {
            if let bytes = try disk.readAll(file, count: count, at: offset) { return bytes }
        } catch { throw .system(error) }
        throw .length
    }

    private func fill(
        _ bytes: UnsafeMutableRawBufferPointer, of file: Int32, at offset: Int
    ) throws(FileDamage) {
        let isWhole: Bool
        do throws(DiskError) { isWhole = try disk.readAll(file, into: bytes, at: offset) } catch {
            throw .system(error)
        }
        guard isWhole else { throw .length }
    }

    /// Whether a newer program's container is there: only its first bytes are read.
    func isNewer(_ id: PageID) -> Bool {
        guard let file = try? disk.open(path(id)) else { return false }
        defer { disk.close(file) }
        guard let header = try? bytes(PageHeader.bytes, of: file, at: 0) else { return false }
        do throws(FileDamage) { _ = try PageHeader.parse(header) } catch {
            if case .newer = error { return true }
        }
        return false
    }
}
