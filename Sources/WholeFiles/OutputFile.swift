// A file in the making: beside its place under a temporary name until it is whole and on the disk, gone when it does not
// get there. What is no regular file (a device, a pipe, a descriptor) is written through, never replaced.
import Glibc

/// One file that is written from its start to its end. It has its name after `finish()`; when it is given up before
/// that, nothing stays of it, and what was at the path is as it was.
///
/// A file that is replaced hands its owner, group and mode on. Of a symbolic link, what it leads to is replaced.
public struct OutputFile: ~Copyable {
    /// Who may read a file that is new. It is made so: at no moment may others read it.
    public enum Readers: Sendable {
        /// Its owner: 0600.
        case owner
        /// Everybody whom the process's umask lets: 0666.
        case everybody

        var mode: mode_t {
            switch self {
            case .owner: 0o600
            case .everybody: 0o666
            }
        }
    }

    /// What becomes of that which is at the path.
    public enum Present: Sendable {
        /// It stays, and there is an error instead.
        case kept
        /// A regular file is replaced, what is none is written through.
        case replaced
    }

    private enum Way {
        /// A temporary file that gets the name of `target`.
        case beside(target: String, temporary: String)
        case through
    }

    private let path: String
    private let present: Present
    private let way: Way
    /// -1 when closed.
    private var descriptor: CInt
    /// Whether there is a file under the temporary name.
    private var isTemporary: Bool
    /// Bytes that were written, where they can only follow one another.
    private var position = 0

    /// Begins a file beside its place, or opens what is written through.
    public init(
        _ path: String, for readers: Readers = .everybody, present: Present = .replaced
    ) throws(OutputError) {
        let place = try OutputPlace(path, follows: present == .replaced)
        let (descriptor, way) = try Self.open(place, named: path, for: readers, present)
        self.path = path
        self.present = present
        self.descriptor = descriptor
        self.way = way
        isTemporary = if case .beside = way { true } else { false }
    }

    private static func open(
        _ place: OutputPlace, named path: String, for readers: Readers, _ present: Present
    ) throws(OutputError) -> (CInt, Way) {
        switch place {
        case .open(let descriptor):
            guard present == .replaced else {
                close(descriptor)
                throw OutputError(path, .exists)
            }
            return (descriptor, .through)
        case .file(let target, let old):
            guard old == nil || present == .replaced else { throw OutputError(path, .exists) }
            let temporary = temporaryName(for: target)
            // Nobody may read it who could not read the one before.
            let descriptor = unsafe Glibc.open(
                temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, old == nil ? readers.mode : 0o600)
            guard descriptor >= 0 else { throw OutputError(path, at: target, .system(errno)) }
            if let old, !old.isTaken(by: descriptor) {
                let error = errno
                close(descriptor)
                unsafe unlink(temporary)
                throw OutputError(path, .ownerLost(error))
            }
            return (descriptor, .beside(target: target, temporary: temporary))
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if isTemporary, case .beside(_, let temporary) = way { unsafe unlink(temporary) }
    }

    /// The folder whose disk takes the file; nil: it is written through.
    public var folder: String? {
        guard case .beside(let target, _) = way else { return nil }
        return OutputPlace.folder(of: target)
    }

    /// Makes the file `byteCount` bytes long: what is not written of them is zero.
    public mutating func reserve(_ byteCount: Int) throws(OutputError) {
        guard case .beside = way else { return }
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else { throw OutputError(path, .system(errno)) }
    }

    /// Writes `bytes` at `offset`. Offsets must not fall: a pipe takes bytes in their order only, zeros between them.
    @unsafe public mutating func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(OutputError) {
        precondition(offset >= position, "bytes of a file follow one another")
        if case .through = way {
            let zeros = [UInt8](repeating: 0, count: min(offset - position, 64 << 10))
            while position < offset {
                let count = min(zeros.count, offset - position)
                try unsafe zeros.withUnsafeBufferPointer { bytes throws(OutputError) in
                    try unsafe writeThrough(
                        UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[..<count])))
                }
                position += count
            }
            try unsafe writeThrough(bytes)
        } else {
            try unsafe writeBeside(bytes, at: offset)
        }
        position = offset + bytes.count
    }

    /// Writes `bytes` behind those that were written before.
    public mutating func append(_ bytes: [UInt8]) throws(OutputError) {
        let offset = position
        try unsafe bytes.withUnsafeBufferPointer { bytes throws(OutputError) in
            try unsafe write(UnsafeRawBufferPointer(bytes), at: offset)
        }
    }

    /// Waits for the disk, then gives the file its name.
    public consuming func finish() throws(OutputError) {
        if case .beside = way {
            guard fsync(descriptor) == 0 else { throw OutputError(path, .system(errno)) }
        }
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else { throw OutputError(path, .system(errno)) }
        guard case .beside(let target, let temporary) = way else { return }
        try name(temporary, target)
        // The name must reach the disk too. Some file systems cannot promise that; the file is whole in any case.
        let directory = unsafe Glibc.open(OutputPlace.folder(of: target), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
    }
}

// MARK: Parts

extension OutputFile {
    private func writeBeside(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(OutputError) {
        var done = 0
        while done < bytes.count {
            // In pieces, so that a signal need not wait for gigabytes.
            let piece = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[done..<min(done + (4 << 20), bytes.count)])
            let count = unsafe pwrite(descriptor, piece.baseAddress, piece.count, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw OutputError(path, .system(count < 0 ? errno : EIO)) }
            done += count
        }
    }

    private func writeThrough(_ bytes: UnsafeRawBufferPointer) throws(OutputError) {
        var done = 0
        while done < bytes.count {
            let piece = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[done..<min(done + (64 << 10), bytes.count)])
            let count = unsafe Glibc.write(descriptor, piece.baseAddress, piece.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                let ready = unsafe poll(&waiting, 1, Int32(OutputPlace.readerSeconds * 1000))
                guard ready != 0 else { throw OutputError(path, .nobodyReads) }
                continue
            }
            guard count > 0 else { throw OutputError(path, .system(count < 0 ? errno : EIO)) }
            done += count
        }
    }

    private mutating func name(_ temporary: String, _ target: String) throws(OutputError) {
        if present == .kept {
            // A link, unlike rename, never replaces a file, even one that came meanwhile.
            if unsafe link(temporary, target) == 0 {
                isTemporary = unsafe unlink(temporary) != 0
                return
            }
            let error = errno
            guard error != EEXIST else { throw OutputError(path, .exists) }
            // Some file systems have no links: one look more is the best they allow.
            guard error == EPERM || error == EOPNOTSUPP || error == ENOSYS else {
                throw OutputError(path, .system(error))
            }
            var status = stat()
            guard unsafe lstat(target, &status) != 0 else { throw OutputError(path, .exists) }
        }
        guard unsafe rename(temporary, target) == 0 else { throw OutputError(path, .system(errno)) }
        isTemporary = false
    }

    /// In the same folder. Cut so that it fits where the name fits: names have at most 255 bytes.
    private static func temporaryName(for target: String) -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        let suffix = ".partial-" + String(repeating: "0", count: 16 - digits.count) + digits
        let folder = OutputPlace.folder(of: target)
        var name = OutputPlace.name(of: target)
        while name.utf8.count + suffix.utf8.count > Int(NAME_MAX) { name.removeLast() }
        return "\(folder)/\(name)\(suffix)"
    }
}
